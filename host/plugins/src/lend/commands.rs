//! `cairn:host/commands`: granted programs with granted argument forms, without a shell.
//!
//! A program runs in a process group of its own; the group is killed when the call ends, by
//! whatever way: answer, deadline, trap, or the daemon dropping the call.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::bindings::cairn::host::commands::{CommandError, Host, Output, Request};
use crate::limits::{HEADROOM, PROGRAM_PATH, STDERR_MAX_BYTES, STDIN_MAX_BYTES, STDOUT_MAX_BYTES};
use crate::state::{Binding, CallState};
use crate::text::clipped;

impl Host for CallState {
    async fn run(&mut self, request: Request) -> wasmtime::Result<Result<Output, CommandError>> {
        self.commands_run += 1;
        let limit = self.remaining().saturating_sub(HEADROOM);
        let limit = match request.timeout_ms {
            0 => limit,
            ms => limit.min(Duration::from_millis(u64::from(ms))),
        };
        Ok(run(&self.binding, request, limit).await)
    }
}

async fn run(binding: &Binding, request: Request, limit: Duration) -> Result<Output, CommandError> {
    if request.input.len() > STDIN_MAX_BYTES {
        return Err(CommandError::Failed(format!(
            "its input has {} bytes; at most {STDIN_MAX_BYTES} may be given",
            request.input.len()
        )));
    }
    permitted(binding, &request.command, &request.arguments).map_err(CommandError::Denied)?;
    let environment =
        secret_values(binding, &request.secret_environment).map_err(CommandError::Denied)?;
    let mut command = program(&request.command).ok_or_else(|| {
        CommandError::NotInstalled(format!("`{}` is not in {PROGRAM_PATH}", request.command))
    })?;
    command.args(&request.arguments).envs(environment);
    command.stdin(if request.input.is_empty() {
        Stdio::null()
    } else {
        Stdio::piped()
    });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command
        .spawn()
        .map_err(|e| CommandError::Failed(e.to_string()))?;
    let mut group = Group::of(child);
    let ended = tokio::time::timeout(limit, finish(&mut group.child, &request.input)).await;
    drop(group);
    match ended {
        Ok(output) => output,
        Err(_) => Err(CommandError::TimedOut),
    }
}

/// Is this program with these arguments granted? The error says what is missing and how to grant it.
pub(crate) fn permitted(
    binding: &Binding,
    command: &str,
    arguments: &[String],
) -> Result<(), String> {
    let shown = clipped(command, 80);
    let Some(grant) = binding.grants.commands.get(command) else {
        return Err(format!(
            "running `{shown}` is not granted; if the plugin asks for it, run `cairn plugin grant {} \
             command:{shown}`",
            binding.plugin
        ));
    };
    if grant.allows(arguments) {
        return Ok(());
    }
    let line = arguments.join(" ");
    Err(format!(
        "`{shown} {}` matches none of the argument forms granted for `{shown}`; \
         `cairn plugin show {}` lists them",
        binding.shown(&line, 300),
        binding.plugin
    ))
}

/// The environment variables that hold granted secrets. The error says what is missing.
pub(crate) fn secret_values(
    binding: &Binding,
    wanted: &[(String, String)],
) -> Result<Vec<(String, String)>, String> {
    let mut environment = Vec::new();
    for (variable, secret) in wanted {
        if !binding.grants.secrets.contains(secret) {
            return Err(format!("the secret `{secret}` is not granted"));
        }
        // Variables that steer the loader or the program search would be a way around the grant.
        let plain = variable
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        if !plain || variable.starts_with("LD_") || variable == "PATH" {
            return Err(format!("`{variable}` can't be set for a command"));
        }
        let value = binding
            .instance
            .secrets
            .get(secret)
            .cloned()
            .unwrap_or_default();
        environment.push((variable.clone(), value));
    }
    Ok(environment)
}

/// A command for a program of the fixed path, with a clean environment and a process group of its
/// own; `None` if it isn't installed.
pub(crate) fn program(name: &str) -> Option<Command> {
    if name.contains('/') || name.is_empty() {
        return None;
    }
    let path = PROGRAM_PATH
        .split(':')
        .map(|dir| PathBuf::from(dir).join(name))
        .find(|p| p.is_file())?;
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("PATH", PROGRAM_PATH)
        .env("LANG", "C.UTF-8")
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .current_dir("/")
        .process_group(0)
        .kill_on_drop(true);
    Some(command)
}

/// A child and all it started; killed when dropped.
pub(crate) struct Group {
    pub(crate) child: Child,
    leader: Option<rustix::process::Pid>,
}

impl Group {
    pub(crate) fn of(child: Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            child,
            leader: id.and_then(rustix::process::Pid::from_raw),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // No such group any more is the usual answer.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

async fn finish(child: &mut Child, input: &[u8]) -> Result<Output, CommandError> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program that doesn't read its input is no error of ours.
            let _ = stdin.write_all(input).await;
        }
        Ok(())
    };
    let ((), stdout, stderr, status) = tokio::try_join!(
        feed,
        whole(stdout, STDOUT_MAX_BYTES),
        beginning(stderr, STDERR_MAX_BYTES),
        async {
            child
                .wait()
                .await
                .map_err(|e| CommandError::Failed(e.to_string()))
        },
    )?;
    let status = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

async fn whole(pipe: Option<impl AsyncRead + Unpin>, most: usize) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let Some(pipe) = pipe else { return Ok(bytes) };
    let mut pipe = pipe.take(most as u64 + 1);
    pipe.read_to_end(&mut bytes)
        .await
        .map_err(|e| CommandError::Failed(e.to_string()))?;
    if bytes.len() > most {
        return Err(CommandError::TooMuchOutput(most as u64));
    }
    Ok(bytes)
}

/// The first `most` bytes of a pipe, which is read to its end.
pub(crate) async fn beginning(
    pipe: Option<impl AsyncRead + Unpin>,
    most: usize,
) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let Some(mut pipe) = pipe else {
        return Ok(bytes);
    };
    let mut chunk = [0; 4096];
    loop {
        let n = pipe
            .read(&mut chunk)
            .await
            .map_err(|e| CommandError::Failed(e.to_string()))?;
        if n == 0 {
            return Ok(bytes);
        }
        let room = most.saturating_sub(bytes.len());
        bytes.extend(chunk.iter().take(n.min(room)));
    }
}
