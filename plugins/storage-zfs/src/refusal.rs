//! What the tools say when they refuse, as the contract's causes. Both dialects share most sentences.

use cairn_sdk::plugin::{Cause, Error};

const SHOWN_MAX_CHARS: usize = 400;

/// What a sentence on standard error means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Refusal {
    NotThere,
    Exists,
    Busy,
    Clones,
    Newer,
    NoSpace,
    NotMounted,
    Mounted,
    TagExists,
    NoTag,
    NoTool,
    Modified,
    BelowUsed,
    NoPermission,
    NotClone,
    Other,
}

const SENTENCES: [(&str, Refusal); 29] = [
    ("dataset does not exist", Refusal::NotThere),
    ("no such pool", Refusal::NotThere),
    ("could not find any snapshots to destroy", Refusal::NotThere),
    ("dataset already exists", Refusal::Exists),
    ("snapshot already exists", Refusal::Exists),
    ("destination already exists", Refusal::Exists),
    ("has dependent clones", Refusal::Clones),
    ("more recent snapshots", Refusal::Newer),
    ("has been modified", Refusal::Modified),
    ("less than current used", Refusal::BelowUsed),
    ("out of space", Refusal::NoSpace),
    ("No space left", Refusal::NoSpace),
    ("greater than available space", Refusal::NoSpace),
    ("quota exceeded", Refusal::NoSpace),
    ("not currently mounted", Refusal::NotMounted),
    ("already mounted", Refusal::Mounted),
    ("tag already exists", Refusal::TagExists),
    ("no such tag", Refusal::NoTag),
    ("is busy", Refusal::Busy),
    ("not a cloned", Refusal::NotClone),
    ("umount failed", Refusal::Busy),
    ("failed to initialize ZFS library", Refusal::NoTool),
    ("zfs-fuse daemon is running", Refusal::NoTool),
    ("ZFS modules are not loaded", Refusal::NoTool),
    ("ZFS modules cannot be auto-loaded", Refusal::NoTool),
    ("pool I/O is currently suspended", Refusal::NoTool),
    ("/dev/zfs", Refusal::NoTool),
    ("permission denied", Refusal::NoPermission),
    ("Operation not permitted", Refusal::NoPermission),
];

/// The first sentence that is known.
pub(crate) fn recognise(stderr: &str) -> Refusal {
    let found = SENTENCES.iter().find(|(text, _)| stderr.contains(text));
    found.map_or(Refusal::Other, |(_, refusal)| *refusal)
}

/// The error for a command that failed; `what` says what was tried: `making volume vm-1`.
pub(crate) fn error(what: &str, stderr: &str) -> Error {
    let said = first_lines(stderr);
    let message = format!("{what} failed: {said}");
    match recognise(stderr) {
        Refusal::NotThere => Error::new(Cause::NotFound(what.to_owned()), message),
        Refusal::Exists => Error::new(Cause::AlreadyExists(said), message),
        Refusal::Busy => Error::in_use(
            vec!["open".to_owned()],
            format!("{what} failed: it is open or being sent; end what uses it, then try again"),
        ),
        Refusal::Clones | Refusal::Newer => Error::blocked(named(stderr), message),
        Refusal::NoSpace => Error::new(
            Cause::NoSpace(None),
            format!(
                "{what} failed: the pool or a quota is full ({said}); free space or enlarge it"
            ),
        ),
        Refusal::Modified => Error::blocked(
            vec!["written".to_owned()],
            format!("{what} failed: it was written since the base; keep these writes first"),
        ),
        Refusal::BelowUsed => Error::invalid("limit-bytes", "it is less than what is used"),
        Refusal::NoTool => Error::unavailable(format!("ZFS does not answer on this node: {said}")),
        Refusal::NoPermission => Error::unavailable(format!(
            "{what} failed: the daemon may not use ZFS here ({said}); run it as root or delegate with `zfs allow`"
        )),
        _ => Error::internal(message),
    }
}

/// Dataset names that a refusal lists on lines of their own.
pub(crate) fn named(stderr: &str) -> Vec<String> {
    let is_name = |line: &&str| line.contains('/') && !line.contains([' ', '\'']);
    let short = |line: &str| line.rsplit('/').next().unwrap_or(line).to_owned();
    stderr.lines().filter(is_name).map(short).collect()
}

fn first_lines(stderr: &str) -> String {
    let joined: Vec<&str> = stderr
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    joined.join("; ").chars().take(SHOWN_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_of_zfs_fuse() {
        let all = [
            (
                "cannot open 'tank/x': dataset does not exist",
                Refusal::NotThere,
            ),
            (
                "cannot create 'tank/vms/a': dataset already exists",
                Refusal::Exists,
            ),
            (
                "cannot destroy 'tank/vms/a@s1': dataset is busy",
                Refusal::Busy,
            ),
            (
                "umount: /run/a: target is busy.\ncannot unmount '/run/a': umount failed: umount child process failed",
                Refusal::Busy,
            ),
            (
                "cannot unmount 'tank/vms/a': not currently mounted",
                Refusal::NotMounted,
            ),
            (
                "cannot mount 'tank/vms/a': filesystem already mounted",
                Refusal::Mounted,
            ),
            (
                "cannot hold 'tank/vms/a@s1': tag already exists on this dataset",
                Refusal::TagExists,
            ),
            (
                "cannot release 'n' from 'tank/vms/a@s1': no such tag on this dataset",
                Refusal::NoTag,
            ),
            (
                "cannot set property for 'tank/vms/a': size is greater than available space",
                Refusal::NoSpace,
            ),
            (
                "cannot set property for 'tank/vms/a': size is less than current used or reserved space",
                Refusal::BelowUsed,
            ),
            (
                "connect: No such file or directory\nPlease make sure that the zfs-fuse daemon is running.",
                Refusal::NoTool,
            ),
            ("unrecognized command 'version'", Refusal::Other),
        ];
        for (text, refusal) in all {
            assert_eq!(recognise(text), refusal, "{text}");
        }
    }

    #[test]
    fn names_in_refusals() {
        let text = "cannot destroy 'tank/vms/a': filesystem has dependent clones\n\
            use '-R' to destroy the following datasets:\ntank/vms/c\n";
        assert_eq!(named(text), ["c"]);
        assert_eq!(error("x", text).cause, Cause::Blocked(vec!["c".to_owned()]));
        let newer = "cannot rollback to 'tank/vms/a@s1': more recent snapshots exist\n\
            use '-r' to force deletion of the following snapshots:\ntank/vms/a@s2\n";
        assert_eq!(named(newer), ["a@s2"]);
    }
}
