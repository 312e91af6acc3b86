//! `sql`: runs the database function that `config.function` names, `schema.name(jsonb)`, in the
//! worker's own role. The function's writes and the step's completion commit together or not at
//! all: exactly once.

use super::envelope::Envelope;
use crate::{
    StepContext, StepError,
    claim::{Ticket, leases::is_ours},
    events::{StepEvent, outgoing},
    outage::is_outage,
    run::{
        OwnTransaction, Ran,
        prepared::{BUSY, OWN_STEP},
        transaction::failure,
    },
    shared::Shared,
};
use pgtasker_core::{ClaimStatus, StepOutcome, failpoint, limited};
use serde::Deserialize;
use serde_json::Value;
use sqlx::{PgConnection, types::Json};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// The database ends a statement by itself; this only meets a connection that went silent.
const SILENCE: Duration = Duration::from_secs(5);

// An outcome that is rejected is brought here to be submitted again, but for one of very many
// cursors: 33554432 is 32 MiB.

/// An outcome and its fence in one statement; the outcome's own parameters begin at $6. duration_ms
/// counts from `begin`.
macro_rules! submit {
    ($outcome:literal) => {
        concat!(
            "with o as materialized (select ",
            $outcome,
            " as outcome) \
     select s.status, case s.status when 'rejected' then (select t.t from (select o.outcome::text \
     offset 0) t(t) where octet_length(t.t) <= 33554432) end, \
            case s.status when 'rejected' then tasker.outcome_problem(o.outcome) end from o, \
            lateral tasker.submit_results($1, jsonb_build_array(jsonb_build_object( \
         'task_id', $2::uuid, 'step', $3::text, 'claim_no', $4::int, 'outcome', o.outcome, \
         'events', $5::jsonb, \
         'duration_ms', (extract(epoch from clock_timestamp() - now()) * 1000)::bigint)), '2 s') s"
        )
    };
}

/// Function and fence in one statement.
const RUN: &str = submit!("tasker.run_sql_handler($6, $7, $8)");
/// Where events tell of the outcome: the function first, its outcome with them in a second
/// statement.
const RUN_ONLY: &str = "select tasker.run_sql_handler($1, $2, $3)::text";
const SUBMIT: &str = submit!("$6::text::jsonb");

/// Status, and of an outcome that was rejected its text and what is wrong with it.
type Submitted = (ClaimStatus, Option<String>, Option<String>);

/// Other keys are for the function, which gets the whole configuration.
#[derive(Deserialize)]
struct Config {
    function: String,
}

/// Runs the step. Waiting for a connection does not count towards its timeout.
pub(crate) async fn run(shared: &Shared, ctx: &StepContext, ticket: &Ticket) -> Ran {
    let config: Config = match ctx.config() {
        Ok(config) => config,
        Err(error) => return Ran::Outcome(StepOutcome::Failure(error.into())),
    };
    let Some(slot) = shared.sql_slots.acquire().await else {
        return Ran::Outcome(StepOutcome::retryable("the worker is stopping"));
    };
    if ticket.cancelled.is_cancelled() {
        return Ran::Outcome(StepOutcome::Failure(
            StepError::retryable("cancelled").code("cancelled").into(),
        ));
    }
    let failed = |error: &sqlx::Error| Ran::Outcome(StepOutcome::Failure(failure(error).into()));
    match transaction(shared, ctx, ticket, &config.function, slot).await {
        Ok(Answer::Rejected(outcome, problem)) => {
            shared.meters.result(&ClaimStatus::Rejected);
            Ran::Outcome(rejected(&config.function, outcome.as_deref(), problem))
        }
        Ok(Answer::Status(ClaimStatus::Busy)) => Ran::Lost(BUSY.to_owned()),
        Ok(Answer::Status(status)) => {
            shared.meters.result(&status);
            if status != ClaimStatus::Accepted {
                tracing::info!(%status, "the step is no longer this worker's: its writes were \
                    rolled back");
            }
            Ran::Submitted
        }
        Ok(Answer::OwnStep) => {
            let text = format!("{} {OWN_STEP}", config.function);
            Ran::Outcome(StepOutcome::Failure(StepError::permanent(text).code("own_step").into()))
        }
        Ok(Answer::Silence) => {
            ticket.cancelled.cancel();
            Ran::Lost(
                "the database has not answered, though it ends a statement that takes too long"
                    .to_owned(),
            )
        }
        // Also when the fate of a commit is unknown: if it took place, the release is answered as
        // stale.
        Err(error) => {
            let ran = if is_outage(&error) {
                Ran::Lost(format!("database: {error}"))
            } else {
                failed(&error)
            };
            // What the server says may be the function's own words, of a foreign server for
            // instance.
            if error.as_database_error().is_none() {
                shared.breaker.record::<()>(&Err(error));
            }
            ran
        }
    }
}

