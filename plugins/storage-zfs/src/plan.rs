//! Argument lists, as values: what a command of either dialect looks like.

use crate::zfs::Dialect;

/// The format of streams that keep blocks as they lie on the disk: compressed, encrypted.
pub(crate) const RAW_STREAM: &str = "zfs-raw";
/// The format that every ZFS reads.
pub(crate) const PLAIN_STREAM: &str = "zfs";

/// Properties that say where a filesystem is mounted, for whom, and what may be run from it: the node's to
/// say, never a stream's. Sharing comes first, so that no other change shares it anew.
pub(crate) const NOT_FROM_STREAMS: [&str; 6] = [
    "sharenfs",
    "sharesmb",
    "mountpoint",
    "exec",
    "setuid",
    "devices",
];

/// Words as arguments.
pub(crate) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

/// Properties as `-oNAME=VALUE`.
fn options(properties: &[(&str, String)]) -> impl Iterator<Item = String> {
    properties
        .iter()
        .map(|(name, value)| format!("-o{name}={value}"))
}

/// A new filesystem. It is mounted by who needs it, not at boot.
pub(crate) fn create_filesystem(path: &str, properties: &[(&str, String)]) -> Vec<String> {
    let mut line = words(["create", "-ocanmount=noauto"]);
    line.extend(options(properties));
    line.push(path.to_owned());
    line
}

/// A new dataset that only holds others, and is never mounted.
pub(crate) fn create_holder(path: &str, properties: &[(&str, String)]) -> Vec<String> {
    let mut line = words(["create", "-ocanmount=off"]);
    line.extend(options(properties));
    line.push(path.to_owned());
    line
}

/// A new zvol.
pub(crate) fn create_zvol(
    path: &str,
    size_bytes: u64,
    block_bytes: u64,
    thin: bool,
    properties: &[(&str, String)],
) -> Vec<String> {
    let mut line = words(["create"]);
    if thin {
        line.push("-s".to_owned());
    }
    line.push(format!("-b{block_bytes}"));
    line.extend(options(properties));
    line.extend(["-V".to_owned(), size_bytes.to_string(), path.to_owned()]);
    line
}

/// A clone. zvols don't know `canmount`.
pub(crate) fn clone(
    snapshot: &str,
    path: &str,
    zvol: bool,
    properties: &[(&str, String)],
) -> Vec<String> {
    let mut line = words(["clone"]);
    if !zvol {
        line.push("-ocanmount=noauto".to_owned());
    }
    line.extend(options(properties));
    line.extend([snapshot.to_owned(), path.to_owned()]);
    line
}

/// A clone that takes over a volume's snapshots while that is removed. It has no device and is not mounted,
/// so that nobody can open it.
pub(crate) fn stand_in(path: &str, snapshot: &str, to: &str, zvol: bool) -> Vec<String> {
    let none = [("volmode", "none".to_owned())];
    let properties = if zvol { &none[..] } else { &[] };
    clone(&format!("{path}@{snapshot}"), to, zvol, properties)
}

/// Setting properties, in this order: one command where the dialect allows it.
pub(crate) fn set(
    dialect: &Dialect,
    path: &str,
    properties: &[(&str, String)],
) -> Vec<Vec<String>> {
    let pairs = properties
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    if dialect.is_open() {
        let mut line = words(["set"]);
        line.extend(pairs);
        line.push(path.to_owned());
        return vec![line];
    }
    pairs
        .map(|pair| vec!["set".to_owned(), pair, path.to_owned()])
        .collect()
}

/// Taking snapshots under one name: one command, or one each. `sizes` are recorded where a disk is a file.
pub(crate) fn snapshot(
    dialect: &Dialect,
    volumes: &[(String, Option<u64>)],
    name: &str,
) -> Vec<Vec<String>> {
    if dialect.is_open() && volumes.len() > 1 {
        let mut line = words(["snapshot"]);
        line.extend(volumes.iter().map(|(path, _)| format!("{path}@{name}")));
        return vec![line];
    }
    let one = |(path, size): &(String, Option<u64>)| {
        let mut line = words(["snapshot"]);
        line.extend(size.map(|size| format!("-ocairn:size={size}")));
        line.push(format!("{path}@{name}"));
        line
    };
    volumes.iter().map(one).collect()
}

/// Sending a snapshot, whole or since `base`.
pub(crate) fn send(path: &str, snapshot: &str, base: Option<&str>, format: &str) -> Vec<String> {
    let mut line = words(["send"]);
    if format == RAW_STREAM {
        line.push("-w".to_owned());
    }
    if let Some(base) = base {
        line.extend(["-i".to_owned(), format!("{path}@{base}")]);
    }
    line.push(format!("{path}@{snapshot}"));
    line
}

/// How large what `send` makes will be: the same command, which then only says so.
pub(crate) fn estimate(send: &[String]) -> Vec<String> {
    let mut line = words(["send", "-n", "-P"]);
    line.extend(send.iter().skip(1).cloned());
    line
}

/// The bytes that an estimate says: its last line is `size`, a tab and the number.
pub(crate) fn estimated_bytes(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("size"))?;
    line.trim().parse().ok()
}

/// Receiving into a dataset, without mounting it. OpenZFS keeps what came of a stream that breaks off, and
/// leaves out its properties that the node says; of a zvol it only warns that these don't apply.
pub(crate) fn receive(dialect: &Dialect, path: &str) -> Vec<String> {
    let mut line = words(["receive", "-u"]);
    if dialect.is_open() {
        line.push("-s".to_owned());
        for property in NOT_FROM_STREAMS.iter().chain(&["canmount"]) {
            line.extend(words(["-x", property]));
        }
    }
    line.push(path.to_owned());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Dialect {
        Dialect::Open("2.3.2".to_owned())
    }

    #[test]
    fn dialects_differ() {
        let properties = [
            ("cairn:epoch", "3".to_owned()),
            ("cairn:attached", "n=3=rw=".to_owned()),
        ];
        assert_eq!(set(&open(), "p/a", &properties).len(), 1);
        let fuse = set(&Dialect::Fuse, "p/a", &properties);
        assert_eq!(fuse[0], ["set", "cairn:epoch=3", "p/a"]);
        assert_eq!(fuse.len(), 2);
        let volumes = [("p/a".to_owned(), Some(5)), ("p/b".to_owned(), Some(6))];
        assert_eq!(
            snapshot(&open(), &volumes, "s"),
            [["snapshot", "p/a@s", "p/b@s"]]
        );
        let fuse = snapshot(&Dialect::Fuse, &volumes, "s");
        assert_eq!(fuse[1], ["snapshot", "-ocairn:size=6", "p/b@s"]);
        assert_eq!(receive(&Dialect::Fuse, "p/a"), ["receive", "-u", "p/a"]);
    }

    #[test]
    fn sending() {
        let line = send("p/a", "s2", Some("s1"), RAW_STREAM);
        assert_eq!(line, ["send", "-w", "-i", "p/a@s1", "p/a@s2"]);
        assert_eq!(estimate(&line).join(" "), "send -n -P -w -i p/a@s1 p/a@s2");
        assert_eq!(
            estimated_bytes("incremental\ts1\tp/a@s2\t624\nsize\t624\n"),
            Some(624)
        );
        assert_eq!(estimated_bytes(""), None);
    }
}
