//! The five handlers. They work on tables of the application through a pool of its own, which they
//! get as state; the engine's connections are left to the engine.

use super::{NAMESPACE, Report, Strikes};
use pgtasker_worker::{StepContext, StepError, StepOutcome, WorkerBuilder};
use serde::Deserialize;
use serde_json::Value;
use sqlx::{PgPool, types::Json};

/// Adds the namespace and the handlers of this example; `tables` is the database with the schema
/// `strikes`.
pub fn register(builder: WorkerBuilder, tables: PgPool) -> WorkerBuilder {
    builder
        .namespace(NAMESPACE)
        .state(tables)
        .handler("load", load)
        .handler("cost_summary", cost_summary)
        .handler("species_ranking", species_ranking)
        .handler("phase_profile", phase_profile)
        .handler("report", report)
}

/// The context of a task.
#[derive(Deserialize)]
struct Key {
    airport: String,
    year: i32,
}

/// Config of the step `species_ranking`.
#[derive(Deserialize)]
struct RankingConfig {
    places: i64,
}

// What `report` reads of its parents' results; they say more.

#[derive(Deserialize)]
struct Costs {
    strikes: i64,
    damaging: i64,
    total: i64,
}

#[derive(Deserialize)]
struct Species {
    species: String,
}

#[derive(Deserialize)]
struct Phase {
    phase: String,
}

/// Replaces what the table has of this airport and year, in one transaction: a second attempt, or a
/// second run, leaves the same rows.
async fn load(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Key { airport, year } = ctx.context()?;
    let rows = Strikes::all().map_err(|e| StepError::permanent(e.to_string()))?.of(&airport, year);
    if rows.is_empty() {
        let text = format!("birdstrikes.csv has no strikes at {airport:?} in {year}");
        return Err(StepError::permanent(text).code("no_such_records"));
    }
    let mut transaction = ctx.state::<PgPool>()?.begin().await?;
    sqlx::query("delete from strikes.strikes where airport = $1 and year = $2")
        .bind(&airport)
        .bind(year)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(include_str!("sql/load.sql")).bind(Json(rows)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(StepOutcome::success(serde_json::json!({"rows": rows.len()})))
}

async fn cost_summary(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Key { airport, year } = ctx.context()?;
    let summary: Value = sqlx::query_scalar(include_str!("sql/cost_summary.sql"))
        .bind(airport)
        .bind(year)
        .fetch_one(ctx.state::<PgPool>()?)
        .await?;
    Ok(StepOutcome::success(summary))
}

async fn species_ranking(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Key { airport, year } = ctx.context()?;
    let RankingConfig { places } = ctx.config()?;
    let ranking: Value = sqlx::query_scalar(include_str!("sql/species_ranking.sql"))
        .bind(airport)
        .bind(year)
        .bind(places)
        .fetch_one(ctx.state::<PgPool>()?)
        .await?;
    Ok(StepOutcome::success(ranking))
}

async fn phase_profile(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Key { airport, year } = ctx.context()?;
    let profile: Value = sqlx::query_scalar(include_str!("sql/phase_profile.sql"))
        .bind(airport)
        .bind(year)
        .fetch_one(ctx.state::<PgPool>()?)
        .await?;
    Ok(StepOutcome::success(profile))
}

/// Joins what the three found, keeps it in a table, and returns it.
async fn report(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Key { airport, year } = ctx.context()?;
    let costs: Costs = ctx.parent("cost_summary")?;
    let species: Vec<Species> = ctx.parent("species_ranking")?;
    let phases: Vec<Phase> = ctx.parent("phase_profile")?;
    let (Some(worst), Some(riskiest)) = (species.into_iter().next(), phases.into_iter().next())
    else {
        return Err(StepError::permanent(format!(
            "there is nothing to report of {airport:?} in {year}"
        )));
    };
    let report = Report {
        airport,
        year,
        strikes: costs.strikes,
        damaging: costs.damaging,
        cost: costs.total,
        worst_species: worst.species,
        riskiest_phase: riskiest.phase,
    };
    sqlx::query(include_str!("sql/report.sql"))
        .bind(Json(&report))
        .execute(ctx.state::<PgPool>()?)
        .await?;
    Ok(StepOutcome::success(serde_json::to_value(report)?))
}
