//! Running `zfs`, `zpool` and the few other tools.

use cairn_sdk::host::{Command, Output, scratch};
use cairn_sdk::plugin::Error;

use crate::refusal::{self, Refusal};

/// How often a command is run that finds its dataset busy: zfs-fuse still says so for a moment after a
/// mount, and a device's closing is noticed late by both.
const BUSY_TRIES: u32 = 8;
const DIALECT_KEY: &str = "dialect";
const FUSE: &str = "zfs-fuse";

/// What the tools can do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Dialect {
    /// OpenZFS 2 or later; its version.
    Open(String),
    /// zfs-fuse 0.7.
    Fuse,
}

impl Dialect {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Open(version) => format!("OpenZFS {version}"),
            Self::Fuse => "zfs-fuse 0.7 (pool version 23)".to_owned(),
        }
    }
}

/// Asks the tools what they are. Only OpenZFS knows `version`.
pub(crate) fn ask_dialect() -> Result<Dialect, Error> {
    let output = Command::new("zfs").arg("version").output()?;
    let dialect = dialect_of(&output.stdout, &output.stderr, output.success())?;
    let word = match &dialect {
        Dialect::Open(version) => version.as_str(),
        Dialect::Fuse => FUSE,
    };
    // A memory that is full only costs asking again.
    let _ = scratch::set(DIALECT_KEY, word.as_bytes());
    Ok(dialect)
}

/// What the tools are, by what they said the last time.
pub(crate) fn dialect() -> Result<Dialect, Error> {
    match scratch::get(DIALECT_KEY).map(String::from_utf8) {
        Some(Ok(word)) if word == FUSE => Ok(Dialect::Fuse),
        Some(Ok(version)) => Ok(Dialect::Open(version)),
        _ => ask_dialect(),
    }
}

fn dialect_of(stdout: &str, stderr: &str, success: bool) -> Result<Dialect, Error> {
    if let Some(version) = stdout.lines().find_map(|l| l.trim().strip_prefix("zfs-")) {
        return Ok(Dialect::Open(version.to_owned()));
    }
    if stderr.contains("unrecognized command")
        || stderr.contains("Please make sure that the zfs-fuse")
    {
        return Ok(Dialect::Fuse);
    }
    if success {
        return Err(Error::internal(format!(
            "`zfs version` printed no version: {stdout}"
        )));
    }
    Err(refusal::error("asking for the version of ZFS", stderr))
}

/// Runs `zfs`, again for a while where it is busy, and gives back whatever came of it.
pub(crate) fn output(arguments: &[String]) -> Result<Output, Error> {
    let mut tries = 0;
    loop {
        let output = Command::new("zfs")
            .args(arguments.iter().cloned())
            .output()?;
        tries += 1;
        let busy = !output.success() && refusal::recognise(&output.stderr) == Refusal::Busy;
        if !busy || tries >= BUSY_TRIES {
            return Ok(output);
        }
    }
}

/// Runs `zfs`; `what` says what for, in an error: `making volume vm-1`.
pub(crate) fn run(what: &str, arguments: &[String]) -> Result<String, Error> {
    tolerate(what, arguments, &[]).map(|(text, _)| text)
}

/// Runs `zfs`; these refusals are no errors, as they say that the work is done.
pub(crate) fn tolerate(
    what: &str,
    arguments: &[String],
    fine: &[Refusal],
) -> Result<(String, Option<Refusal>), Error> {
    let output = output(arguments)?;
    if output.success() {
        return Ok((output.stdout, None));
    }
    let refusal = refusal::recognise(&output.stderr);
    if fine.contains(&refusal) {
        return Ok((output.stdout, Some(refusal)));
    }
    Err(refusal::error(what, &output.stderr))
}

/// Runs another tool.
pub(crate) fn tool(program: &str, what: &str, arguments: &[String]) -> Result<String, Error> {
    let output = Command::new(program)
        .args(arguments.iter().cloned())
        .output()?;
    if output.success() {
        Ok(output.stdout)
    } else {
        Err(refusal::error(what, &output.stderr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects() {
        let open = dialect_of("zfs-2.3.2-2~bpo12+2\nzfs-kmod-2.3.2-2\n", "", true).unwrap();
        assert_eq!(open.shown(), "OpenZFS 2.3.2-2~bpo12+2");
        let fuse = dialect_of(
            "",
            "unrecognized command 'version'\nusage: zfs command args ...",
            false,
        );
        assert_eq!(fuse.unwrap(), Dialect::Fuse);
        assert!(dialect_of("", "The ZFS modules are not loaded.", false).is_err());
    }
}
