//! The data plane: bytes of a transfer from one storage's source to another's sink. Plugins only
//! describe the two ends; the host starts their programs, moves the bytes and watches for a stall.

use std::process::Stdio;

use cairn_core::storage::StreamEnd;
use cairn_core::{Code, Error};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt, SeekFrom};

use crate::lend::{Group, beginning, permitted, program, secret_values};
use crate::limits::{STDERR_MAX_BYTES, STREAM_CHUNK_BYTES, STREAM_STALL};
use crate::storage::StorageCalls;

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
                self.may_open(path)?;
                let mut file = File::open(path).await.map_err(|e| unopened(path, &e))?;
                file.seek(SeekFrom::Start(*offset))
                    .await
                    .map_err(|e| unopened(path, &e))?;
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
                self.may_open(path)?;
                let mut file = File::options()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(path)
                    .await
                    .map_err(|e| unopened(path, &e))?;
                file.seek(SeekFrom::Start(*offset))
                    .await
                    .map_err(|e| unopened(path, &e))?;
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
        permitted(&self.binding, name, arguments).map_err(|why| Error::new(Code::Denied, why))?;
        let environment =
            secret_values(&self.binding, secrets).map_err(|why| Error::new(Code::Denied, why))?;
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
                stderr,
            },
            stdin,
            stdout,
        ))
    }

    /// A file or device end must be under a directory the plugin was granted; a device must be one.
    fn may_open(&self, path: &str) -> Result<(), Error> {
        let real = std::fs::canonicalize(path)
            .or_else(|e| match std::path::Path::new(path).parent() {
                // A sink may not be there yet; then its directory decides.
                Some(parent) if e.kind() == std::io::ErrorKind::NotFound => parent.canonicalize(),
                _ => Err(e),
            })
            .map_err(|e| unopened(path, &e))?;
        let granted = self
            .binding
            .grants
            .directories
            .iter()
            .any(|(directory, _)| {
                std::fs::canonicalize(directory)
                    .is_ok_and(|d| d.as_os_str() != "/" && real.starts_with(d))
            });
        if granted {
            return Ok(());
        }
        Err(Error::new(
            Code::Denied,
            format!(
                "`{path}` lies in no directory that plugin {} was granted",
                self.binding.plugin
            ),
        ))
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
    let Some(mut running) = running else {
        return Ok(());
    };
    // After a break the programs notice by themselves; only one that doesn't is killed.
    let status = tokio::time::timeout(STREAM_STALL, running.group.child.wait()).await;
    drop(running.group);
    let stderr = running.stderr.await.unwrap_or_default();
    let said = String::from_utf8_lossy(&stderr);
    match status {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) if complete || !said.trim().is_empty() => Err(program_failed(
            &running.name,
            &format!("{status}: {}", said.trim()),
        )),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(program_failed(&running.name, &e.to_string())),
        Err(_) => Err(program_failed(
            &running.name,
            "it didn't end with its stream and was killed",
        )),
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

fn unopened(path: &str, error: &std::io::Error) -> Error {
    Error::new(
        Code::Unavailable,
        format!("`{path}` can't be opened: {error}"),
    )
}
