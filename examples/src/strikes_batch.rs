//! The file of strikes as one task: a batch over its rows. Each instance adds up a range, saving a
//! checkpoint every few rows; the last step reads what they found in pages, so that it would do for
//! any number of them.

use crate::strikes::{Strike, Strikes};
use pgtasker_worker::{Batchable, Cursor, StepContext, StepError, StepOutcome, WorkerBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{cmp::Reverse, collections::BTreeMap};

/// The template file.
pub const TEMPLATE: &str = include_str!("../templates/strikes_batch.yaml");
/// Instances that are read at once.
const PAGE: u32 = 64;

/// Adds the handlers of this example.
pub fn register(builder: WorkerBuilder) -> WorkerBuilder {
    builder
        .handler("strikes_batch_cut", cut)
        .handler("strikes_batch_add", add)
        .handler("strikes_batch_total", total)
}

/// What was found in some rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Figures {
    rows: u64,
    /// Rows with damage.
    damaging: u64,
    /// Dollars.
    cost: i64,
    species: BTreeMap<String, Share>,
}

/// The figures of one species.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Share {
    strikes: u64,
    /// Dollars.
    cost: i64,
}

impl Figures {
    fn count(&mut self, strike: &Strike) {
        self.rows += 1;
        self.damaging += u64::from(strike.did_damage());
        self.cost += strike.cost_total;
        let share = self.species.entry(strike.species.clone()).or_default();
        share.strikes += 1;
        share.cost += strike.cost_total;
    }

    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.damaging += other.damaging;
        self.cost += other.cost;
        for (species, share) in other.species {
            let sum = self.species.entry(species).or_default();
            sum.strikes += share.strikes;
            sum.cost += share.cost;
        }
    }

    /// With the costliest species only; between equals the one with more strikes, then the first by
    /// name.
    fn report(self, places: usize) -> Value {
        let mut species: Vec<_> = self.species.into_iter().collect();
        species.sort_by_key(|(_, share)| Reverse((share.cost, share.strikes)));
        let species: Vec<Value> = species
            .into_iter()
            .take(places)
            .map(|(name, Share { strikes, cost })| {
                json!({"species": name, "strikes": strikes, "cost": cost})
            })
            .collect();
        json!({"rows": self.rows, "damaging": self.damaging, "cost": self.cost, "species": species})
    }
}

/// The result of a task, by one pass over the file for each figure; null where the file cannot be
/// read.
pub fn expected(_context: &Value) -> Value {
    let Ok(strikes) = Strikes::all() else { return Value::Null };
    let cost = |of: &dyn Fn(&Strike) -> bool| -> i64 {
        strikes.iter().filter(|strike| of(strike)).map(|strike| strike.cost_total).sum()
    };
    let count = |of: &dyn Fn(&Strike) -> bool| strikes.iter().filter(|strike| of(strike)).count();
    let mut names: Vec<&str> = strikes.iter().map(|strike| strike.species.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut species: Vec<(i64, usize, &str)> = names
        .into_iter()
        .map(|name| {
            (cost(&|strike| strike.species == name), count(&|strike| strike.species == name), name)
        })
        .collect();
    species.sort_by(|a, b| (b.0, b.1, a.2).cmp(&(a.0, a.1, b.2)));
    let species: Vec<Value> = species
        .into_iter()
        .take(5)
        .map(|(cost, strikes, name)| json!({"species": name, "strikes": strikes, "cost": cost}))
        .collect();
    let damaging = count(&|strike| strike.damage != "None");
    json!({
        "total": {
            "rows": count(&|_| true),
            "damaging": damaging,
            "cost": cost(&|_| true),
            "species": species,
        },
    })
}

/// Config of the steps `cut` (rows of a range) and `add` (rows from checkpoint to checkpoint).
#[derive(Deserialize)]
struct Size {
    rows: u64,
}

/// Config of the step `total`.
#[derive(Deserialize)]
struct Ranking {
    places: usize,
}

fn file() -> Result<&'static Strikes, StepError> {
    Strikes::all().map_err(|e| StepError::permanent(e.to_string()))
}

/// Counts the rows of the file and cuts them into ranges.
///
/// # Errors
/// A permanent one, when the file cannot be read.
pub async fn cut(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Size { rows } = ctx.config()?;
    let all = file()?.iter().count() as u64;
    Ok(ctx.batches(ctx.split_by(0..all, rows))?.with_result(all))
}

/// Adds up the next rows of its range, and yields where it has not come to the end.
///
/// # Errors
/// As [`cut`].
pub async fn add(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let range: Cursor = ctx.cursor()?;
    let Size { rows } = ctx.config()?;
    let (from, mut figures) = match ctx.last_checkpoint::<u64, Figures>()? {
        Some(last) => (last.cursor, last.accumulated),
        None => (range.start, Figures::default()),
    };
    let to = range.end.min(from + rows);
    for strike in file()?.rows(from..to) {
        figures.count(strike);
    }
    if to < range.end {
        return ctx.checkpoint(to, to - range.start, figures);
    }
    Ok(StepOutcome::success(serde_json::to_value(figures)?))
}

/// Adds up the ranges.
///
/// # Errors
/// Those of reading the pages.
pub async fn total(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Ranking { places } = ctx.config()?;
    let mut total = Figures::default();
    let mut pages = ctx.batch("add")?.pages::<Figures>().page_size(PAGE);
    while let Some(page) = pages.next_page().await? {
        for figures in page.into_iter().filter_map(|instance| instance.result) {
            total.add(figures);
        }
    }
    Ok(StepOutcome::success(total.report(places)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strikes::TOTAL_COST;

    #[test]
    fn the_direct_computation_has_the_known_figures() {
        let total = &expected(&Value::Null)["total"];
        assert_eq!(
            (&total["rows"], &total["damaging"], &total["cost"]),
            (&json!(10_000), &json!(1_061), &json!(TOTAL_COST))
        );
        assert_eq!(total["species"].as_array().unwrap().len(), 5);
    }

    #[test]
    fn parts_add_up_to_the_whole_and_between_equals_strikes_decide_and_then_the_name() {
        let strikes = Strikes::all().unwrap();
        let of = |rows| {
            let mut figures = Figures::default();
            strikes.rows(rows).for_each(|strike| figures.count(strike));
            figures
        };
        let mut sum = of(0..3);
        sum.add(of(3..100));
        assert_eq!((sum.rows, &sum), (100, &of(0..100)));

        let share = |name: &str, strikes, cost| (name.to_owned(), Share { strikes, cost });
        let species =
            [share("Rook", 1, 5), share("Gull", 2, 5), share("Kite", 9, 4), share("Crow", 1, 5)];
        let report = Figures { species: species.into(), ..Figures::default() }.report(3);
        let names: Vec<_> = report["species"]
            .as_array()
            .unwrap()
            .iter()
            .map(|species| &species["species"])
            .collect();
        assert_eq!(names, ["Gull", "Crow", "Rook"]);
    }
}
