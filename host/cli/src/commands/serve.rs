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
    log_to_stderr(&options.log)?;
    let name = match &options.node {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    let stop = stopped()?;
    let node = Node::open(&arguments.data, &name).await?;
    let ready = |listening: &cairn_api::Listening| {
        let https: Vec<String> = listening
            .https
            .iter()
            .map(|a| format!("https://{a}"))
            .collect();
        let socket = listening.socket.display();
        let line = if output.json {
            json!({"node": name, "https": https, "socket": socket.to_string()}).to_string()
        } else {
            format!(
                "cairn: node {name} is ready at {} and {socket}",
                https.join(", ")
            )
        };
        // A daemon doesn't end because nobody reads its line.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    };
    let options = ServeOptions {
        addresses: options.addresses.clone(),
        port: options.port,
    };
    cairn_api::serve(node, options, ready, stop).await
}

/// Logs at a level, or by a filter of `tracing`. Consensus by openraft tells each message that a dead
/// member misses: it is heard only where the level is `debug` or the filter names it.
pub(super) fn log_to_stderr(level: &str) -> Result<(), Error> {
    let directives = match level {
        "error" | "warn" | "info" => format!("{level},openraft=off"),
        other => other.to_owned(),
    };
    let filter = EnvFilter::from_str(&directives)
        .map_err(|e| Error::invalid("log", format!("`{level}` is no level: {e}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

/// Ends when the daemon is told to stop.
pub(super) fn stopped() -> Result<impl Future<Output = ()>, Error> {
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|e| Error::internal(format!("no signals: {e}")))?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("stopping");
    })
}

pub(super) fn host_name() -> Result<String, Error> {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .map_err(|e| {
            Error::internal(format!(
                "the machine has no host name ({e}); give --node NAME"
            ))
        })
}
