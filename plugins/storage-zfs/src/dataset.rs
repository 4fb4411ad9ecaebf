//! What `zfs get -H -p -o name,property,value,source` prints, as datasets with their properties.

use std::collections::HashMap;

/// A filesystem, volume or snapshot with the properties that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dataset {
    /// `pool/vms/vm-100-disk-0`, or with `@SNAPSHOT`.
    pub(crate) path: String,
    properties: HashMap<String, Property>,
}

#[derive(Debug, Clone, PartialEq)]
struct Property {
    value: String,
    /// Whence the value is: `local`, `inherited from tank`, `received`.
    source: String,
}

impl Dataset {
    /// A native property's value; `None` where the dataset has none (`-`).
    pub(crate) fn native(&self, property: &str) -> Option<&str> {
        let found = self.properties.get(property)?;
        Some(found.value.as_str()).filter(|v| *v != "-" && !v.is_empty())
    }

    /// The value of `cairn:NAME`, if it is set on this dataset itself: children inherit user properties,
    /// and what is inherited says nothing about them.
    pub(crate) fn own(&self, name: &str) -> Option<&str> {
        let found = self.properties.get(&format!("cairn:{name}"))?;
        Some(found.value.as_str()).filter(|_| found.source == "local")
    }

    /// Did the value come in a stream, so that whoever made that has chosen it?
    pub(crate) fn received(&self, property: &str) -> bool {
        let found = self.properties.get(property);
        found.is_some_and(|p| p.source == "received")
    }

    /// A native number; `None` where there is none.
    pub(crate) fn number(&self, property: &str) -> Option<u64> {
        let value = self.native(property)?;
        if value == "none" {
            return Some(0);
        }
        value.parse().ok()
    }

    /// Is a switch such as `readonly` on?
    pub(crate) fn on(&self, property: &str) -> bool {
        matches!(self.native(property), Some("on" | "yes"))
    }

    pub(crate) fn is_snapshot(&self) -> bool {
        self.path.contains('@')
    }

    /// Is it a zvol?
    pub(crate) fn is_zvol(&self) -> bool {
        self.native("type") == Some("volume")
    }

    /// The path below `parent`, with its snapshot: `vm-100-disk-0@one`.
    pub(crate) fn below(&self, parent: &str) -> Option<&str> {
        self.path.strip_prefix(parent)?.strip_prefix('/')
    }

    /// The snapshot's name.
    pub(crate) fn snapshot(&self) -> Option<&str> {
        self.path.split_once('@').map(|(_, name)| name)
    }
}

/// All datasets in the order they were printed. Lines of another form are passed over: both dialects
/// print warnings to the other stream, and bookmarks are no datasets.
pub(crate) fn parse(text: &str) -> Vec<Dataset> {
    let mut found: Vec<Dataset> = Vec::new();
    for line in text.lines() {
        let mut fields = line.split('\t');
        let (Some(path), Some(name), Some(value), Some(source)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if path.contains('#') {
            continue;
        }
        let property = Property {
            value: value.to_owned(),
            source: source.to_owned(),
        };
        match found.last_mut() {
            Some(last) if last.path == path => {
                last.properties.insert(name.to_owned(), property);
            }
            _ => found.push(Dataset {
                path: path.to_owned(),
                properties: HashMap::from([(name.to_owned(), property)]),
            }),
        }
    }
    found
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// As zfs-fuse 0.7.0 printed it for `get -H -p -r -d 1`.
    pub(crate) const FUSE: &str = "\
tank/vms/a\ttype\tfilesystem\t-
tank/vms/a\tguid\t18240185526747423686\t-
tank/vms/a\tused\t327680\t-
tank/vms/a\tuserrefs\t-\t-
tank/vms/a\trefquota\t0\tdefault
tank/vms/a\tmounted\tyes\t-
tank/vms/a\tmountpoint\t/run/pools/tank/vms/a\tinherited from tank
tank/vms/a\treadonly\toff\tdefault
tank/vms/a\tcairn:content\timages\tlocal
tank/vms/a\tcairn:format\traw\tlocal
tank/vms/a\tcairn:size\t1048576\tlocal
tank/vms/a@s1\ttype\tsnapshot\t-
tank/vms/a@s1\tguid\t17253260759376172795\t-
tank/vms/a@s1\tcreatetxg\t15\t-
tank/vms/a@s1\tcreation\t1795401308\t-
tank/vms/a@s1\tused\t90112\t-
tank/vms/a@s1\tuserrefs\t0\t-
tank/vms/a@s1\tcairn:size\t1048576\tlocal
tank/vms/a/kid\ttype\tfilesystem\t-
tank/vms/a/kid\tcairn:content\timages\tinherited from tank/vms/a
";

    #[test]
    fn real_output() {
        let found = parse(FUSE);
        assert_eq!(found.len(), 3);
        let (volume, snapshot, kid) = (&found[0], &found[1], &found[2]);
        assert_eq!(volume.number("guid"), Some(18_240_185_526_747_423_686));
        assert_eq!(volume.number("userrefs"), None);
        assert_eq!(volume.own("content"), Some("images"));
        assert!(volume.on("mounted") && !volume.on("readonly") && !volume.is_zvol());
        assert_eq!(volume.below("tank/vms"), Some("a"));
        assert_eq!(volume.below("tank/vm"), None);
        assert_eq!(snapshot.snapshot(), Some("s1"));
        assert!(snapshot.is_snapshot());
        assert_eq!(snapshot.number("createtxg"), Some(15));
        assert_eq!(kid.own("content"), None, "inherited does not count");
    }

    #[test]
    fn odd_lines() {
        assert!(parse("").is_empty());
        assert!(parse("no tabs here\n\n").is_empty());
        assert!(parse("tank/a#mark\tguid\t1\t-\n").is_empty());
        let sent = parse("tank/a\tmountpoint\t/etc\treceived\n");
        assert!(sent[0].received("mountpoint") && !sent[0].received("exec"));
        let none = parse("tank/a\tquota\tnone\tdefault\n");
        assert_eq!(none[0].number("quota"), Some(0));
    }
}
