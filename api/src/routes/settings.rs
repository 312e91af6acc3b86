//! The settings of the engine.

use crate::{
    extract::{Json, Path},
    problem::Result,
    state::App,
};
use pgtasker_client::{By, Client, EngineSetting};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this module.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_settings)).routes(routes!(set_setting))
}

/// Lists the settings of the engine by name
#[utoipa::path(get, path = "/v1/settings", tag = "system",
    responses((status = 200, body = Vec<EngineSetting>)), security(("key" = ["system:read"])))]
pub async fn list_settings(app: App) -> Result<Json<Vec<EngineSetting>>> {
    app.call(app.client().list_settings()).await.map(Json)
}

/// A setting in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SettingAt {
    /// Its name.
    #[param(example = "retention_days")]
    name: String,
}

/// The new value of a setting.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewValue {
    /// As text.
    #[schema(max_length = 1_000, example = "90")]
    value: String,
    /// A person; the key's name is added.
    #[serde(default, deserialize_with = "super::parts::name")]
    #[schema(max_length = 200, example = "ana")]
    by: Option<String>,
}

/// A setting and its value.
#[derive(Debug, Serialize, ToSchema)]
pub struct SettingSet {
    /// The name of the setting.
    name: String,
    /// As text.
    value: String,
}

/// Changes a setting of the engine, at once and for every process
#[utoipa::path(
    put,
    path = "/v1/settings/{name}",
    tag = "system",
    params(SettingAt),
    request_body = NewValue,
    responses((status = 200, body = SettingSet)),
    security(("key" = ["system:write"])),
)]
pub async fn set_setting(
    app: App,
    Path(SettingAt { name }): Path<SettingAt>,
    Json(NewValue { value, by }): Json<NewValue>,
) -> Result<Json<SettingSet>> {
    app.change(
        "settings".to_owned(),
        app.client().set_setting(&name, &value, By { who: by.as_deref(), reason: None }),
    )
    .await?;
    Ok(Json(SettingSet { name, value }))
}
