//! A cell: namespaces of this machine that end, with all in them, when the test does.
//!
//! ```text
//! test --pipe--> keeper (bash) --> unshare --> init (process 1 of the cell)
//! ```
//! The init waits for the end of the pipe, which the kernel closes however the test ends. With
//! it the kernel kills every process of the cell and drops its mounts and its network; the keeper,
//! outside, then removes the cell's files. So nothing has a name to clean up, and no list of
//! processes has to be right.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::host::{Host, command, kill_group};
use crate::limits::{CELL_END_LIMIT_S, CELL_START_LIMIT_S};
use crate::wait::{seconds, wait_child, wait_until};

const KEEPER: &str = r#"trap '' INT TERM HUP
dir=$1 setup=$2; shift 2
unshare --mount --pid --fork --kill-child "$@" bash -c "$setup" cairn-bed-init "$dir"
rm -rf --one-file-system -- "$dir""#;

/// Around what a kind of cell sets up. The init's number outside is what the outer /proc, which
/// is still there at first, says that it is.
const INIT_BEGIN: &str = r#"set -e; dir=$1
read -r outside _ </proc/self/stat
mount -t proc proc /proc"#;
const INIT_END: &str = r#"set +e
echo "$outside" >"$dir/.ready"; mv "$dir/.ready" "$dir/ready"
read -r _
kill -KILL -1; wait"#;

/// Which namespaces a cell has of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spaces {
    /// Mounts and processes.
    Mounts,
    /// Mounts, processes and network.
    MountsAndNetwork,
}

/// Namespaces that end, with all in them and the directory `dir`, on drop or with the test.
#[derive(Debug)]
pub(crate) struct Cell {
    dir: PathBuf,
    spaces: Spaces,
    init_pid: u32,
    keeper: Child,
    pipe: Option<ChildStdin>,
}

impl Cell {
    /// Makes a cell and runs `setup` in it by bash, with `$dir` set. What that starts in the
    /// background stays.
    pub(crate) fn start(spaces: Spaces, setup: &str) -> Result<Cell> {
        let dir = tempfile::Builder::new().prefix("cairn-bed-").tempdir()?;
        let log = File::create(dir.path().join("init.log"))?;
        let mut keeper = command(&[], "bash");
        keeper
            .args(["-c", KEEPER, "cairn-bed-keeper"])
            .arg(dir.path());
        keeper.arg(format!("{INIT_BEGIN}\n{setup}\n{INIT_END}"));
        if spaces == Spaces::MountsAndNetwork {
            keeper.arg("--net");
        }
        keeper
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut keeper = keeper.spawn().context("bash")?;
        let pipe = keeper.stdin.take();
        // From here on the keeper removes the directory.
        let mut cell = Cell {
            dir: dir.keep(),
            spaces,
            init_pid: 0,
            keeper,
            pipe,
        };
        cell.init_pid = cell.wait_ready()?;
        Ok(cell)
    }

    /// A directory of the cell's, that goes with it; outside it has the same path.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The words before a command that is to run in the cell.
    pub(crate) fn enter(&self) -> Vec<OsString> {
        let mut words = vec!["nsenter", "--mount", "--pid", "--wd=/"];
        if self.spaces == Spaces::MountsAndNetwork {
            words.push("--net");
        }
        let mut words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        words.push(format!("--target={}", self.init_pid).into());
        words
    }

    /// The cell's inside, for commands.
    pub(crate) fn host(&self, name: String) -> Host {
        Host::inside(name, self.enter())
    }

    /// The network of the cell, for a thread that wants to enter it.
    pub(crate) fn network(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.init_pid).into()
    }

    fn wait_ready(&mut self) -> Result<u32> {
        let (ready, log) = (self.dir.join("ready"), self.dir.join("init.log"));
        let mut said = String::new();
        let text = wait_until(
            "a cell of namespaces is ready",
            seconds(CELL_START_LIMIT_S),
            || {
                // Read before the keeper's end is looked at: the log goes with the directory.
                said = fs::read_to_string(&log).unwrap_or(said.clone());
                match self.keeper.try_wait() {
                    Ok(None) => fs::read_to_string(&ready).ok().map(Some),
                    _ => Some(None),
                }
            },
        );
        match text {
            Ok(Some(text)) => Ok(text.trim().parse()?),
            Ok(None) => bail!("no namespaces could be set up: {}", said.trim()),
            Err(error) => Err(error.context(said)),
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.pipe = None;
        if let Ok(Some(_)) = wait_child(&mut self.keeper, seconds(CELL_END_LIMIT_S)) {
            return;
        }
        eprintln!("a cell of namespaces did not end by itself: killing it");
        let _ = kill_group(&mut self.keeper);
        let _ = fs::remove_dir_all(&self.dir);
    }
}
