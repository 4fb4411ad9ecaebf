//! A witness's own API: on the unix socket alone, for the machine's administrator.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use cairn_core::Error;
use cairn_node::cluster_records::PrintedToken;
use cairn_node::{WitnessReport, WitnessService};

use crate::problem::{Answer, Problem};
use crate::serve::{Listening, ServeOptions, bind, bind_socket, reachable};

/// Serves clusters, and the administrator on the socket, until `shutdown` is done.
///
/// # Errors
/// `internal` where a listener can't be made, saying which and why.
pub async fn serve_witness(
    service: Arc<WitnessService>,
    data: &Path,
    options: ServeOptions,
    ready: impl FnOnce(&Listening),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let server = service.server();
    let bound = bind(&options).await?;
    service.listen_on(reachable(&bound));
    let socket = data.join("cairn.sock");
    let unix = bind_socket(&socket)?;
    let router = Router::new()
        .route("/api/v1/witness", get(report))
        .route("/api/v1/witness/tokens", post(token))
        .fallback(|| async {
            Problem::from(Error::not_found("such path on a witness, which only votes"))
        })
        .with_state(Arc::clone(&service));
    let https = bound.iter().map(|(_, address)| *address).collect();
    for (listener, _) in bound {
        server.listen(listener);
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        axum::serve(unix, router)
            .with_graceful_shutdown(async { drop(stopped.await) })
            .await
    });
    ready(&Listening {
        https,
        socket: socket.clone(),
    });
    shutdown.await;
    let _ = stop.send(());
    server.shut_down().await;
    task.abort();
    service.stop().await;
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

async fn report(State(service): State<Arc<WitnessService>>) -> Json<WitnessReport> {
    Json(service.report())
}

async fn token(State(service): State<Arc<WitnessService>>) -> Answer<Json<PrintedToken>> {
    Ok(Json(service.print_token()?))
}
