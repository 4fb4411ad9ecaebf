//! Volumes of a storage.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cairn_core::storage::{Content, Volume, VolumeChanges, VolumeSpec};
use cairn_node::records::{Attached, Copied, CopyRequest, VolumeDetail, VolumePage};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::extract::{Body, Query, named};
use crate::problem::{Answer, Problem};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only of this guest.
    guest: Option<u32>,
    /// Only of this content.
    content: Option<Content>,
    /// `next` of the page before.
    after: Option<String>,
    /// Most volumes of a page, 1 to 10,000.
    limit: Option<u32>,
}

/// A new size.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Resize {
    /// Bytes.
    size_bytes: u64,
    /// It is smaller, and what lies past it may be lost.
    #[serde(default)]
    shrink: bool,
}

/// A new name.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rename {
    /// The new name.
    name: String,
    /// The new owner, if it changes.
    guest: Option<u32>,
}

/// How to attach.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Attach {
    /// The number of the start; the next one where absent.
    epoch: Option<u64>,
    /// For reading only.
    #[serde(default)]
    read_only: bool,
    /// A snapshot of it, for reading.
    snapshot: Option<String>,
}

/// How to detach.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Detach {
    /// The number it was attached under; the last one where absent.
    epoch: Option<u64>,
    /// The node that has it is known to be dead.
    #[serde(default)]
    force: bool,
}

/// Template or not.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Template {
    /// A source for clones only.
    template: bool,
}

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, set, remove))
        .routes(routes!(resize))
        .routes(routes!(rename))
        .routes(routes!(attach))
        .routes(routes!(detach))
        .routes(routes!(template))
        .routes(routes!(flatten))
        .routes(routes!(copy))
}

/// List volumes
#[utoipa::path(get, path = "/api/v1/storage/{storage}/volumes", tag = "volumes",
    params(("storage" = String, Path), ListQuery),
    responses((status = 200, body = VolumePage), (status = "default", body = Problem)))]
async fn list(
    State(node): State<Shared>,
    Path(storage): Path<String>,
    Query(q): Query<ListQuery>,
) -> Answer<Json<VolumePage>> {
    Ok(Json(
        node.volumes(&named(&storage)?, q.guest, q.content, q.after, q.limit)
            .await?,
    ))
}

/// Make an empty volume
#[utoipa::path(post, path = "/api/v1/storage/{storage}/volumes", tag = "volumes", request_body = VolumeSpec,
    params(("storage" = String, Path)),
    responses((status = 201, body = Volume), (status = "default", body = Problem)))]
async fn create(
    State(node): State<Shared>,
    Path(storage): Path<String>,
    Body(spec): Body<VolumeSpec>,
) -> Answer<(StatusCode, Json<Volume>)> {
    let volume = node.create_volume(&named(&storage)?, spec).await?;
    Ok((StatusCode::CREATED, Json(volume)))
}

/// Show a volume and who has it attached
#[utoipa::path(get, path = "/api/v1/storage/{storage}/volumes/{volume}", tag = "volumes",
    params(("storage" = String, Path), ("volume" = String, Path)),
    responses((status = 200, body = VolumeDetail), (status = "default", body = Problem)))]
async fn show(
    State(node): State<Shared>,
    Path((storage, volume)): Path<(String, String)>,
) -> Answer<Json<VolumeDetail>> {
    Ok(Json(
        node.volume(&named(&storage)?, &named(&volume)?).await?,
    ))
}

/// Change a volume's notes, protection or owner
#[utoipa::path(patch, path = "/api/v1/storage/{storage}/volumes/{volume}", tag = "volumes",
    request_body = VolumeChanges, params(("storage" = String, Path), ("volume" = String, Path)),
    responses((status = 200, body = Volume), (status = "default", body = Problem)))]
async fn set(
    State(node): State<Shared>,
    Path((storage, volume)): Path<(String, String)>,
    Body(changes): Body<VolumeChanges>,
) -> Answer<Json<Volume>> {
    Ok(Json(
        node.set_volume(&named(&storage)?, &named(&volume)?, &changes)
            .await?,
    ))
}

