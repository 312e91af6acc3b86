//! Dead letters.

use super::parts::{Act, said, words};
use crate::{
    extract::{Json, OrDefault, Path, Query, between, known, page_size},
    problem::Result,
    state::App,
};
use axum::{
    http::{StatusCode, header},
    response::IntoResponse,
};
use pgtasker_client::{
    By, Client, DeadLetter, DeadLetterCount, DeadLetterDetails, DeadLetterFilter, DeadLetterReason,
    DeadLetterSelection, DeadLetterStatus, DeadLettersChanged, Listed, Page,
};
use pgtasker_core::bounds::MANY;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The routes of this module.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_dead_letters, add_dead_letter))
        .routes(routes!(dead_letter_counts))
        .routes(routes!(count_dead_letters))
        .routes(routes!(retry_dead_letters))
        .routes(routes!(update_dead_letters))
        .routes(routes!(show_dead_letter, update_dead_letter))
        .routes(routes!(retry_dead_letter))
}

/// Which dead letters, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeadLetterQuery {
    /// Only for this reason.
    reason: Option<String>,
    /// Only with this status.
    status: Option<String>,
    /// Only for this task.
    task_id: Option<Uuid>,
    /// Only with an id that has this beginning.
    #[param(pattern = "^[0-9a-fA-F-]{1,36}$")]
    id_prefix: Option<String>,
    /// `next` of the previous page.
    #[param(value_type = Option<Uuid>)]
    after: Option<String>,
    /// The most items to return.
    #[serde(default, deserialize_with = "page_size")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
}

/// Lists dead letters, the most urgent first
#[utoipa::path(
    get,
    path = "/v1/dead-letters",
    tag = "dead letters",
    params(DeadLetterQuery),
    responses((status = 200, body = Listed<DeadLetter>)),
    security(("key" = ["dead_letters:read"])),
)]
pub async fn list_dead_letters(
    app: App,
    Query(query): Query<DeadLetterQuery>,
) -> Result<Json<Listed<DeadLetter>>> {
    let page = Page { after: query.after, limit: query.limit.unwrap_or(50) };
    let filter = DeadLetterFilter {
        reason: query.reason.map(DeadLetterReason::from),
        status: query.status.map(DeadLetterStatus::from),
        task_id: query.task_id,
        id_prefix: query.id_prefix,
    };
    app.call(app.client().list_dead_letters(&filter, &page)).await.map(Json)
}

/// Counts dead letters by reason and status
#[utoipa::path(
    get,
    path = "/v1/dead-letters/counts",
    tag = "dead letters",
    responses((status = 200, body = Vec<DeadLetterCount>)),
    security(("key" = ["dead_letters:read"])),
)]
pub async fn dead_letter_counts(app: App) -> Result<Json<Vec<DeadLetterCount>>> {
    app.call(app.client().dead_letter_counts()).await.map(Json)
}

/// A dead letter in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct EntryAt {
    /// The dead letter.
    entry_id: Uuid,
}

/// Shows a dead letter with its snapshot or message
#[utoipa::path(get, path = "/v1/dead-letters/{entry_id}", tag = "dead letters", params(EntryAt),
    responses((status = 200, body = DeadLetterDetails)), security(("key" = ["dead_letters:read"])))]
pub async fn show_dead_letter(
    app: App,
    Path(at): Path<EntryAt>,
) -> Result<Json<DeadLetterDetails>> {
    show(&app, at.entry_id).await
}

async fn show(app: &App, entry_id: Uuid) -> Result<Json<DeadLetterDetails>> {
    app.call(app.client().show_dead_letter(entry_id)).await.map(Json)
}

/// A task to add to the dead letters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDeadLetter {
    /// The task; it is not changed.
    task_id: Uuid,
    /// The first line of its notes.
    #[serde(default, deserialize_with = "words")]
    #[schema(max_length = 10_000)]
    notes: Option<String>,
    /// A person; the key's name is added.
    #[serde(default, deserialize_with = "super::parts::name")]
    #[schema(max_length = 200)]
    by: Option<String>,
}

/// A dead letter.
#[derive(Debug, Serialize, ToSchema)]
pub struct Entry {
    /// The new entry, or the task's pending one if it has one.
    entry_id: Uuid,
}

/// Adds a dead letter for a task
#[utoipa::path(
    post,
    path = "/v1/dead-letters",
    tag = "dead letters",
    request_body = NewDeadLetter,
    responses(
        (status = 201, body = Entry, headers(("location" = String, description = "Of the dead \
            letter"))),
    ),
    security(("key" = ["dead_letters:write"])),
)]
pub async fn add_dead_letter(
    app: App,
    Json(new): Json<NewDeadLetter>,
) -> Result<impl IntoResponse> {
    let by = By { who: new.by.as_deref(), reason: None };
    let entry_id = app
        .change(
            new.task_id.to_string(),
            app.client().add_dead_letter(new.task_id, new.notes.as_deref(), by),
        )
        .await?;
    let location = [(header::LOCATION, format!("/v1/dead-letters/{entry_id}"))];
    Ok((StatusCode::CREATED, location, Json(Entry { entry_id })))
}

