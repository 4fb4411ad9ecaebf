//! Storages and the types of which they can be.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use cairn_core::Error;
use cairn_core::names::StorageName;
use cairn_core::storage::Partial;
use cairn_node::records::{Storage, StorageReport, StorageType};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::extract::{Body, Query, named};
use crate::problem::{Answer, Problem};

/// A storage to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewStorage {
    /// Its name.
    name: String,
    /// Its type, or the plugin's name.
    #[serde(rename = "type")]
    type_name: String,
    /// Its configuration, by the plugin's schema.
    #[serde(default)]
    #[schema(value_type = Object)]
    config: Option<Value>,
}

/// A change of a storage's configuration.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StorageChange {
    /// Keys to set; `null` takes one away.
    #[schema(value_type = Object)]
    config: Value,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AddQuery {
    /// Add it though its backend is away.
    #[serde(default)]
    force: bool,
}

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(types))
        .routes(routes!(storage_type))
        .routes(routes!(list, add))
        .routes(routes!(show, set, remove))
        .routes(routes!(status))
        .routes(routes!(transfers))
        .routes(routes!(abandon))
}

/// List the types of storage that can be added
#[utoipa::path(get, path = "/api/v1/storage-types", tag = "storage",
    responses((status = 200, body = Vec<StorageType>), (status = "default", body = Problem)))]
async fn types(State(node): State<Shared>) -> Answer<Json<Vec<StorageType>>> {
    Ok(Json(node.storage_types()?))
}

/// Show a type of storage with the schema of its configuration
#[utoipa::path(get, path = "/api/v1/storage-types/{type}", tag = "storage", params(("type" = String, Path)),
    responses((status = 200, body = StorageType), (status = "default", body = Problem)))]
async fn storage_type(
    State(node): State<Shared>,
    Path(name): Path<String>,
) -> Answer<Json<StorageType>> {
    Ok(Json(node.storage_type(&name)?))
}

/// List storages with their status
#[utoipa::path(get, path = "/api/v1/storage", tag = "storage",
    responses((status = 200, body = Vec<Storage>), (status = "default", body = Problem)))]
async fn list(State(node): State<Shared>) -> Answer<Json<Vec<Storage>>> {
    Ok(Json(node.storages().await?))
}

/// Add a storage
#[utoipa::path(post, path = "/api/v1/storage", tag = "storage", request_body = NewStorage, params(AddQuery),
    responses((status = 201, body = Storage), (status = "default", body = Problem)))]
async fn add(
    State(node): State<Shared>,
    Query(query): Query<AddQuery>,
    Body(new): Body<NewStorage>,
) -> Answer<(StatusCode, Json<Storage>)> {
    let name: StorageName = new.name.parse().map_err(|mut e: Error| {
        e.field = Some("name".to_owned());
        e
    })?;
    let config = new
        .config
        .unwrap_or_else(|| Value::Object(Default::default()));
    let storage = node
        .add_storage(&name, &new.type_name, &config, query.force)
        .await?;
    Ok((StatusCode::CREATED, Json(storage)))
}

/// Show a storage with its status
#[utoipa::path(get, path = "/api/v1/storage/{storage}", tag = "storage", params(("storage" = String, Path)),
    responses((status = 200, body = Storage), (status = "default", body = Problem)))]
async fn show(State(node): State<Shared>, Path(name): Path<String>) -> Answer<Json<Storage>> {
    Ok(Json(node.storage(&named(&name)?).await?))
}

/// Change a storage's configuration
#[utoipa::path(patch, path = "/api/v1/storage/{storage}", tag = "storage", request_body = StorageChange,
    params(("storage" = String, Path), ("if-match" = Option<String>, Header, description = "The revision it was read at")),
    responses((status = 200, body = Storage), (status = "default", body = Problem)))]
async fn set(
    State(node): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(change): Body<StorageChange>,
) -> Answer<Json<Storage>> {
    let expect = match headers.get(header::IF_MATCH) {
        None => None,
        Some(tag) => {
            let revision = tag
                .to_str()
                .ok()
                .and_then(|t| t.trim_matches('"').parse().ok());
            Some(revision.ok_or_else(|| Error::invalid("if-match", "it must be a revision"))?)
        }
    };
    Ok(Json(
        node.set_storage(&named(&name)?, &change.config, expect)
            .await?,
    ))
}

/// Forget a storage; its data stays
#[utoipa::path(delete, path = "/api/v1/storage/{storage}", tag = "storage", params(("storage" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
async fn remove(State(node): State<Shared>, Path(name): Path<String>) -> Answer<StatusCode> {
    node.remove_storage(&named(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Space, state and health of a storage
#[utoipa::path(get, path = "/api/v1/storage/{storage}/status", tag = "storage", params(("storage" = String, Path)),
    responses((status = 200, body = StorageReport), (status = "default", body = Problem)))]
async fn status(
    State(node): State<Shared>,
    Path(name): Path<String>,
) -> Answer<Json<StorageReport>> {
    Ok(Json(node.storage_status(&named(&name)?).await?))
}

/// What interrupted transfers left
#[utoipa::path(get, path = "/api/v1/storage/{storage}/transfers", tag = "storage", params(("storage" = String, Path)),
    responses((status = 200, body = Vec<Partial>), (status = "default", body = Problem)))]
async fn transfers(
    State(node): State<Shared>,
    Path(name): Path<String>,
) -> Answer<Json<Vec<Partial>>> {
    Ok(Json(node.transfers(&named(&name)?).await?))
}

/// Remove what an interrupted transfer left
#[utoipa::path(delete, path = "/api/v1/storage/{storage}/transfers/{ticket}", tag = "storage",
    params(("storage" = String, Path), ("ticket" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
async fn abandon(
    State(node): State<Shared>,
    Path((name, ticket)): Path<(String, String)>,
) -> Answer<StatusCode> {
    node.abandon_transfer(&named(&name)?, &ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}
