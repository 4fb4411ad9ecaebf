//! The two listeners: a unix socket for the machine's administrator, HTTPS for everyone else.

use std::fs;
use std::future::Future;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::{Router, middleware};
use cairn_core::Error;
use cairn_node::{ApiConnection, Node};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::{access, routes};

/// How long calls under way may take to end when the daemon stops.
const GRACE: Duration = Duration::from_secs(10);
/// Connections past their handshake that wait to be served.
const WAITING: usize = 64;

/// Where HTTPS is served.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The addresses; each is a link for the other nodes.
    pub addresses: Vec<IpAddr>,
    /// The port; 0 for any that is free.
    pub port: u16,
}

/// Where a node listens.
#[derive(Debug, Clone)]
pub struct Listening {
    /// HTTPS.
    pub https: Vec<SocketAddr>,
    /// The unix socket.
    pub socket: PathBuf,
}

/// Serves until `shutdown` is done; tells where by `ready`.
///
/// # Errors
/// `internal` where a listener can't be made, saying which and why.
pub async fn serve(
    node: Arc<Node>,
    options: ServeOptions,
    ready: impl FnOnce(&Listening),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let data = node.data().to_owned();
    let token = access::token(&data)?;
    let (connections, https_api) = mpsc::channel(WAITING);
    let server = node.server(connections);
    let https = bind(&options).await?;
    node.listen_on(reachable(&https))?;
    let addresses: Vec<SocketAddr> = https.iter().map(|(_, address)| *address).collect();
    let socket = data.join("cairn.sock");
    let unix = bind_socket(&socket)?;
    let lines: String = addresses.iter().map(|a| format!("https://{a}\n")).collect();
    write_private(&data.join("listen"), lines.as_bytes())?;

    let open = routes::router(Arc::clone(&node));
    let guarded = routes::router(Arc::clone(&node))
        .layer(middleware::from_fn_with_state(token, access::require));
    for (listener, _) in https {
        server.listen(listener);
    }
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_https(https_api, guarded, stopped.clone()));
    tasks.spawn(async move {
        let mut stopped = stopped;
        let shutdown = async move { drop(stopped.wait_for(|stop| *stop).await) };
        if let Err(e) = axum::serve(unix, open)
            .with_graceful_shutdown(shutdown)
            .await
        {
            tracing::error!("the socket isn't served any more: {e}");
        }
    });
    ready(&Listening {
        https: addresses,
        socket: socket.clone(),
    });
    shutdown.await;
    stop.send_replace(true);
    server.shut_down().await;
    // What doesn't end in time is cut off: clients see a closed connection.
    let _ = tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
    node.stop().await;
    let _ = fs::remove_file(&socket);
    Ok(())
}

/// Serves the API's connections of the one port.
async fn serve_https(
    mut connections: mpsc::Receiver<ApiConnection>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new());
    loop {
        let connection = tokio::select! {
            connection = connections.recv() => connection,
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let Some(connection) = connection else { break };
        let service = TowerToHyperService::new(router.clone());
        let served = http
            .serve_connection_with_upgrades(TokioIo::new(connection.stream), service)
            .into_owned();
        let served = graceful.watch(served);
        tokio::spawn(async move {
            if let Err(e) = served.await {
                tracing::debug!("a connection of the API ended: {e}");
            }
        });
    }
    graceful.shutdown().await;
}

pub(crate) async fn bind(options: &ServeOptions) -> Result<Vec<(TcpListener, SocketAddr)>, Error> {
    let mut bound = Vec::new();
    let mut port = options.port;
    for address in &options.addresses {
        let wanted = SocketAddr::new(*address, port);
        let failed = |e: std::io::Error| {
            Error::internal(format!(
                "{wanted} can't be listened on: {e}; choose another with --address and --port"
            ))
        };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let there = listener.local_addr().map_err(failed)?;
        // One port for all addresses.
        port = there.port();
        bound.push((listener, there));
    }
    Ok(bound)
}

/// Where other nodes reach what is bound: for 0.0.0.0 or :: every address of the machine's own.
pub(crate) fn reachable(bound: &[(TcpListener, SocketAddr)]) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for (_, address) in bound {
        if !address.ip().is_unspecified() {
            all.push(*address);
            continue;
        }
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let usable = interfaces
            .into_iter()
            .filter(|i| !i.is_loopback() && !i.is_link_local());
        let fits = usable.filter(|i| i.ip().is_ipv4() || address.is_ipv6());
        all.extend(fits.map(|i| SocketAddr::new(i.ip(), address.port())));
    }
    all
}

pub(crate) fn bind_socket(path: &Path) -> Result<UnixListener, Error> {
    // The data folder's lock is held, so a socket that is there is a dead daemon's.
    let _ = fs::remove_file(path);
    let failed = |e: std::io::Error| {
        Error::internal(format!(
            "the socket {} can't be made: {e} (paths over 107 bytes are too long)",
            path.display()
        ))
    };
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

fn write_private(path: &Path, content: &[u8]) -> Result<(), Error> {
    let part = path.with_extension("part");
    let written = (|| {
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&part, path)
    })();
    written.map_err(|e| Error::internal(format!("{} can't be written: {e}", path.display())))
}