/// What changes in a dead letter.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterChange {
    /// None: unchanged.
    #[serde(default, deserialize_with = "known")]
    status: Option<DeadLetterStatus>,
    /// A line to add to the notes.
    #[serde(default, deserialize_with = "words")]
    #[schema(max_length = 10_000)]
    notes: Option<String>,
    /// A person; the key's name is added.
    #[serde(default, deserialize_with = "super::parts::name")]
    #[schema(max_length = 200)]
    by: Option<String>,
}

/// Sets the status and adds to the notes
#[utoipa::path(patch, path = "/v1/dead-letters/{entry_id}", tag = "dead letters", params(EntryAt),
    request_body = DeadLetterChange, responses((status = 200, body = DeadLetterDetails)),
    security(("key" = ["dead_letters:write"])))]
pub async fn update_dead_letter(
    app: App,
    Path(at): Path<EntryAt>,
    Json(change): Json<DeadLetterChange>,
) -> Result<Json<DeadLetterDetails>> {
    let by = By { who: change.by.as_deref(), reason: None };
    let status = change.status.as_ref();
    app.change(
        at.entry_id.to_string(),
        app.client().update_dead_letter(at.entry_id, status, change.notes.as_deref(), by),
    )
    .await?;
    show(&app, at.entry_id).await
}

/// Replays what failed, or sends the message again, and closes the entry
#[utoipa::path(
    post,
    path = "/v1/dead-letters/{entry_id}/retry",
    tag = "dead letters",
    params(EntryAt),
    request_body = Option<Act>,
    responses((status = 200, body = DeadLetterDetails)),
    security(("key" = ["dead_letters:write"])),
)]
pub async fn retry_dead_letter(
    app: App,
    Path(at): Path<EntryAt>,
    body: Option<Json<Act>>,
) -> Result<Json<DeadLetterDetails>> {
    let act = body.or_default();
    app.change(
        at.entry_id.to_string(),
        app.client().retry_dead_letter(at.entry_id, said(&act.by, &act.reason)),
    )
    .await?;
    show(&app, at.entry_id).await
}

/// Many dead letters, with a reason and a name for the audit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkDeadLetters {
    /// The filter; without a status it matches the pending ones.
    filter: DeadLetterSelection,
    /// For an update; none: unchanged.
    #[serde(default, deserialize_with = "known")]
    status: Option<DeadLetterStatus>,
    /// For the audit, and a line in the notes.
    #[serde(default, deserialize_with = "words")]
    #[schema(max_length = 10_000, example = "the card network is back")]
    reason: Option<String>,
    /// A person; the key's name is added.
    #[serde(default, deserialize_with = "super::parts::name")]
    #[schema(max_length = 200, example = "ana")]
    by: Option<String>,
    /// The most entries to change in this call.
    #[serde(default, deserialize_with = "between::<_, 1, 1000>")]
    #[schema(value_type = u32, minimum = 1, maximum = 1000, default = 100)]
    max: Option<u32>,
    /// `last_entry` of the previous call.
    #[serde(default)]
    after: Option<Uuid>,
}

impl BulkDeadLetters {
    fn max(&self) -> i32 {
        self.max.and_then(|max| i32::try_from(max).ok()).unwrap_or(MANY.default as i32)
    }
}

/// Replays many dead letters; call again with `after` until there is no `last_entry`
#[utoipa::path(
    post,
    path = "/v1/dead-letters/retry",
    tag = "dead letters",
    request_body = BulkDeadLetters,
    responses((status = 200, body = DeadLettersChanged)),
    security(("key" = ["dead_letters:write"])),
)]
pub async fn retry_dead_letters(
    app: App,
    Json(bulk): Json<BulkDeadLetters>,
) -> Result<Json<DeadLettersChanged>> {
    let by = said(&bulk.by, &bulk.reason);
    app.change(None, app.client().retry_dead_letters(&bulk.filter, by, bulk.max(), bulk.after))
        .await
        .map(Json)
}

/// Sets the status of many dead letters; call again with `after` until there is no `last_entry`
#[utoipa::path(
    post,
    path = "/v1/dead-letters/update",
    tag = "dead letters",
    request_body = BulkDeadLetters,
    responses((status = 200, body = DeadLettersChanged)),
    security(("key" = ["dead_letters:write"])),
)]
pub async fn update_dead_letters(
    app: App,
    Json(bulk): Json<BulkDeadLetters>,
) -> Result<Json<DeadLettersChanged>> {
    let by = said(&bulk.by, &bulk.reason);
    let status = bulk.status.as_ref();
    app.change(
        None,
        app.client().update_dead_letters(&bulk.filter, status, by, bulk.max(), bulk.after),
    )
    .await
    .map(Json)
}

/// Which dead letters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhichDeadLetters {
    /// The filter; without a status it matches the pending ones.
    filter: DeadLetterSelection,
}

/// How many.
#[derive(Debug, Serialize, ToSchema)]
pub struct Entries {
    /// Dead letters.
    entries: i64,
}

/// Counts the dead letters that match
#[utoipa::path(
    post,
    path = "/v1/dead-letters/count",
    tag = "dead letters",
    request_body = WhichDeadLetters,
    responses((status = 200, body = Entries)),
    security(("key" = ["dead_letters:read"])),
)]
pub async fn count_dead_letters(
    app: App,
    Json(which): Json<WhichDeadLetters>,
) -> Result<Json<Entries>> {
    let entries = app.call(app.client().count_dead_letters(&which.filter)).await?;
    Ok(Json(Entries { entries }))
}
