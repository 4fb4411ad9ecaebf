//! A place where a daemon and its tools run: this machine, a zfs-fuse node, a virtual machine.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::host::Host;
use crate::limits::{COMMAND_LIMIT_S, TIMED_OUT_STATUS};
use crate::running::Running;
use crate::wait::seconds;

/// What a command left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit status; 128 + n if signal n ended it; [`TIMED_OUT_STATUS`] if its time was up.
    pub status: i32,
    /// All it wrote to standard output.
    pub stdout: Vec<u8>,
    /// All it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// How to reach a place; each kind has its own.
pub(crate) trait Reach: Send + Sync {
    fn name(&self) -> &str;
    fn run(&self, script: &str, stdin: &[u8], limit: Duration) -> Result<Output>;
    fn put(&self, local: &Path, remote: &Path) -> Result<()>;
    fn read(&self, remote: &Path) -> Result<Vec<u8>>;
    /// Whether what is started there would outlive a test that is killed.
    fn outlives_test(&self) -> bool;
}

/// A place where a daemon and its tools run. Cheap to clone; all clones are the same place.
#[derive(Clone)]
pub struct Place(Arc<dyn Reach>);

impl Place {
    /// This machine itself.
    #[must_use]
    pub fn local() -> Place {
        Place(Arc::new(Host::local()))
    }

    pub(crate) fn new(reach: Arc<dyn Reach>) -> Place {
        Place(reach)
    }

    /// A name for people: `local`, `zfs-fuse-1`, `n1`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Runs `script` by `bash -c` as root in `/`, with no input. An error means that the place
    /// failed, not the script. What the script leaves in the background goes on.
    pub fn run(&self, script: &str, limit: Duration) -> Result<Output> {
        self.0.run(script, &[], limit)
    }

    /// Like [`Place::run`], with `stdin` as standard input.
    pub fn run_with_stdin(&self, script: &str, stdin: &[u8], limit: Duration) -> Result<Output> {
        self.0.run(script, stdin, limit)
    }

    /// Runs `script` for at most [`COMMAND_LIMIT_S`] and gives its standard output. Fails, with
    /// the script and its standard error, if it exits with anything but 0.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.sh_within(script, seconds(COMMAND_LIMIT_S))
    }

    /// Like [`Place::sh`], with a limit of its own.
    pub fn sh_within(&self, script: &str, limit: Duration) -> Result<String> {
        let output = self.run(script, limit)?;
        match output.status {
            0 => Ok(String::from_utf8(output.stdout)?),
            _ => Err(failure(self.name(), script, &output, limit)),
        }
    }

    /// Starts `script` in the background, in a session of its own. Its output is added to the
    /// file `log` of that place. Begin the script with `exec` if signals are meant for a program.
    pub fn start(&self, script: &str, log: impl AsRef<Path>) -> Result<Running> {
        Running::start(self, script, log.as_ref())
    }

    /// Copies a file of this machine there, with its mode. It appears under its name when whole.
    pub fn put(&self, local: impl AsRef<Path>, remote: impl AsRef<Path>) -> Result<()> {
        self.0.put(local.as_ref(), remote.as_ref())
    }

    /// The bytes of a file there.
    pub fn read(&self, remote: impl AsRef<Path>) -> Result<Vec<u8>> {
        self.0.read(remote.as_ref())
    }

    pub(crate) fn outlives_test(&self) -> bool {
        self.0.outlives_test()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.name())
    }
}

/// `text` as one word for bash.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn failure(place: &str, script: &str, output: &Output, limit: Duration) -> anyhow::Error {
    let why = match output.status {
        TIMED_OUT_STATUS => format!("status 124, likely its limit of {} s", limit.as_secs_f32()),
        status => format!("status {status}"),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let said = [stderr.trim_end(), stdout.trim_end()]
        .into_iter()
        .find(|text| !text.is_empty());
    anyhow!(
        "{place}: {script}\n{why}: {}",
        said.unwrap_or("it said nothing")
    )
}
