//! Runs the built `cairn` as a person or a script would.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

/// How long one command may take.
const LIMIT_S: &str = "120";

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// The one document on stdout; there must be nothing else, on stderr neither.
    pub fn document(&self) -> Value {
        assert_eq!(self.stderr, "", "{}", self.stdout);
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("not one document ({e}): {}", self.stdout))
    }
}

/// Runs `cairn` with these words and nothing on standard input.
pub fn cairn<W: AsRef<OsStr>>(words: &[W]) -> Said {
    cairn_reading("", words)
}

/// Runs `cairn` with this on standard input.
pub fn cairn_reading<W: AsRef<OsStr>>(input: &str, words: &[W]) -> Said {
    let mut child = command("timeout")
        .args(["-k", "5", LIMIT_S, env!("CARGO_BIN_EXE_cairn")])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that reads nothing may have gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Said {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A program without what of ours the tester has in the environment.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for variable in [
        "CAIRN_DATA",
        "CAIRN_SERVER",
        "CAIRN_TOKEN",
        "CAIRN_CA",
        "CAIRN_LOG",
    ] {
        command.env_remove(variable);
    }
    command.env("COLUMNS", "100");
    command
}
