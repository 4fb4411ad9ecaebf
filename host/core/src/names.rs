//! Names that were checked once, at the edge, and are then carried as types.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $field:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    let shown: String = text.chars().take(80).collect();
                    Err(Error::invalid($field, format!("`{shown}` is no valid name; it must be {}", $rule)))
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A plugin's name: `storage-zfs`.
    PluginName,
    "plugin",
    "1 to 64 lower-case letters, digits and `-`, beginning with a letter",
    |t| bounded(t, 64, |c| c.is_ascii_lowercase(), |c| lower(c) || c == '-')
);
name!(
    /// A storage's name: `vmstore`.
    StorageName,
    "storage",
    "1 to 64 letters, digits, `-` and `_`, beginning with a letter",
    |t| bounded(t, 64, |c| c.is_ascii_alphabetic(), |c| c.is_ascii_alphanumeric() || "-_".contains(c))
);
name!(
    /// A volume's name on its storage: `vm-100-disk-0`.
    VolumeName,
    "volume",
    "1 to 128 lower-case letters, digits, `.`, `_` and `-`, beginning with a letter or digit",
    |t| bounded(t, 128, lower, |c| lower(c) || "._-".contains(c))
);
name!(
    /// A snapshot's name: `before-upgrade`.
    SnapshotName,
    "snapshot",
    "1 to 128 letters, digits, `.`, `_`, `:` and `-`, beginning with a letter or digit",
    |t| bounded(t, 128, |c| c.is_ascii_alphanumeric(), |c| c.is_ascii_alphanumeric() || "._:-".contains(c))
);

fn lower(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn bounded(text: &str, most: usize, first: fn(char) -> bool, rest: fn(char) -> bool) -> bool {
    text.len() <= most && text.chars().next().is_some_and(first) && text.chars().all(rest)
}

/// A volume anywhere: `storage:name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId {
    /// The storage it is on.
    pub storage: StorageName,
    /// Its name there.
    pub name: VolumeName,
}

impl std::str::FromStr for VolumeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (storage, name) = text.split_once(':').ok_or_else(|| {
            Error::invalid(
                "volume",
                format!("`{text}` has no storage: write `STORAGE:NAME`"),
            )
        })?;
        Ok(Self {
            storage: storage.parse()?,
            name: name.parse()?,
        })
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.storage, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_the_edge() {
        assert!("vm-100-disk-0".parse::<VolumeName>().is_ok());
        for bad in ["", "-a", "A", "a/b", "..", "a b", &"a".repeat(129)] {
            let error = bad.parse::<VolumeName>().unwrap_err();
            assert_eq!(error.field.as_deref(), Some("volume"), "{bad}");
        }
        assert!("2024-01-01T00:00".parse::<SnapshotName>().is_ok());
        assert!("a@b".parse::<SnapshotName>().is_err());
        assert!("Tank_1".parse::<StorageName>().is_ok());
        assert!("1tank".parse::<StorageName>().is_err());
    }

    #[test]
    fn volume_ids_need_a_storage() {
        let id: VolumeId = "tank:vm-1".parse().unwrap();
        assert_eq!(id.to_string(), "tank:vm-1");
        assert!(
            "vm-1"
                .parse::<VolumeId>()
                .unwrap_err()
                .message
                .contains("STORAGE:NAME")
        );
    }
}
