//! The data plane: bytes of a transfer from one storage's source to another's sink. Plugins only
//! describe the two ends; the host starts their programs, moves the bytes and watches for a stall.

use std::process::Stdio;
use std::sync::Arc;

use cairn_core::storage::StreamEnd;
use cairn_core::{Code, Error};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt, SeekFrom};

use crate::bindings::cairn::host::files::FileError;
use crate::lend::{Group, Opened, Stalled, beginning, permitted, program, secret_values};
use crate::limits::{
    ASK_DEADLINE, STDERR_MAX_BYTES, STREAM_CHUNK_BYTES, STREAM_STALL, TEXT_MAX_BYTES,
};
use crate::state::Binding;
use crate::storage::StorageCalls;
use crate::text::clipped;

enum Source {
    Pipe(Box<dyn AsyncRead + Send + Unpin>, Option<Box<Running>>),
    Plugin(StorageCalls, u64),
}

enum Sink {
    Pipe(Box<dyn AsyncWrite + Send + Unpin>, Option<Box<Running>>),
    File(File),
    Plugin(StorageCalls, u64),
}

/// Which end a stream broke at.
enum Broken {
    Source(Error),
    Sink(Error),
}

/// A program at one end, and what it complains of.
struct Running {
    group: Group,
    name: String,
    /// Whose secrets may be in what it says.
    binding: Arc<Binding>,
    stderr: tokio::task::JoinHandle<Vec<u8>>,
}

impl StorageCalls {
    /// Moves all bytes of `source` (of this storage) into `sink` (of `target`), on this node.
    /// Returns how many.
    ///
    /// # Errors
    /// `denied` where an end is beyond its plugin's grants, `timed-out` when no byte moves for a
    /// minute, `unavailable` when a program at an end fails: its message is part of the error.
    pub async fn pump(
        &self,
        source: &StreamEnd,
        target: &Self,
        sink: &StreamEnd,
    ) -> Result<u64, Error> {
        let mut source = self.source(source).await?;
        let mut sink = target.sink(sink).await?;
        let moved = copy(&mut source, &mut sink).await;
        let complete = moved.is_ok();
        // Both ends are told the end, whatever happened; the sink first loses its input.
        let ended_sink = sink.finish(complete).await;
        let ended_source = source.finish(complete).await;
        // A program that fails breaks the pipe: its own words say more than the broken pipe, and more than
        // those of the other end, which only saw that.
        match moved {
            Err(Broken::Sink(error)) => {
                ended_sink.and(ended_source)?;
                Err(error)
            }
            Err(Broken::Source(error)) => {
                ended_source.and(ended_sink)?;
                Err(error)
            }
            Ok(bytes) => ended_source.and(ended_sink).map(|()| bytes),
        }
    }

    async fn source(&self, end: &StreamEnd) -> Result<Source, Error> {
        match end {
            StreamEnd::Process {
                command,
                arguments,
                secret_environment,
            } => {
                let (mut running, _, stdout) =
                    self.start(command, arguments, secret_environment, false)?;
                let stdout = stdout.ok_or_else(|| Error::internal("no pipe from the program"))?;
                running.group.child.stdin.take();
                Ok(Source::Pipe(Box::new(stdout), Some(Box::new(running))))
            }
            StreamEnd::Bytes {
                path,
                offset,
                length,
            } => {
                let file = self.opened(path, *offset, Opened::Source).await?;
                let most = if *length == 0 { u64::MAX } else { *length };
                Ok(Source::Pipe(Box::new(file.take(most)), None))
            }
            StreamEnd::Plugin(number) => Ok(Source::Plugin(self.clone(), *number)),
        }
    }

    async fn sink(&self, end: &StreamEnd) -> Result<Sink, Error> {
        match end {
            StreamEnd::Process {
                command,
                arguments,
                secret_environment,
            } => {
                let (running, stdin, _) =
                    self.start(command, arguments, secret_environment, true)?;
                let stdin = stdin.ok_or_else(|| Error::internal("no pipe to the program"))?;
                Ok(Sink::Pipe(Box::new(stdin), Some(Box::new(running))))
            }
            StreamEnd::Bytes { path, offset, .. } => {
                let file = self.opened(path, *offset, Opened::Sink).await?;
                Ok(Sink::File(file))
            }
            StreamEnd::Plugin(number) => Ok(Sink::Plugin(self.clone(), *number)),
        }
    }

