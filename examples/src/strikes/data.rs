//! The records of strikes: read once, kept by airport and year.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ops::Range, sync::LazyLock};

/// The file is part of the program, so that `tasker demo` runs anywhere.
pub(super) const FILE: &str = include_str!("../../data/birdstrikes.csv");

/// The line of the first record, after the header.
const FIRST: u64 = 2;

static STRIKES: LazyLock<Result<Strikes, DataError>> = LazyLock::new(|| Strikes::parse(FILE));

/// The records cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("birdstrikes.csv: {0}")]
pub struct DataError(String);

impl From<csv::Error> for DataError {
    fn from(error: csv::Error) -> Self {
        Self(error.to_string())
    }
}

/// One record. Its JSON form is a row of the table `strikes.strikes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strike {
    /// In the file, the header being 1.
    #[serde(skip_deserializing)]
    pub line: u64,
    /// Its name.
    #[serde(alias = "Airport Name")]
    pub airport: String,
    /// The date's year.
    #[serde(skip_deserializing)]
    pub year: i32,
    /// As 1999-12-31.
    #[serde(alias = "Flight Date")]
    pub date: String,
    /// The airport's state.
    #[serde(alias = "Origin State")]
    pub state: String,
    /// Airline or other operator.
    #[serde(alias = "Aircraft Airline Operator")]
    pub operator: String,
    /// Make and model.
    #[serde(alias = "Aircraft Make Model")]
    pub aircraft: String,
    /// The flight's phase.
    #[serde(alias = "Phase of flight")]
    pub phase: String,
    /// Where it was reported.
    #[serde(alias = "Speed IAS in knots")]
    pub speed_knots: Option<i32>,
    /// Dawn, day, dusk, or night.
    #[serde(alias = "Time of day")]
    pub time_of_day: String,
    /// The animal's species.
    #[serde(alias = "Wildlife Species")]
    pub species: String,
    /// The animal's size.
    #[serde(alias = "Wildlife Size")]
    pub size: String,
    /// `None`, or how bad it was.
    #[serde(alias = "Effect Amount of damage")]
    pub damage: String,
    /// Dollars.
    #[serde(alias = "Cost Other")]
    pub cost_other: i64,
    /// Dollars.
    #[serde(alias = "Cost Repair")]
    pub cost_repair: i64,
    /// Dollars: both.
    #[serde(alias = "Cost Total $")]
    pub cost_total: i64,
}

impl Strike {
    /// Whether the aircraft was damaged.
    pub fn did_damage(&self) -> bool {
        self.damage != "None"
    }
}

/// The records by airport and year.
#[derive(Debug)]
pub struct Strikes(BTreeMap<String, BTreeMap<i32, Vec<Strike>>>);

impl Strikes {
    /// The records of the file in examples/data.
    ///
    /// # Errors
    /// The file does not have the form that this program was written for; says the line.
    pub fn all() -> Result<&'static Self, DataError> {
        STRIKES.as_ref().map_err(Clone::clone)
    }

    pub(super) fn parse(text: &str) -> Result<Self, DataError> {
        let mut all = BTreeMap::<String, BTreeMap<i32, Vec<Strike>>>::new();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let headers = reader.headers()?.clone();
        // No record of this file has a line break inside.
        for (line, record) in (FIRST..).zip(reader.records()) {
            let record = record?;
            let mut strike: Strike = record.deserialize(Some(&headers))?;
            strike.line = line;
            strike.year =
                strike.date.get(..4).and_then(|year| year.parse().ok()).ok_or_else(|| {
                    DataError(format!(
                        "line {line}: {:?} is not a date like 1999-12-31",
                        strike.date
                    ))
                })?;
            all.entry(strike.airport.clone())
                .or_default()
                .entry(strike.year)
                .or_default()
                .push(strike);
        }
        Ok(Self(all))
    }

    /// Every airport and year that has a record, in order.
    pub fn keys(&self) -> impl Iterator<Item = (&str, i32)> {
        self.0
            .iter()
            .flat_map(|(airport, years)| years.keys().map(|year| (airport.as_str(), *year)))
    }

    /// The records of one airport and year, in the order of the file; none: an empty slice.
    pub fn of(&self, airport: &str, year: i32) -> &[Strike] {
        self.0.get(airport).and_then(|years| years.get(&year)).map_or(&[], Vec::as_slice)
    }

    /// Every record.
    pub fn iter(&self) -> impl Iterator<Item = &Strike> {
        self.0.values().flat_map(BTreeMap::values).flatten()
    }

    /// The records of these rows of the file, the first being 0, in no order.
    pub fn rows(&self, rows: Range<u64>) -> impl Iterator<Item = &Strike> {
        self.iter().filter(move |strike| rows.contains(&(strike.line - FIRST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_known_counts() {
        let strikes = Strikes::all().unwrap();
        assert_eq!(strikes.iter().count(), 10_000);
        assert_eq!(strikes.keys().count(), 640);
        assert!(strikes.iter().all(|s| s.cost_other + s.cost_repair == s.cost_total));
        let slow = strikes.iter().filter(|s| s.speed_knots.is_none()).count();
        assert_eq!(slow, 2_836, "records without a speed");
    }

    #[test]
    fn a_record_knows_its_line_and_year() {
        let strikes = Strikes::all().unwrap();
        let first = &strikes.of("BARKSDALE AIR FORCE BASE ARPT", 1990)[0];
        assert_eq!((first.line, first.year, first.date.as_str()), (2, 1990, "1990-01-08"));
        assert_eq!((first.species.as_str(), first.speed_knots), ("Turkey vulture", Some(300)));
        assert!(strikes.of("NOWHERE", 1990).is_empty());
    }

    #[test]
    fn every_row_of_the_file_is_in_one_range() {
        let strikes = Strikes::all().unwrap();
        let lines = |rows| {
            let mut lines: Vec<u64> = strikes.rows(rows).map(|strike| strike.line).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(lines(0..3), [2, 3, 4]);
        assert_eq!(lines(9_998..10_050), [10_000, 10_001]);
        assert_eq!(lines(0..10_000).len(), 10_000);
    }

    #[test]
    fn a_bad_line_is_named() {
        let header = FILE.lines().next().unwrap();
        let cost = format!("{header}\nA,B,None,1990-01-08,O,S,Climb,Large,X,Day,0,0,many,1\n");
        let error = Strikes::parse(&cost).unwrap_err().to_string();
        assert!(error.contains("line: 2") || error.contains("line 2"), "{error}");
        let date = format!("{header}\nA,B,None,soon,O,S,Climb,Large,X,Day,0,0,0,\n");
        let error = Strikes::parse(&date).unwrap_err().to_string();
        assert!(error.contains("line 2: \"soon\""), "{error}");
    }
}