/// Remove a volume with its snapshots
#[utoipa::path(delete, path = "/api/v1/storage/{storage}/volumes/{volume}", tag = "volumes",
    params(("storage" = String, Path), ("volume" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
async fn remove(
    State(node): State<Shared>,
    Path((storage, volume)): Path<(String, String)>,
) -> Answer<StatusCode> {
    node.remove_volume(&named(&storage)?, &named(&volume)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a volume larger, or with `shrink` smaller
#[utoipa::path(post, path = "/api/v1/storage/{storage}/volumes/{volume}/resize", tag = "volumes",
    request_body = Resize, params(("storage" = String, Path), ("volume" = String, Path)),
    responses((status = 200, body = Volume), (status = "default", body = Problem)))]
async fn resize(
    State(node): State<Shared>,
    Path((storage, volume)): Path<(String, String)>,
    Body(to): Body<Resize>,
) -> Answer<Json<Volume>> {
    let volume = node
        .resize_volume(
            &named(&storage)?,
            &named(&volume)?,
            to.size_bytes,
            to.shrink,
        )
        .await?;
    Ok(Json(volume))
}

/// Give a volume another name
#[utoipa::path(post, path = "/api/v1/storage/{storage}/volumes/{volume}/rename", tag = "volumes",
    request_body = Rename, params(("storage" = String, Path), ("volume" = String, Path)),
    responses((status = 200, body = Volume), (status = "default", body = Problem)))]
async fn rename(
    State(node): State<Shared>,
    Path((storage, volume)): Path<(String, String)>,
    Body(to): Body<Rename>,
) -> Answer<Json<Volume>> {
    let name = to.name.parse()?;
    Ok(Json(
        node.rename_volume(&named(&storage)?, &named(&volume)?, &name, to.guest)
            .await?,
    ))
}

/// Attach a volume to this node
#[utoipa::path(post, path = "/api/v1/storage/{storage}/volumes/{volume}/attach", tag = "volumes",
    request_body = Attach, params(("storage" = String, Path), ("volume" = String, Path)),
    responses((status = 200, body = Attached), (status = "default", body = Problem)))]
async fn attach(
    State(node): State<Shared>,
    Path((storage, volume)): Path<(String, String)>,
    Body(how): Body<Attach>,
) -> Answer<Json<Attached>> {
    let snapshot = how.snapshot.map(|s| s.parse()).transpose()?;
    let (storage, volume) = (named(&storage)?, named(&volume)?);
    Ok(Json(
        node.attach_volume(&storage, &volume, how.epoch, how.read_only, snapshot)
            .await?,
    ))
}

/// Detach a volume from this node
#[utoipa::path(post, path = "/api/v1/storage/{storage}/volumes/{volume}/detach", tag = "volumes",
    request_body = Detach, params(("storage" = String, Path), ("volume" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
async fn detach(
    State(node): State<Shared>,
    Path((storage, volume)): Path<(String, String)>,
    Body(how): Body<Detach>,
) -> Answer<StatusCode> {
    node.detach_volume(&named(&storage)?, &named(&volume)?, how.epoch, how.force)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a volume a template, or an ordinary one again
#[utoipa::path(post, path = "/api/v1/storage/{storage}/volumes/{volume}/template", tag = "volumes",
    request_body = Template, params(("storage" = String, Path), ("volume" = String, Path)),
    responses((status = 200, body = Volume), (status = "default", body = Problem)))]
async fn template(
    State(node): State<Shared>,
    Path((storage, volume)): Path<(String, String)>,
    Body(to): Body<Template>,
) -> Answer<Json<Volume>> {
    Ok(Json(
        node.set_template(&named(&storage)?, &named(&volume)?, to.template)
            .await?,
    ))
}

/// Make a linked clone independent of its source
#[utoipa::path(post, path = "/api/v1/storage/{storage}/volumes/{volume}/flatten", tag = "volumes",
    params(("storage" = String, Path), ("volume" = String, Path)),
    responses((status = 200, body = Volume), (status = "default", body = Problem)))]
async fn flatten(
    State(node): State<Shared>,
    Path((storage, volume)): Path<(String, String)>,
) -> Answer<Json<Volume>> {
    Ok(Json(
        node.flatten_volume(&named(&storage)?, &named(&volume)?)
            .await?,
    ))
}

/// Copy a snapshot to another storage of this node
#[utoipa::path(post, path = "/api/v1/storage/{storage}/volumes/{volume}/copy", tag = "volumes",
    request_body = CopyRequest, params(("storage" = String, Path), ("volume" = String, Path)),
    responses((status = 201, body = Copied), (status = "default", body = Problem)))]
async fn copy(
    State(node): State<Shared>,
    Path((storage, volume)): Path<(String, String)>,
    Body(request): Body<CopyRequest>,
) -> Answer<(StatusCode, Json<Copied>)> {
    let copied = node
        .copy_volume(&named(&storage)?, &named(&volume)?, &request)
        .await?;
    Ok((StatusCode::CREATED, Json(copied)))
}
