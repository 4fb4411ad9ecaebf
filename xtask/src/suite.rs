//! Runs one program of tests: its output streams through and is counted on the way.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::limits::TEST_PROGRAM_LIMIT;
use crate::tally::{Reader, Tally};

/// Runs `command` as a program of tests called `name`, its lines going to standard output.
pub(crate) fn run(name: &str, command: &mut Command) -> Result<Tally> {
    run_within(name, command, TEST_PROGRAM_LIMIT, &mut |line| {
        println!("{line}");
    })
}

/// The same, for a program that runs while others do: its lines come back with the counts.
pub(crate) fn run_aside(name: &str, command: &mut Command) -> Result<(Tally, Vec<String>)> {
    let mut lines = Vec::new();
    let tally = run_within(name, command, TEST_PROGRAM_LIMIT, &mut |line| {
        lines.push(line.to_owned());
    })?;
    Ok((tally, lines))
}

fn run_within(
    name: &str,
    command: &mut Command,
    limit: Duration,
    show: &mut dyn FnMut(&str),
) -> Result<Tally> {
    let skips = tempfile::NamedTempFile::new().context("can't make a file for skips")?;
    let mut child = command
        .env("CAIRN_SKIPS", skips.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("can't start the tests {name}"))?;
    let mut reader = Reader::default();
    let in_time = stream(&mut child, limit, &mut |line| {
        show(line);
        reader.line(line);
    });
    if !in_time {
        child
            .kill()
            .with_context(|| format!("can't end the tests {name}"))?;
    }
    let status = child
        .wait()
        .with_context(|| format!("lost the tests {name}"))?;
    let ended = match (in_time, status.success()) {
        (false, _) => Some(format!("not done after {} s", limit.as_secs())),
        (true, false) => Some(status.to_string()),
        (true, true) => None,
    };
    let skips = fs::read_to_string(skips.path()).context("can't read the file of skips")?;
    Ok(reader.finish(name, &skips, ended.as_deref()))
}

/// Hands each line on until the output ends; false if the time ran out first. Reading has a
/// thread of its own, so that neither silence nor a daemon that inherited the pipe can hold us.
fn stream(child: &mut Child, limit: Duration, take: &mut dyn FnMut(&str)) -> bool {
    let Some(output) = child.stdout.take() else {
        return true;
    };
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if send
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    let deadline = Instant::now() + limit;
    loop {
        match receive.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                take(&line);
                // Nobody to tell when standard output is gone.
                let _ = std::io::stdout().flush();
            }
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
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
    fn counts_results_and_skips_of_a_program() {
        let script =
            "echo 'test result: ok. 2 passed; 0 failed'; printf 'a\\tno moon\\n' >>$CAIRN_SKIPS";
        let tally = run("program", &mut shell(script)).unwrap();
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 1 skipped");
        assert_eq!(
            tally.skipped,
            [("program::a".to_owned(), "no moon".to_owned())]
        );
    }

    #[test]
    fn a_program_run_aside_gives_back_its_lines() {
        let script = "echo hello; echo 'test result: ok. 1 passed; 0 failed'";
        let (tally, lines) = run_aside("program", &mut shell(script)).unwrap();
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 0 skipped");
        assert_eq!(lines.first().map(String::as_str), Some("hello"));
    }

    #[test]
    fn a_program_that_dies_has_failed() {
        let tally = run("program", &mut shell("kill -ABRT $$")).unwrap();
        assert_eq!(tally.failed, 1);
        assert!(
            tally.failures[0].contains("SIGABRT"),
            "{:?}",
            tally.failures
        );
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let mut hanging = Command::new("sleep");
        let limit = Duration::from_millis(200);
        let tally = run_within("program", hanging.arg("600"), limit, &mut |_| ()).unwrap();
        assert_eq!(tally.failed, 1);
        assert!(
            tally.failures[0].contains("not done after"),
            "{:?}",
            tally.failures
        );
    }
}
