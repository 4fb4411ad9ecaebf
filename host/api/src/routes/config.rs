//! The configuration as a tree of records.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::{Body as Bytes, Bytes as Piece};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cairn_node::ConfigRecord;
use futures::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::extract::{Body, Query};
use crate::problem::{Answer, Problem};

/// A line at least this often, so that both ends know the other is there.
const BEAT: Duration = Duration::from_secs(10);

#[derive(Deserialize, IntoParams)]
struct Read {
    /// Only what is below this path.
    #[serde(default)]
    below: String,
    /// As known on this node, without asking the others.
    #[serde(default)]
    local: bool,
}

#[derive(Deserialize, IntoParams)]
struct Expected {
    /// The revision that the record must have; 0: there must be none.
    revision: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
struct From {
    /// Only what is below this path.
    #[serde(default)]
    below: String,
    /// Begin after this revision; now if not given.
    after: Option<u64>,
}

/// Records, and how much they can be relied on.
#[derive(Serialize, Deserialize, ToSchema)]
struct Records {
    /// The records, by path.
    records: Vec<ConfigRecord>,
    /// They include everything that was committed before the request.
    current: bool,
    /// The store's revision as known on this node.
    revision: u64,
    /// How long ago this node last knew that it has everything, in ms; absent if not since its start.
    age_ms: Option<u64>,
}

/// What came of an import.
#[derive(Serialize, Deserialize, ToSchema)]
struct Imported {
    /// The store's revision now.
    revision: u64,
}

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, import))
        .routes(routes!(watch))
        .routes(routes!(get, set, remove))
}

/// The records below a path; without a quorum those known here, with their age
#[utoipa::path(get, path = "/api/v1/config", tag = "config", params(Read),
    responses((status = 200, body = Records), (status = "default", body = Problem)))]
async fn list(State(node): State<Shared>, Query(query): Query<Read>) -> Answer<Json<Records>> {
    let current = !query.local && node.sync_config().await;
    let records = node.configs(&query.below)?;
    Ok(Json(Records {
        records,
        current,
        revision: node.revision(),
        age_ms: node.config_age_ms(),
    }))
}

/// One record; without a quorum as known here, with its age
#[utoipa::path(get, path = "/api/v1/config/{*path}", tag = "config", params(("path" = String, Path), Read),
    responses((status = 200, body = Records), (status = "default", body = Problem)))]
async fn get(
    State(node): State<Shared>,
    Path(path): Path<String>,
    Query(query): Query<Read>,
) -> Answer<Json<Records>> {
    let current = !query.local && node.sync_config().await;
    let records = vec![node.config(&path)?];
    Ok(Json(Records {
        records,
        current,
        revision: node.revision(),
        age_ms: node.config_age_ms(),
    }))
}

/// Set many records in one change
#[utoipa::path(post, path = "/api/v1/config", tag = "config", request_body = Object,
    responses((status = 200, body = Imported), (status = "default", body = Problem)))]
async fn import(
    State(node): State<Shared>,
    Body(records): Body<serde_json::Map<String, Value>>,
) -> Answer<Json<Imported>> {
    Ok(Json(Imported {
        revision: node.import_config(records).await?,
    }))
}

/// Set a record
#[utoipa::path(put, path = "/api/v1/config/{*path}", tag = "config", params(("path" = String, Path), Expected),
    request_body = Object, responses((status = 200, body = ConfigRecord), (status = "default", body = Problem)))]
async fn set(
    State(node): State<Shared>,
    Path(path): Path<String>,
    Query(query): Query<Expected>,
    Body(value): Body<Value>,
) -> Answer<Json<ConfigRecord>> {
    Ok(Json(node.set_config(&path, value, query.revision).await?))
}

/// Remove a record
#[utoipa::path(delete, path = "/api/v1/config/{*path}", tag = "config", params(("path" = String, Path), Expected),
    responses((status = 204), (status = "default", body = Problem)))]
async fn remove(
    State(node): State<Shared>,
    Path(path): Path<String>,
    Query(query): Query<Expected>,
) -> Answer<StatusCode> {
    node.remove_config(&path, query.revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes as they are made: one JSON document a line, an empty line as a sign of life
#[utoipa::path(get, path = "/api/v1/config-changes", tag = "config", params(From),
    responses((status = 200, content_type = "application/x-ndjson", body = String), (status = "default", body = Problem)))]
async fn watch(State(node): State<Shared>, Query(query): Query<From>) -> Answer<Response> {
    let watch = node.watch_config(&query.below, query.after)?;
    let lines = stream::unfold(Some(watch), |state| async {
        let mut watch = state?;
        let line = match tokio::time::timeout(BEAT, watch.next()).await {
            Err(_) => return Some((Ok::<_, Infallible>(Piece::from_static(b"\n")), Some(watch))),
            Ok(None) => {
                let end = json!({"ended": "the reader was too slow, or the store was replaced: read all, then watch anew"});
                return Some((Ok(Piece::from(format!("{end}\n"))), None));
            }
            Ok(Some(event)) => {
                let mut value = event.value.as_deref().cloned();
                if let Some(value) = &mut value {
                    cairn_node::config::hide(&event.path, value);
                }
                json!({"revision": event.revision, "path": event.path, "value": value})
            }
        };
        Some((Ok(Piece::from(format!("{line}\n"))), Some(watch)))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Bytes::from_stream(lines)).into_response())
}