    #[allow(clippy::type_complexity)]
    fn start(
        &self,
        name: &str,
        arguments: &[String],
        secrets: &[(String, String)],
        feeds: bool,
    ) -> Result<
        (
            Running,
            Option<tokio::process::ChildStdin>,
            Option<tokio::process::ChildStdout>,
        ),
        Error,
    > {
        permitted(&self.bound, name, arguments).map_err(|why| Error::new(Code::Denied, why))?;
        let environment =
            secret_values(&self.bound, secrets).map_err(|why| Error::new(Code::Denied, why))?;
        let mut command = program(name).ok_or_else(|| {
            Error::new(
                Code::Unavailable,
                format!("there is no program `{name}` on this node"),
            )
        })?;
        command.args(arguments).envs(environment);
        command.stdin(if feeds { Stdio::piped() } else { Stdio::null() });
        command.stdout(if feeds { Stdio::null() } else { Stdio::piped() });
        command.stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| {
            Error::new(Code::Unavailable, format!("`{name}` can't be started: {e}"))
        })?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let stderr = tokio::spawn(async move {
            beginning(stderr, STDERR_MAX_BYTES)
                .await
                .unwrap_or_default()
        });
        Ok((
            Running {
                group: Group::of(child),
                name: name.to_owned(),
                binding: Arc::clone(&self.bound.binding),
                stderr,
            },
            stdin,
            stdout,
        ))
    }

    /// A file or device end, if it is within what the plugin was granted.
    async fn opened(&self, path: &str, offset: u64, to: Opened) -> Result<File, Error> {
        let code = |e: FileError| match e {
            FileError::Denied(why) => Error::new(Code::Denied, why),
            FileError::NoSpace => Error::new(Code::NoSpace, unopened(path, "no space is left")),
            FileError::NotFound => Error::new(Code::Unavailable, unopened(path, "it isn't there")),
            FileError::Failed(why) => Error::new(Code::Unavailable, unopened(path, &why)),
            other => Error::new(Code::Unavailable, unopened(path, &format!("{other:?}"))),
        };
        let silent = |Stalled| {
            let why = unopened(path, "its file system doesn't answer");
            Error::new(Code::Unavailable, why)
        };
        let found = self.bound.open(ASK_DEADLINE, path, to).await;
        let mut file = File::from_std(found.map_err(silent)?.map_err(code)?);
        file.seek(SeekFrom::Start(offset))
            .await
            .map_err(|e| Error::new(Code::Unavailable, unopened(path, &e.to_string())))?;
        Ok(file)
    }
}

async fn copy(source: &mut Source, sink: &mut Sink) -> Result<u64, Broken> {
    let mut moved = 0;
    let mut buffer = vec![0; STREAM_CHUNK_BYTES];
    loop {
        let step = async {
            let n = source.read(&mut buffer).await.map_err(Broken::Source)?;
            let bytes = buffer.get(..n).unwrap_or_default();
            sink.write(bytes).await.map_err(Broken::Sink)?;
            Ok::<usize, Broken>(n)
        };
        let n = tokio::time::timeout(STREAM_STALL, step)
            .await
            .map_err(|_| {
                Broken::Source(Error::new(
                    Code::TimedOut,
                    format!(
                        "no byte moved for {} s; the transfer was ended",
                        STREAM_STALL.as_secs()
                    ),
                ))
            })??;
        if n == 0 {
            return Ok(moved);
        }
        moved += n as u64;
    }
}

impl Source {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        match self {
            Self::Pipe(pipe, _) => pipe.read(buffer).await.map_err(|e| broken(&e)),
            Self::Plugin(calls, number) => {
                let limit = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
                let bytes = calls.read_stream(*number, limit).await?;
                let room = buffer.get_mut(..bytes.len()).ok_or_else(|| {
                    Error::new(
                        Code::PluginFailed,
                        "the plugin gave more bytes than it was asked for",
                    )
                })?;
                room.copy_from_slice(&bytes);
                Ok(bytes.len())
            }
        }
    }

    async fn finish(self, complete: bool) -> Result<(), Error> {
        match self {
            Self::Pipe(pipe, running) => {
                drop(pipe);
                end(running, complete).await
            }
            Self::Plugin(calls, number) => calls.close_stream(number, complete).await,
        }
    }
}

impl Sink {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            _ if bytes.is_empty() => Ok(()),
            Self::Pipe(pipe, _) => pipe.write_all(bytes).await.map_err(|e| broken(&e)),
            Self::File(file) => file.write_all(bytes).await.map_err(|e| broken(&e)),
            Self::Plugin(calls, number) => calls.write_stream(*number, bytes).await,
        }
    }

    async fn finish(self, complete: bool) -> Result<(), Error> {
        match self {
            Self::Pipe(mut pipe, running) => {
                let _ = pipe.shutdown().await;
                drop(pipe);
                end(running, complete).await
            }
            Self::File(mut file) => {
                file.flush().await.map_err(|e| broken(&e))?;
                file.sync_all().await.map_err(|e| broken(&e))
            }
            Self::Plugin(calls, number) => calls.close_stream(number, complete).await,
        }
    }
}

/// Waits for a program that has seen the end of its stream, or ends it where the stream broke.
async fn end(running: Option<Box<Running>>, complete: bool) -> Result<(), Error> {
    let Some(running) = running else {
        return Ok(());
    };
    let Running {
        mut group,
        name,
        binding,
        stderr,
    } = *running;
    // Its own words may repeat an argument or a variable that holds a secret.
    let failed = |why: &str| program_failed(&name, &binding.shown(why, TEXT_MAX_BYTES));
    // After a break the programs notice by themselves; only one that doesn't is killed.
    let status = tokio::time::timeout(STREAM_STALL, group.child.wait()).await;
    drop(group);
    let stderr = stderr.await.unwrap_or_default();
    let said = String::from_utf8_lossy(&stderr);
    match status {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) if complete || !said.trim().is_empty() => {
            Err(failed(&format!("{status}: {}", said.trim())))
        }
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(failed(&e.to_string())),
        Err(_) => Err(failed("it didn't end with its stream and was killed")),
    }
}

fn program_failed(name: &str, why: &str) -> Error {
    let lower = why.to_lowercase();
    let full = ["no space left", "out of space", "quota exceeded"]
        .iter()
        .any(|s| lower.contains(s));
    let code = if full {
        Code::NoSpace
    } else {
        Code::Unavailable
    };
    Error::new(code, format!("`{name}` failed during the transfer: {why}"))
}

fn broken(error: &std::io::Error) -> Error {
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Code::NoSpace,
        _ => Code::Unavailable,
    };
    Error::new(code, format!("the stream broke: {error}"))
}

fn unopened(path: &str, why: &str) -> String {
    format!("`{}` can't be opened: {why}", clipped(path, 200))
}
