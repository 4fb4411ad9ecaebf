//! QEMU's monitor protocol (QMP), as far as the bed needs it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::limits::MONITOR_LIMIT_S;
use crate::wait::seconds;

/// Gives QEMU one command, on a connection of its own, and returns what it returns.
pub(crate) fn qmp(socket: &Path, command: &str, arguments: Value) -> Result<Value> {
    let mut stream = UnixStream::connect(socket).context("QEMU's monitor doesn't answer")?;
    stream.set_read_timeout(Some(seconds(MONITOR_LIMIT_S)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    line(&mut reader)?; // The greeting.
    ask(
        &mut stream,
        &mut reader,
        &json!({"execute": "qmp_capabilities"}),
    )?;
    ask(
        &mut stream,
        &mut reader,
        &json!({"execute": command, "arguments": arguments}),
    )
    .with_context(|| format!("QEMU's {command}"))
}

fn ask(
    stream: &mut UnixStream,
    reader: &mut BufReader<UnixStream>,
    request: &Value,
) -> Result<Value> {
    stream.write_all(format!("{request}\n").as_bytes())?;
    loop {
        let mut reply: Value = serde_json::from_str(&line(reader)?)?;
        if let Some(error) = reply.get("error") {
            bail!(
                "{}",
                error
                    .get("desc")
                    .and_then(Value::as_str)
                    .unwrap_or("no reason given")
            );
        }
        // Events come in between.
        if let Some(value) = reply.get_mut("return") {
            return Ok(value.take());
        }
    }
}

fn line(reader: &mut BufReader<UnixStream>) -> Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        bail!("QEMU closed its monitor");
    }
    Ok(line)
}
