//! Handlers, one file a resource, and the document made from them.

mod about;
mod cluster;
mod config;
mod plugins;
mod snapshots;
mod storages;
mod volumes;

use std::any::Any;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use cairn_core::{Code, Error};
use cairn_node::Node;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;

use crate::problem::Problem;

/// Largest JSON body.
const BODY_MAX_BYTES: usize = 1 << 20;

/// What every handler gets.
pub(crate) type Shared = Arc<Node>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Cairn",
        version = "1",
        description = "One API for the whole cluster. Errors are problem documents (RFC 9457) whose `code` means \
                       the same as the CLI's exit codes."
    ),
    components(schemas(Problem)),
    tags(
        (name = "about", description = "The daemon itself"),
        (name = "cluster", description = "Nodes, votes, links, witnesses"),
        (name = "config", description = "The configuration as a tree of records"),
        (name = "plugins", description = "Install, grant, upgrade, remove"),
        (name = "storage", description = "Configured storages"),
        (name = "volumes", description = "Volumes of a storage"),
        (name = "snapshots", description = "Snapshots, holds, clones"),
    )
)]
struct Base;

fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Base::openapi())
        .merge(about::routes())
        .merge(cluster::routes())
        .merge(config::routes())
        .merge(storages::routes())
        .merge(volumes::routes())
        .merge(snapshots::routes())
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .merge(plugins::routes())
}

/// The API's description, OpenAPI 3.1.
#[must_use]
pub fn document() -> Document {
    routes().split_for_parts().1
}

pub(crate) fn router(node: Shared) -> Router {
    let (router, document) = routes().split_for_parts();
    let text = document.to_json().unwrap_or_default();
    let document = get(move || async move { ([("content-type", "application/json")], text) });
    router
        .with_state(node)
        .route("/api/openapi.json", document)
        .fallback(|| async {
            Problem::from(Error::not_found(
                "such path; /api/openapi.json lists them all",
            ))
        })
        .method_not_allowed_fallback(|| async {
            let error = Error::invalid(
                "method",
                "this path has other methods; see /api/openapi.json",
            );
            Problem::from(error.with_status(405))
        })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(carried_out))
}

/// What was begun is carried out, also where the client goes away: a change that stops halfway would be
/// reported to nobody, and free its volume while its programs still run.
async fn carried_out(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(e) => Problem::from(Error::internal(format!("it ended halfway: {e}"))).into_response(),
    }
}

/// A fault of ours must not cost the connection, nor tell its insides.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    Problem::from(Error::new(
        Code::Internal,
        "a fault in Cairn; the daemon's log says more",
    ))
    .into_response()
}
