//! Commands on this machine itself, or inside namespaces of it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::limits::{COPY_LIMIT_S, TIMED_OUT_STATUS};
use crate::needs::search_path;
use crate::place::{Output, Reach, quoted};
use crate::wait::{seconds, wait_child};

/// This machine, or namespaces of it that the `enter` command line leads into.
pub(crate) struct Host {
    name: String,
    enter: Vec<OsString>,
}

impl Host {
    pub(crate) fn local() -> Host {
        Host {
            name: "local".to_owned(),
            enter: Vec::new(),
        }
    }

    pub(crate) fn inside(name: String, enter: Vec<OsString>) -> Host {
        Host { name, enter }
    }

    /// Output goes to files rather than pipes: a script that leaves a program in the background
    /// ends when it ends itself. They aren't opened for appending: that breaks `zfs send`.
    fn run_on_file(&self, script: &str, stdin: Stdio, limit: Duration) -> Result<Output> {
        let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let mut command = command(&self.enter, "setpriv");
        // A script ends with the test that waits for it.
        command.args(["--pdeathsig", "KILL", "--", "bash", "-c", script]);
        command
            .stdin(stdin)
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?);
        let mut child = command
            .spawn()
            .with_context(|| format!("{}: {script}", self.name))?;
        let status = match wait_child(&mut child, limit)? {
            Some(status) => shell_status(status),
            None => {
                kill_group(&mut child)?;
                TIMED_OUT_STATUS
            }
        };
        Ok(Output {
            status,
            stdout: contents(&mut stdout)?,
            stderr: contents(&mut stderr)?,
        })
    }

    fn checked(&self, script: &str, stdin: Stdio) -> Result<Vec<u8>> {
        let output = self.run_on_file(script, stdin, seconds(COPY_LIMIT_S))?;
        if output.status != 0 {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!(
                "{}: {script}\nstatus {}: {stderr}",
                self.name,
                output.status
            );
        }
        Ok(output.stdout)
    }
}

impl Reach for Host {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, script: &str, stdin: &[u8], limit: Duration) -> Result<Output> {
        if stdin.is_empty() {
            return self.run_on_file(script, Stdio::null(), limit);
        }
        let mut input = tempfile::tempfile()?;
        input.write_all(stdin)?;
        input.rewind()?;
        self.run_on_file(script, input.into(), limit)
    }

    fn put(&self, local: &Path, remote: &Path) -> Result<()> {
        // By a command in the place, as namespaces have file systems that others don't see.
        let file = File::open(local).with_context(|| local.display().to_string())?;
        let mode = file.metadata()?.permissions().mode() & 0o777;
        let part = quoted(&format!("{}.part", remote.display()));
        let to = quoted(&remote.display().to_string());
        let script = format!("cat >{part} && chmod {mode:o} {part} && mv -fT {part} {to}");
        self.checked(&script, file.into()).map(drop)
    }

    fn read(&self, remote: &Path) -> Result<Vec<u8>> {
        let script = format!("cat -- {}", quoted(&remote.display().to_string()));
        self.checked(&script, Stdio::null())
    }

    fn outlives_test(&self) -> bool {
        self.enter.is_empty()
    }
}

/// `program` behind the words that lead into namespaces, in `/` and in a process group of its own.
pub(crate) fn command(enter: &[OsString], program: &str) -> Command {
    let mut command = match enter.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    command
        .current_dir("/")
        .env("PATH", search_path())
        .process_group(0);
    command
}

/// Kills a child that [`command`] made and all of its group, and waits for its end.
pub(crate) fn kill_group(child: &mut Child) -> Result<()> {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // The group is gone if all of it has ended: that is as good.
        let _ = kill_process_group(pid, Signal::KILL);
    }
    child.wait()?;
    Ok(())
}

/// The exit status as a shell tells it: a signal n as 128 + n.
fn shell_status(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

fn contents(file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
