//! Plugins and the trust list. Components are uploaded as they are.

use axum::Json;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use cairn_core::names::PluginName;
use cairn_core::plugin::Inspection;
use cairn_node::records::{PluginDetail, PluginSummary, TrustedSigner};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::extract::{Body, Upload, named, repeated, signature};
use crate::problem::{Answer, Problem};

/// Largest component.
const COMPONENT_MAX_BYTES: usize = 64 << 20;

/// Grants by their ids: `command:zfs`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Grants {
    /// All that is granted from now on.
    granted: Vec<String>,
}

/// A signer's key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Key {
    /// The minisign public key.
    public_key: String,
}

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(inspect))
        .routes(routes!(list, install))
        .routes(routes!(show, remove))
        .routes(routes!(grant))
        .routes(routes!(upgrade))
        .routes(routes!(rollback))
        .routes(routes!(release))
        .routes(routes!(trusted))
        .routes(routes!(trust, distrust))
        .layer(DefaultBodyLimit::max(COMPONENT_MAX_BYTES))
}

/// Read what a component is and asks for, installing nothing
#[utoipa::path(post, path = "/api/v1/plugins/inspect", tag = "plugins",
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    params(("x-cairn-signature" = Option<String>, Header, description = "Base64 of the .minisig file")),
    responses((status = 200, body = Inspection), (status = "default", body = Problem)))]
async fn inspect(
    State(node): State<Shared>,
    headers: HeaderMap,
    Upload(component): Upload,
) -> Answer<Json<Inspection>> {
    let signature = signature(&headers)?;
    Ok(Json(
        node.inspect_plugin(&component, signature.as_deref())
            .await?,
    ))
}

/// List installed plugins
#[utoipa::path(get, path = "/api/v1/plugins", tag = "plugins",
    responses((status = 200, body = Vec<PluginSummary>), (status = "default", body = Problem)))]
async fn list(State(node): State<Shared>) -> Answer<Json<Vec<PluginSummary>>> {
    Ok(Json(node.plugins()?))
}

/// Install a component with grants
#[utoipa::path(post, path = "/api/v1/plugins", tag = "plugins",
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    params(
        ("grant" = Option<Vec<String>>, Query, description = "What is granted, by id; repeat it"),
        ("x-cairn-signature" = Option<String>, Header, description = "Base64 of the .minisig file"),
    ),
    responses(
        (status = 201, body = PluginDetail), (status = 200, body = PluginDetail, description = "It was there"),
        (status = "default", body = Problem)))]
async fn install(
    State(node): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    Upload(component): Upload,
) -> Answer<(StatusCode, Json<PluginDetail>)> {
    let signature = signature(&headers)?;
    let grants = repeated(query.as_deref(), "grant");
    let (detail, new) = node
        .install_plugin(&component, signature.as_deref(), &grants)
        .await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(detail)))
}

/// Show a plugin: what it is, what it is granted, how it fares
#[utoipa::path(get, path = "/api/v1/plugins/{name}", tag = "plugins", params(("name" = String, Path)),
    responses((status = 200, body = PluginDetail), (status = "default", body = Problem)))]
async fn show(State(node): State<Shared>, Path(name): Path<String>) -> Answer<Json<PluginDetail>> {
    Ok(Json(node.plugin(&named::<PluginName>(&name)?)?))
}

/// Remove a plugin that no storage uses
#[utoipa::path(delete, path = "/api/v1/plugins/{name}", tag = "plugins", params(("name" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
async fn remove(State(node): State<Shared>, Path(name): Path<String>) -> Answer<StatusCode> {
    node.remove_plugin(&named(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replace what a plugin is granted
#[utoipa::path(put, path = "/api/v1/plugins/{name}/grants", tag = "plugins", params(("name" = String, Path)),
    request_body = Grants,
    responses((status = 200, body = PluginDetail), (status = "default", body = Problem)))]
async fn grant(
    State(node): State<Shared>,
    Path(name): Path<String>,
    Body(grants): Body<Grants>,
) -> Answer<Json<PluginDetail>> {
    Ok(Json(
        node.grant_plugin(&named(&name)?, &grants.granted).await?,
    ))
}

/// Upgrade a plugin; grants are kept, and what it needs beyond them must be granted
#[utoipa::path(post, path = "/api/v1/plugins/{name}/upgrade", tag = "plugins",
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    params(
        ("name" = String, Path),
        ("grant" = Option<Vec<String>>, Query, description = "What is granted beyond before, by id; repeat it"),
        ("x-cairn-signature" = Option<String>, Header, description = "Base64 of the .minisig file"),
    ),
    responses((status = 200, body = PluginDetail), (status = "default", body = Problem)))]
async fn upgrade(
    State(node): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    Upload(component): Upload,
) -> Answer<Json<PluginDetail>> {
    let signature = signature(&headers)?;
    let grants = repeated(query.as_deref(), "grant");
    Ok(Json(
        node.upgrade_plugin(&named(&name)?, &component, signature.as_deref(), &grants)
            .await?,
    ))
}

/// Go back to the version before
#[utoipa::path(post, path = "/api/v1/plugins/{name}/rollback", tag = "plugins", params(("name" = String, Path)),
    responses((status = 200, body = PluginDetail), (status = "default", body = Problem)))]
async fn rollback(
    State(node): State<Shared>,
    Path(name): Path<String>,
) -> Answer<Json<PluginDetail>> {
    Ok(Json(node.rollback_plugin(&named(&name)?).await?))
}

/// Call a plugin again that was set aside
#[utoipa::path(post, path = "/api/v1/plugins/{name}/release", tag = "plugins", params(("name" = String, Path)),
    responses((status = 200, body = PluginDetail), (status = "default", body = Problem)))]
async fn release(
    State(node): State<Shared>,
    Path(name): Path<String>,
) -> Answer<Json<PluginDetail>> {
    Ok(Json(node.release_plugin(&named(&name)?)?))
}

/// List whose signatures are taken
#[utoipa::path(get, path = "/api/v1/trust", tag = "plugins",
    responses((status = 200, body = Vec<TrustedSigner>), (status = "default", body = Problem)))]
async fn trusted(State(node): State<Shared>) -> Answer<Json<Vec<TrustedSigner>>> {
    Ok(Json(node.trusted()?))
}

/// Take a signer's signatures from now on
#[utoipa::path(put, path = "/api/v1/trust/{name}", tag = "plugins", params(("name" = String, Path)),
    request_body = Key,
    responses((status = 200, body = TrustedSigner), (status = "default", body = Problem)))]
async fn trust(
    State(node): State<Shared>,
    Path(name): Path<String>,
    Body(key): Body<Key>,
) -> Answer<Json<TrustedSigner>> {
    let signer = TrustedSigner {
        name,
        public_key: key.public_key,
        id: String::new(),
    };
    Ok(Json(node.trust(signer).await?))
}

/// Take a signer's signatures no more
#[utoipa::path(delete, path = "/api/v1/trust/{name}", tag = "plugins", params(("name" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
async fn distrust(State(node): State<Shared>, Path(name): Path<String>) -> Answer<StatusCode> {
    node.distrust(&named(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
