//! The daemon itself.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;

/// What answers.
#[derive(Serialize, Deserialize, ToSchema)]
struct Version {
    /// Of the binary.
    version: String,
    /// Of the API.
    api: String,
    /// The node's name.
    node: String,
}

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(version))
}

/// Which version answers, and on which node
#[utoipa::path(get, path = "/api/v1/version", tag = "about", responses((status = 200, body = Version)))]
async fn version(State(node): State<Shared>) -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: "v1".to_owned(),
        node: node.name().to_owned(),
    })
}
