//! What is left of WASI for a component that was built with it: its standard output and error are lines
//! of the plugin's log, within the log's limits.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::bindings::cairn::host::log::Level;
use crate::limits::{LINE_MAX_BYTES, LOG_MAX_LINES, TEXT_MAX_BYTES};
use crate::state::Binding;

/// The log of one call after another, in an instance.
pub(crate) struct CallLog {
    binding: Arc<Binding>,
    lines: AtomicU32,
    output: Mutex<Vec<u8>>,
    error: Mutex<Vec<u8>>,
}

impl CallLog {
    pub(crate) fn new(binding: Arc<Binding>) -> Arc<Self> {
        Arc::new(Self {
            binding,
            lines: AtomicU32::new(0),
            output: Mutex::default(),
            error: Mutex::default(),
        })
    }

    /// Writes a line, if the call has not written too many.
    pub(crate) fn write(&self, level: Level, message: &str) {
        let line = self.lines.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if line > LOG_MAX_LINES {
            // It stays above the limit, and never wraps.
            self.lines.store(LOG_MAX_LINES + 1, Ordering::Relaxed);
            return;
        }
        let message = self.binding.shown(message, TEXT_MAX_BYTES);
        let (plugin, instance) = (&self.binding.plugin, &self.binding.instance.name);
        match level {
            Level::Debug => tracing::debug!(target: "plugin", %plugin, %instance, "{message}"),
            Level::Info => tracing::info!(target: "plugin", %plugin, %instance, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", %plugin, %instance, "{message}"),
            Level::Error => tracing::error!(target: "plugin", %plugin, %instance, "{message}"),
        }
        if line == LOG_MAX_LINES {
            tracing::warn!(target: "plugin", %plugin, %instance,
                "more than {LOG_MAX_LINES} lines in one call; the rest is dropped");
        }
    }

    /// The end of a call: what was begun is written, and the next call counts anew.
    pub(crate) fn end(&self) {
        for (level, begun) in [(Level::Info, &self.output), (Level::Warn, &self.error)] {
            let mut begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
            if !begun.is_empty() {
                self.write(level, &String::from_utf8_lossy(&begun));
                begun.clear();
            }
        }
        self.lines.store(0, Ordering::Relaxed);
    }

    fn print(&self, level: Level, bytes: &[u8]) {
        let begun = match level {
            Level::Info => &self.output,
            _ => &self.error,
        };
        let mut begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, whole) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            // Too long a line is dropped from here on; cut to size it is only when its secrets are out.
            let room = LINE_MAX_BYTES.saturating_sub(begun.len());
            begun.extend(text.iter().take(room));
            if whole {
                self.write(level, &String::from_utf8_lossy(&begun));
                begun.clear();
            }
        }
    }
}

/// A WASI with nothing in it but these two streams.
pub(crate) fn context(log: &Arc<CallLog>) -> WasiCtx {
    let stream = |level| Printed {
        log: Arc::clone(log),
        level,
    };
    WasiCtxBuilder::new()
        .stdout(stream(Level::Info))
        .stderr(stream(Level::Warn))
        .build()
}

/// Standard output or error.
#[derive(Clone)]
struct Printed {
    log: Arc<CallLog>,
    level: Level,
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.print(self.level, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(TEXT_MAX_BYTES)
    }
}

impl AsyncWrite for Printed {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.log.print(self.level, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
