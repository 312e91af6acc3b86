//! What is found out about one airport and year, and the same by plain Rust over the file.

use super::{Strike, Strikes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{cmp::Reverse, collections::BTreeMap};

/// The result of the step `report`, and a row of the table `strikes.reports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its name.
    pub airport: String,
    /// The year.
    pub year: i32,
    /// How many.
    pub strikes: i64,
    /// How many of them did damage.
    pub damaging: i64,
    /// Dollars, of all of them.
    pub cost: i64,
    /// The species that cost most; between equals the one with more strikes, then the first by
    /// name.
    pub worst_species: String,
    /// The phase of flight with most damaging strikes; between equals the one with more strikes,
    /// then the first by name.
    pub riskiest_phase: String,
}

impl Report {
    /// By plain Rust, without the workflow; none: no such records.
    pub fn direct(strikes: &Strikes, airport: &str, year: i32) -> Option<Self> {
        let rows = strikes.of(airport, year);
        let cost = |rows: &[&Strike]| rows.iter().map(|row| row.cost_total).sum::<i64>();
        let damaging = |rows: &[&Strike]| rows.iter().filter(|row| row.did_damage()).count();
        let worst = groups(rows, |row| &row.species)
            .into_iter()
            .min_by_key(|(name, rows)| (Reverse((cost(rows), rows.len())), *name))?;
        let riskiest = groups(rows, |row| &row.phase)
            .into_iter()
            .min_by_key(|(name, rows)| (Reverse((damaging(rows), rows.len())), *name))?;
        Some(Self {
            airport: airport.to_owned(),
            year,
            strikes: rows.len() as i64,
            damaging: damaging(&rows.iter().collect::<Vec<_>>()) as i64,
            cost: rows.iter().map(|row| row.cost_total).sum(),
            worst_species: worst.0.to_owned(),
            riskiest_phase: riskiest.0.to_owned(),
        })
    }
}

/// The result of a task with this context, by plain Rust; null where the file has no such records.
pub fn expected(context: &Value) -> Value {
    let key = context["airport"].as_str().zip(context["year"].as_i64());
    let report = key.and_then(|(airport, year)| {
        Report::direct(Strikes::all().ok()?, airport, i32::try_from(year).ok()?)
    });
    json!({"report": report})
}

fn groups(rows: &[Strike], key: fn(&Strike) -> &String) -> BTreeMap<&str, Vec<&Strike>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for row in rows {
        groups.entry(key(row).as_str()).or_default().push(row);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::{super::TOTAL_COST, *};

    #[test]
    fn the_reports_add_up_to_the_file() {
        let strikes = Strikes::all().unwrap();
        let reports: Vec<_> = strikes
            .keys()
            .map(|(airport, year)| Report::direct(strikes, airport, year).unwrap())
            .collect();
        assert_eq!(reports.iter().map(|r| r.cost).sum::<i64>(), TOTAL_COST);
        assert_eq!(reports.iter().map(|r| r.strikes).sum::<i64>(), 10_000);
        assert_eq!(reports.iter().map(|r| r.damaging).sum::<i64>(), 1_061);
    }

    #[test]
    fn between_equals_the_number_of_strikes_decides_and_then_the_name() {
        let [header, row] = [0, 1].map(|n| super::super::data::FILE.lines().nth(n).unwrap());
        let of = |species: &str, phase: &str| {
            row.replace("Turkey vulture", species).replace("Climb", phase)
        };
        let rows =
            [of("Gull", "Taxi"), of("Rook", "Climb"), of("Rook", "Taxi"), of("Gull", "Climb")];
        let direct = |rows: &[String]| {
            let strikes = Strikes::parse(&format!("{header}\n{}\n", rows.join("\n"))).unwrap();
            let report = Report::direct(&strikes, "BARKSDALE AIR FORCE BASE ARPT", 1990).unwrap();
            (report.worst_species, report.riskiest_phase)
        };
        assert_eq!(direct(&rows), ("Gull".into(), "Climb".into()));
        assert_eq!(direct(&rows[..3]), ("Rook".into(), "Taxi".into()));
    }

    #[test]
    fn what_is_not_in_the_file_has_no_report() {
        assert_eq!(expected(&json!({"airport": "NOWHERE", "year": 1990})), json!({"report": null}));
        assert_eq!(expected(&json!({})), json!({"report": null}));
    }
}