enum Answer {
    /// What `submit_results` said; committed only if `accepted`.
    Status(ClaimStatus),
    /// The function ended its own step or task. Rolled back.
    OwnStep,
    /// The function's outcome has not the form of one, and what is wrong with it; or it is too
    /// large, or not one for this step. Rolled back.
    Rejected(Option<String>, Option<String>),
    /// The timeout is long over and the database says nothing.
    Silence,
}

async fn transaction(
    shared: &Shared,
    ctx: &StepContext,
    ticket: &Ticket,
    function: &str,
    slot: OwnedSemaphorePermit,
) -> sqlx::Result<Answer> {
    let timeout = ctx.claim.timeout;
    failpoint::reach("worker.before_sql_begin");
    // This worker pauses only if it is frozen or gone, and then another has the step.
    let limits = (timeout, timeout.min(shared.settings.lease));
    let mut transaction =
        OwnTransaction::begin(shared, &ticket.cancelled, slot, ticket.key.task_id, limits).await?;
    failpoint::reach("worker.before_sql_run");
    let silence = transaction.silence();
    let run = submit(shared, ctx, ticket, function, transaction.connection());
    let answer = tokio::select! {
        biased;
        answer = tokio::time::timeout(timeout + SILENCE, run) => answer,
        () = silence => Ok(Err(limited::silent())),
    };
    let ((status, outcome, problem), events) = match answer {
        Ok(answer) => answer?,
        Err(_) => return Ok(Answer::Silence),
    };
    if status == ClaimStatus::Accepted {
        failpoint::reach("worker.before_sql_commit");
        transaction.commit().await?;
        failpoint::reach("worker.after_sql_commit");
        shared.announce(&events);
    } else {
        transaction.rollback().await;
        if status != ClaimStatus::Rejected && is_ours(shared, &ticket.key, ticket.claim_no).await {
            return Ok(Answer::OwnStep);
        }
    }
    Ok(if status == ClaimStatus::Rejected {
        Answer::Rejected(outcome, problem)
    } else {
        Answer::Status(status)
    })
}

/// Runs the function and submits what it returned, with the events that tell of it.
async fn submit(
    shared: &Shared,
    ctx: &StepContext,
    ticket: &Ticket,
    function: &str,
    connection: &mut PgConnection,
) -> sqlx::Result<(Submitted, Vec<StepEvent>)> {
    let envelope = Json(Envelope::new(ctx));
    let fenced = |statement: &'static str, events: &[StepEvent]| {
        // Not kept: foreign code runs on this connection, which is made as new afterwards.
        sqlx::query_as::<_, Submitted>(statement)
            .persistent(false)
            .bind(shared.worker_id)
            .bind(ticket.key.task_id)
            .bind(ticket.key.step.to_string())
            .bind(ticket.claim_no)
            .bind(serde_json::to_value(events).unwrap_or_default())
    };
    if !ctx.declares_events() {
        let run = fenced(RUN, &[]).bind(function).bind(envelope).bind(&shared.sql_allow);
        return Ok((run.fetch_one(connection).await?, Vec::new()));
    }
    // As text: the database knows numbers and depths that a Value does not.
    let run = sqlx::query_scalar(RUN_ONLY).persistent(false).bind(function).bind(envelope);
    let outcome: String = run.bind(&shared.sql_allow).fetch_one(&mut *connection).await?;
    let events = match serde_json::from_str::<Value>(&outcome) {
        // An invalid outcome is rejected, and no event tells of it.
        Ok(value) => match StepOutcome::from_json(&value) {
            Ok(outcome) => outgoing(ctx, &shared.publishers, &outcome, &ctx.cancelled).await,
            Err(_) => Vec::new(),
        },
        Err(error) => {
            let nothing = StepOutcome::success(Value::Null);
            let mut events = outgoing(ctx, &shared.publishers, &nothing, &ctx.cancelled).await;
            let why = format!("the step's result is no payload that can be read: {error}");
            events.iter_mut().for_each(|event| event.withhold(&why));
            events
        }
    };
    Ok((fenced(SUBMIT, &events).bind(outcome).fetch_one(connection).await?, events))
}

/// The failure of a step whose function returned `$tasker` with something else than an outcome, in
/// the database's words. One that has the form is over the database's limit, or not one for this
/// step: submitted again, without the writes, it fails the step with what is wrong.
fn rejected(function: &str, outcome: Option<&str>, problem: Option<String>) -> StepOutcome {
    let Some(outcome) = outcome else {
        let text = format!(
            "the outcome that {function} returned under $tasker is not valid for this step, and \
             too large to be looked at \
             (more than 32 MiB as text)"
        );
        return StepOutcome::Failure(StepError::permanent(text).code("invalid_outcome").into());
    };
    let outcome = match problem {
        Some(problem) => Err(problem),
        // What the database takes and this does not: values nested too deep.
        None => serde_json::from_str(outcome).map_err(|error| error.to_string()),
    };
    outcome.unwrap_or_else(|why| {
        let text =
            format!("the outcome that {function} returned under $tasker is not valid: {why}");
        StepOutcome::Failure(StepError::permanent(text).code("invalid_outcome").into())
    })
}
