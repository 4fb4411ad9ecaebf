//! `cairn serve`: the daemon.

use std::io::Write;
use std::str::FromStr;

use cairn_api::ServeOptions;
use cairn_core::Error;
use cairn_node::Node;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Serve};
use crate::output::Output;

pub(super) async fn serve(
    arguments: &Arguments,
    options: &Serve,
    output: &Output,
) -> Result<(), Error> {
    let filter = EnvFilter::from_str(&options.log)
        .map_err(|e| Error::invalid("log", format!("`{}` is no level: {e}", options.log)))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let name = match &options.node {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|e| Error::internal(format!("no signals: {e}")))?;
    let node = Node::open(&arguments.data, &name).await?;
    let ready = |listening: &cairn_api::Listening| {
        let (https, socket) = (listening.https, listening.socket.display());
        let line = if output.json {
            json!({"node": name, "https": format!("https://{https}"), "socket": socket.to_string()})
                .to_string()
        } else {
            format!("cairn: node {name} is ready at https://{https} and {socket}")
        };
        // A daemon doesn't end because nobody reads its line.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    };
    let options = ServeOptions {
        address: options.address,
        port: options.port,
    };
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("stopping");
    };
    cairn_api::serve(node, options, ready, stop).await
}

fn host_name() -> Result<String, Error> {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .map_err(|e| {
            Error::internal(format!(
                "the machine has no host name ({e}); give --node NAME"
            ))
        })
}
