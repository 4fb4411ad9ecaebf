//! A program in the background of a place.

use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::host::command;
use crate::limits::BACKGROUND_LIMIT_S;
use crate::place::{Place, quoted};
use crate::wait::seconds;

/// Prints `state start-time` of process $pid, or nothing if there is none: pids are used again,
/// a pid with its start time isn't. The fields after the command, which may hold anything.
const LOOK: &str = r#"look() {
    { s=$(</proc/$pid/stat); } 2>/dev/null || return
    s=${s##*) }; set -- $s
    [ "$1" = Z ] || echo "${20}@$(</proc/sys/kernel/random/boot_id)"
}"#;

/// Ends all that is in the session $pid, and waits until it has ended.
const END_SESSION: &str = r#"pkill -KILL -s $pid
    for ((i = 0; i < 200; i++)); do
        [[ $(ps -o stat= -s $pid 2>/dev/null) =~ (^|$'\n')[^Z$'\n'] ]] || break
        sleep 0.05
    done"#;

/// A program in the background of a place. Dropping it kills it and what it started, less what
/// has left its session.
#[derive(Debug)]
pub struct Running {
    place: Place,
    pid: u32,
    /// Start time and boot of the process, empty if it ended before anyone could look.
    identity: String,
    _keeper: Option<Keeper>,
}

impl Running {
    pub(crate) fn start(place: &Place, script: &str, log: &Path) -> Result<Running> {
        let log = quoted(&log.display().to_string());
        let started = run(
            place,
            &format!(
                "mkdir -p -- \"$(dirname -- {log})\" && : >>{log} || exit 1\n{LOOK}\n\
                 setsid bash -c {} >>{log} 2>&1 </dev/null & pid=$!\necho $pid $(look)",
                quoted(script)
            ),
        )?;
        let (pid, identity) = started
            .trim()
            .split_once(' ')
            .unwrap_or((started.trim(), ""));
        let pid = pid
            .parse()
            .with_context(|| format!("{}: pid {pid:?}", place.name()))?;
        let keeper = if place.outlives_test() {
            Some(Keeper::of_session(pid)?)
        } else {
            None
        };
        Ok(Running {
            place: place.clone(),
            pid,
            identity: identity.to_owned(),
            _keeper: keeper,
        })
    }

    /// The process's number in its place.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends `signal` to the process; an error if it has ended.
    pub fn kill(&self, signal: Signal) -> Result<()> {
        ensure!(
            self.alive(),
            "{}: process {} has ended, no signal can reach it",
            self.place.name(),
            self.pid
        );
        run(
            &self.place,
            &format!("kill -{} {}", signal.as_raw(), self.pid),
        )
        .map(drop)
    }

    /// Whether the process still runs; not so if its place is down.
    #[must_use]
    pub fn alive(&self) -> bool {
        let seen = run(&self.place, &format!("pid={}\n{LOOK}\nlook || :", self.pid));
        seen.is_ok_and(|seen| !self.identity.is_empty() && seen.trim() == self.identity)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A place that is down, or gone, has taken the process with it.
        let _ = run(&self.place, &format!("pid={}\n{END_SESSION}", self.pid));
    }
}

fn run(place: &Place, script: &str) -> Result<String> {
    place.sh_within(script, seconds(BACKGROUND_LIMIT_S))
}

/// A small process that ends a session of this machine when the test has ended, however it did:
/// the pipe between them is closed then.
#[derive(Debug)]
struct Keeper {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Keeper {
    fn of_session(pid: u32) -> Result<Keeper> {
        let script = format!("trap '' INT TERM HUP; read -r _; pid={pid}; {END_SESSION}");
        let mut process = command(&[], "bash")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Keeper {
            pipe: process.stdin.take(),
            process,
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = self.process.wait();
    }
}
