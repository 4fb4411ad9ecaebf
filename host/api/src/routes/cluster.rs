//! The cluster: name it, let nodes in, take them out, look.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cairn_core::Error;
use cairn_node::cluster_records::{ClusterStatus, MemberStatus, PrintedToken};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::extract::{Body, Query};
use crate::problem::{Answer, Problem};

/// A cluster's name.
#[derive(Serialize, Deserialize, ToSchema)]
struct Name {
    /// 1 to 32 letters, digits and dashes.
    name: String,
}

/// A token, as a node or a witness printed it.
#[derive(Serialize, Deserialize, ToSchema)]
struct Token {
    /// The token.
    token: String,
}

/// Which node goes on alone.
#[derive(Serialize, Deserialize, ToSchema)]
struct Forced {
    /// The cluster's name, as the sign that it is meant.
    cluster: String,
}

#[derive(Deserialize, IntoParams)]
struct Force {
    /// Also where the rest loses its quorum.
    #[serde(default)]
    force: bool,
}

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(status, create))
        .routes(routes!(token))
        .routes(routes!(join))
        .routes(routes!(leave))
        .routes(routes!(force_quorum))
        .routes(routes!(add_witness))
        .routes(routes!(remove_witness))
        .routes(routes!(nodes))
        .routes(routes!(node, remove))
}

/// The cluster as this node sees it
#[utoipa::path(get, path = "/api/v1/cluster", tag = "cluster",
    responses((status = 200, body = ClusterStatus), (status = "default", body = Problem)))]
async fn status(State(node): State<Shared>) -> Answer<Json<ClusterStatus>> {
    Ok(Json(node.cluster_status()?))
}

/// Name the cluster of one that every new node is
#[utoipa::path(put, path = "/api/v1/cluster", tag = "cluster", request_body = Name,
    responses((status = 200, body = ClusterStatus), (status = "default", body = Problem)))]
async fn create(State(node): State<Shared>, Body(body): Body<Name>) -> Answer<Json<ClusterStatus>> {
    Ok(Json(node.create_cluster(&body.name).await?))
}

/// Print a token that lets in one node within the hour
#[utoipa::path(post, path = "/api/v1/cluster/tokens", tag = "cluster",
    responses((status = 200, body = PrintedToken), (status = "default", body = Problem)))]
async fn token(State(node): State<Shared>) -> Answer<Json<PrintedToken>> {
    Ok(Json(node.print_token().await?))
}

/// Take this node into the cluster that a token names
#[utoipa::path(post, path = "/api/v1/cluster/join", tag = "cluster", request_body = Token,
    responses((status = 200, body = ClusterStatus), (status = "default", body = Problem)))]
async fn join(State(node): State<Shared>, Body(body): Body<Token>) -> Answer<Json<ClusterStatus>> {
    Ok(Json(node.join_cluster(&body.token).await?))
}

/// Take this node out of its cluster
#[utoipa::path(post, path = "/api/v1/cluster/leave", tag = "cluster", params(Force),
    responses((status = 200, body = ClusterStatus), (status = "default", body = Problem)))]
async fn leave(
    State(node): State<Shared>,
    Query(query): Query<Force>,
) -> Answer<Json<ClusterStatus>> {
    Ok(Json(node.leave_cluster(query.force).await?))
}

/// Go on with this node alone after the majority is lost for good
#[utoipa::path(post, path = "/api/v1/cluster/force-quorum", tag = "cluster", request_body = Forced,
    responses((status = 200, body = ClusterStatus), (status = "default", body = Problem)))]
async fn force_quorum(
    State(node): State<Shared>,
    Body(body): Body<Forced>,
) -> Answer<Json<ClusterStatus>> {
    Ok(Json(node.force_quorum(&body.cluster).await?))
}

/// Add the witness that printed a token
#[utoipa::path(post, path = "/api/v1/cluster/witnesses", tag = "cluster", request_body = Token,
    responses((status = 200, body = ClusterStatus), (status = "default", body = Problem)))]
async fn add_witness(
    State(node): State<Shared>,
    Body(body): Body<Token>,
) -> Answer<Json<ClusterStatus>> {
    Ok(Json(node.add_witness(&body.token).await?))
}

/// Remove a witness
#[utoipa::path(delete, path = "/api/v1/cluster/witnesses/{name}", tag = "cluster", params(("name" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
async fn remove_witness(
    State(node): State<Shared>,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    node.remove_witness(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The nodes of the cluster as this node sees them
#[utoipa::path(get, path = "/api/v1/nodes", tag = "cluster",
    responses((status = 200, body = Vec<MemberStatus>), (status = "default", body = Problem)))]
async fn nodes(State(node): State<Shared>) -> Answer<Json<Vec<MemberStatus>>> {
    Ok(Json(node.cluster_status()?.nodes))
}

/// One node
#[utoipa::path(get, path = "/api/v1/nodes/{name}", tag = "cluster", params(("name" = String, Path)),
    responses((status = 200, body = MemberStatus), (status = "default", body = Problem)))]
async fn node(State(node): State<Shared>, Path(name): Path<String>) -> Answer<Json<MemberStatus>> {
    let found = node
        .cluster_status()?
        .nodes
        .into_iter()
        .find(|n| n.name == name);
    let found = found.ok_or_else(|| Error::not_found(format!("node {name} in this cluster")))?;
    Ok(Json(found))
}

/// Take a node out, dead or alive
#[utoipa::path(delete, path = "/api/v1/nodes/{name}", tag = "cluster", params(("name" = String, Path), Force),
    responses((status = 204), (status = "default", body = Problem)))]
async fn remove(
    State(node): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<Force>,
) -> Answer<StatusCode> {
    node.remove_node(&name, query.force).await?;
    Ok(StatusCode::NO_CONTENT)
}
