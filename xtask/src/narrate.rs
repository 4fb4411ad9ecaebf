//! Telling what is done while doing it: what, the command as one would type it, its real output,
//! and how long it took. What is started in the background ends with its guard.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::limits::{DEMO_READY_LIMIT, DEMO_STOP_LIMIT, POLL_INTERVAL};
use crate::shell;

/// Says what comes next.
pub(crate) fn chapter(title: &str) {
    println!("\n{title}\n{}", "=".repeat(title.chars().count()));
}

/// Says something in between.
pub(crate) fn say(text: &str) {
    println!("\n{text}");
}

/// Runs a command, shows it and its output, and returns its standard output. Fails if it does.
pub(crate) fn step(what: &str, command: &mut Command) -> Result<String> {
    expecting(what, command, 0)
}

/// The same for a command that has to be refused with this exit code.
pub(crate) fn refused(what: &str, command: &mut Command, code: i32) -> Result<String> {
    expecting(what, command, code)
}

fn expecting(what: &str, command: &mut Command, code: i32) -> Result<String> {
    let line = shell::line(command);
    println!("\n{what}\n  $ {line}");
    let started = Instant::now();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{what}: can't start `{line}`"))?;
    let took = started.elapsed();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in text
        .lines()
        .chain(String::from_utf8_lossy(&output.stderr).lines())
    {
        println!("    {line}");
    }
    match (output.status.code(), code) {
        (Some(0), 0) => println!("  ({took:.1?})"),
        (Some(got), wanted) if got == wanted => {
            println!("  ({took:.1?}, refused with exit code {got}, as it should be)");
        }
        (_, 0) => bail!("{what}: `{line}` failed: {}", output.status),
        (_, wanted) => bail!(
            "{what}: `{line}` should have been refused with exit code {wanted}: {}",
            output.status
        ),
    }
    Ok(text)
}

/// A program in the background. Dropping this ends it: politely, then not.
pub(crate) struct Running {
    what: String,
    child: Child,
    /// Whether the child is `nsenter`.
    leads: bool,
    log: PathBuf,
}

impl Running {
    /// Starts a program whose output goes to a file.
    pub(crate) fn start(what: &str, command: &mut Command, log: &Path) -> Result<Running> {
        let line = shell::line(command);
        println!("\n{what}\n  $ {line} &");
        let output = File::create(log).with_context(|| format!("can't write {}", log.display()))?;
        let errors = output.try_clone().context("can't share the log")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("{what}: can't start `{line}`"))?;
        Ok(Running {
            what: what.to_owned(),
            child,
            leads: command.get_program() == "nsenter",
            log: log.to_path_buf(),
        })
    }

    /// Waits until `ready` says so. Fails if the program ends before, or takes too long.
    pub(crate) fn wait_until(&mut self, ready: &mut dyn FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait().context("lost a program")? {
                bail!(
                    "{} ended too early: {status}. It said:\n{}",
                    self.what,
                    self.said()
                );
            }
            if started.elapsed() > DEMO_READY_LIMIT {
                let seconds = DEMO_READY_LIMIT.as_secs();
                bail!(
                    "{} is not ready after {seconds} s. It said:\n{}",
                    self.what,
                    self.said()
                );
            }
            thread::sleep(POLL_INTERVAL);
        }
        println!("  (ready in {:.1?})", started.elapsed());
        Ok(())
    }

    /// What it has printed so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The program that `nsenter` leads into namespaces and waits for: it, not `nsenter`, is to be asked.
    fn led(&self, leader: Pid) -> Option<Pid> {
        if !self.leads {
            return None;
        }
        let leader = leader.as_raw_nonzero();
        let children = fs::read_to_string(format!("/proc/{leader}/task/{leader}/children")).ok()?;
        let first = children.split_whitespace().next()?;
        Pid::from_raw(first.parse().ok()?)
    }

    fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    /// Errors here leave nothing to do but to try the next, harder way.
    fn drop(&mut self) {
        if self.ended() {
            return;
        }
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(self.led(pid).unwrap_or(pid), Signal::TERM);
        let started = Instant::now();
        while started.elapsed() < DEMO_STOP_LIMIT {
            if self.ended() {
                return;
            }
            thread::sleep(POLL_INTERVAL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_step_returns_its_output_and_fails_with_its_command() {
        assert_eq!(
            step("Say hello", &mut shell("echo hello")).unwrap(),
            "hello\n"
        );
        let error = step("Fail", &mut shell("exit 3")).unwrap_err().to_string();
        assert!(error.contains("Fail: `sh -c 'exit 3'` failed"), "{error}");
    }

    #[test]
    fn a_refusal_has_to_be_the_right_one() {
        refused("Try", &mut shell("exit 4"), 4).unwrap();
        for script in ["exit 0", "exit 5", "kill -9 $$"] {
            refused("Try", &mut shell(script), 4).unwrap_err();
        }
    }

    #[test]
    fn what_runs_in_the_background_ends_with_its_guard() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("ended");
        let script = format!(
            "trap 'touch {}; exit' TERM; echo up; while :; do sleep 0.05; done",
            mark.display()
        );
        let log = folder.path().join("log");
        let mut running = Running::start("A loop", &mut shell(&script), &log).unwrap();
        running
            .wait_until(&mut || fs::read_to_string(&log).unwrap() == "up\n")
            .unwrap();
        drop(running);
        assert!(mark.exists());
    }

    #[test]
    fn a_program_that_ends_too_early_is_told_with_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = shell("echo 'no room'; exit 1");
        let mut running =
            Running::start("A daemon", &mut command, &folder.path().join("log")).unwrap();
        let error = running.wait_until(&mut || false).unwrap_err().to_string();
        assert!(
            error.contains("ended too early") && error.contains("no room"),
            "{error}"
        );
    }
}
