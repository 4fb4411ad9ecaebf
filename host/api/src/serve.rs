//! The two listeners: a unix socket for the machine's administrator, HTTPS for everyone else.

use std::fs;
use std::future::Future;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::middleware;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use cairn_core::Error;
use cairn_node::Node;
use tokio::net::UnixListener;

use crate::{access, routes};

/// How long calls under way may take to end when the daemon stops.
const GRACE: Duration = Duration::from_secs(10);

/// Where HTTPS is served.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The address.
    pub address: IpAddr,
    /// The port; 0 for any that is free.
    pub port: u16,
}

/// Where a node listens.
#[derive(Debug, Clone)]
pub struct Listening {
    /// HTTPS.
    pub https: SocketAddr,
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
    let tls = tls(&data, options.address).await?;
    let tcp = bind(&options)?;
    let https = tcp
        .local_addr()
        .map_err(|e| Error::internal(e.to_string()))?;
    let socket = data.join("cairn.sock");
    let unix = bind_socket(&socket)?;
    write_private(
        &data.join("listen"),
        format!("https://{https}\n").as_bytes(),
    )?;

    let open = routes::router(Arc::clone(&node));
    let guarded =
        routes::router(node).layer(middleware::from_fn_with_state(token, access::require));
    let handle = Handle::new();
    let server = axum_server::from_tcp_rustls(tcp, tls)
        .map_err(|e| Error::internal(format!("HTTPS can't be served: {e}")))?
        .handle(handle.clone())
        .serve(guarded.into_make_service());
    let https_task = tokio::spawn(server);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let unix_task = tokio::spawn(async move {
        axum::serve(unix, open)
            .with_graceful_shutdown(async { drop(stopped.await) })
            .await
    });
    ready(&Listening {
        https,
        socket: socket.clone(),
    });
    shutdown.await;
    handle.graceful_shutdown(Some(GRACE));
    let _ = stop.send(());
    // What doesn't end in time is cut off: clients see a closed connection.
    let _ = tokio::time::timeout(GRACE, async { tokio::join!(https_task, unix_task) }).await;
    let _ = fs::remove_file(&socket);
    Ok(())
}

fn bind(options: &ServeOptions) -> Result<TcpListener, Error> {
    let address = SocketAddr::new(options.address, options.port);
    let listener = TcpListener::bind(address).map_err(|e| {
        Error::internal(format!(
            "{address} can't be listened on: {e}; choose another with --address and --port"
        ))
    })?;
    listener
        .set_nonblocking(true)
        .map_err(|e| Error::internal(e.to_string()))?;
    Ok(listener)
}

fn bind_socket(path: &Path) -> Result<UnixListener, Error> {
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

/// The node's certificate, made at first start.
async fn tls(data: &Path, address: IpAddr) -> Result<RustlsConfig, Error> {
    // Installed once a process; a second time is refused, and the first stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let dir = data.join("tls");
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    if !cert.exists() || !key.exists() {
        make_certificate(&dir, address)?;
    }
    RustlsConfig::from_pem_file(&cert, &key).await.map_err(|e| {
        Error::internal(format!(
            "the certificate in {} can't be used: {e}; remove the folder, and a new one is made",
            dir.display()
        ))
    })
}

fn make_certificate(dir: &Path, address: IpAddr) -> Result<(), Error> {
    let failed = |e: String| {
        Error::internal(format!(
            "no certificate can be made in {}: {e}",
            dir.display()
        ))
    };
    fs::create_dir_all(dir).map_err(|e| failed(e.to_string()))?;
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    if !address.is_unspecified() {
        names.push(address.to_string());
    }
    if let Ok(host) = fs::read_to_string("/proc/sys/kernel/hostname") {
        names.push(host.trim().to_owned());
    }
    names.dedup();
    let made = rcgen::generate_simple_self_signed(names).map_err(|e| failed(e.to_string()))?;
    write_private(
        &dir.join("key.pem"),
        made.signing_key.serialize_pem().as_bytes(),
    )?;
    write_private(&dir.join("cert.pem"), made.cert.pem().as_bytes())
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
