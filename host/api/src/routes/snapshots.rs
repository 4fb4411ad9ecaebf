//! Snapshots, holds and clones.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cairn_core::names::VolumeName;
use cairn_core::storage::{Snapshot, Volume};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::extract::{Body, Query, named};
use crate::problem::{Answer, Problem};

/// Snapshots to take, under one name.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Group {
    /// The volumes.
    volumes: Vec<String>,
    /// The snapshots' name.
    name: String,
}

/// A linked clone to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Clone {
    /// The clone's name.
    name: String,
    /// The snapshot it begins as.
    snapshot: String,
    /// Its owner.
    guest: Option<u32>,
    /// Its size; the source's where absent.
    size_bytes: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct DependantsQuery {
    /// Only of this snapshot.
    snapshot: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(take))
        .routes(routes!(list))
        .routes(routes!(remove))
        .routes(routes!(rollback))
        .routes(routes!(hold, release))
        .routes(routes!(clone))
        .routes(routes!(dependants))
}

/// Take a snapshot of several volumes at once
#[utoipa::path(post, path = "/api/v1/storage/{storage}/snapshots", tag = "snapshots", request_body = Group,
    params(("storage" = String, Path)),
    responses((status = 201, body = Vec<Snapshot>), (status = "default", body = Problem)))]
async fn take(
    State(node): State<Shared>,
    Path(storage): Path<String>,
    Body(group): Body<Group>,
) -> Answer<(StatusCode, Json<Vec<Snapshot>>)> {
    let volumes: Vec<VolumeName> = group
        .volumes
        .iter()
        .map(|v| v.parse())
        .collect::<Result<_, cairn_core::Error>>()?;
    let taken = node
        .take_snapshot(&named(&storage)?, &volumes, &group.name.parse()?)
        .await?;
    Ok((StatusCode::CREATED, Json(taken)))
}

/// List a volume's snapshots, oldest first
#[utoipa::path(get, path = "/api/v1/storage/{storage}/volumes/{volume}/snapshots", tag = "snapshots",
    params(("storage" = String, Path), ("volume" = String, Path)),
    responses((status = 200, body = Vec<Snapshot>), (status = "default", body = Problem)))]
async fn list(
    State(node): State<Shared>,
    Path((storage, volume)): Path<(String, String)>,
) -> Answer<Json<Vec<Snapshot>>> {
    Ok(Json(
        node.snapshots(&named(&storage)?, &named(&volume)?).await?,
    ))
}

/// Remove a snapshot
#[utoipa::path(delete, path = "/api/v1/storage/{storage}/volumes/{volume}/snapshots/{snapshot}", tag = "snapshots",
    params(("storage" = String, Path), ("volume" = String, Path), ("snapshot" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
async fn remove(
    State(node): State<Shared>,
    Path((storage, volume, snapshot)): Path<(String, String, String)>,
) -> Answer<StatusCode> {
    node.remove_snapshot(&named(&storage)?, &named(&volume)?, &named(&snapshot)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a volume what it was at a snapshot
#[utoipa::path(post, path = "/api/v1/storage/{storage}/volumes/{volume}/snapshots/{snapshot}/rollback", tag = "snapshots",
    params(("storage" = String, Path), ("volume" = String, Path), ("snapshot" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
async fn rollback(
    State(node): State<Shared>,
    Path((storage, volume, snapshot)): Path<(String, String, String)>,
) -> Answer<StatusCode> {
    node.rollback_volume(&named(&storage)?, &named(&volume)?, &named(&snapshot)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Keep a snapshot from being removed, under a tag
#[utoipa::path(put, path = "/api/v1/storage/{storage}/volumes/{volume}/snapshots/{snapshot}/holds/{tag}", tag = "snapshots",
    params(("storage" = String, Path), ("volume" = String, Path), ("snapshot" = String, Path), ("tag" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
async fn hold(
    State(node): State<Shared>,
    Path((storage, volume, snapshot, tag)): Path<(String, String, String, String)>,
) -> Answer<StatusCode> {
    let (storage, volume, snapshot) = (named(&storage)?, named(&volume)?, named(&snapshot)?);
    node.hold_snapshot(&storage, &volume, &snapshot, &tag, true)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a tag away from a snapshot
#[utoipa::path(delete, path = "/api/v1/storage/{storage}/volumes/{volume}/snapshots/{snapshot}/holds/{tag}", tag = "snapshots",
    params(("storage" = String, Path), ("volume" = String, Path), ("snapshot" = String, Path), ("tag" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
async fn release(
    State(node): State<Shared>,
    Path((storage, volume, snapshot, tag)): Path<(String, String, String, String)>,
) -> Answer<StatusCode> {
    let (storage, volume, snapshot) = (named(&storage)?, named(&volume)?, named(&snapshot)?);
    node.hold_snapshot(&storage, &volume, &snapshot, &tag, false)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a linked clone of a snapshot
#[utoipa::path(post, path = "/api/v1/storage/{storage}/volumes/{volume}/clone", tag = "snapshots", request_body = Clone,
    params(("storage" = String, Path), ("volume" = String, Path)),
    responses((status = 201, body = Volume), (status = "default", body = Problem)))]
async fn clone(
    State(node): State<Shared>,
    Path((storage, volume)): Path<(String, String)>,
    Body(to): Body<Clone>,
) -> Answer<(StatusCode, Json<Volume>)> {
    let (storage, volume) = (named(&storage)?, named(&volume)?);
    let (snapshot, name) = (to.snapshot.parse()?, to.name.parse()?);
    let made = node
        .clone_volume(&storage, &volume, &snapshot, &name, to.guest, to.size_bytes)
        .await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// List the volumes that stand on a volume
#[utoipa::path(get, path = "/api/v1/storage/{storage}/volumes/{volume}/dependants", tag = "snapshots",
    params(("storage" = String, Path), ("volume" = String, Path), DependantsQuery),
    responses((status = 200, body = Vec<String>), (status = "default", body = Problem)))]
async fn dependants(
    State(node): State<Shared>,
    Path((storage, volume)): Path<(String, String)>,
    Query(query): Query<DependantsQuery>,
) -> Answer<Json<Vec<String>>> {
    let snapshot = query.snapshot.map(|s| s.parse()).transpose()?;
    Ok(Json(
        node.dependants(&named(&storage)?, &named(&volume)?, snapshot)
            .await?,
    ))
}
