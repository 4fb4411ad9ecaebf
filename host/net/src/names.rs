//! What the names of this crate are made of: clusters, nodes, serials, fingerprints, and the name
//! a certificate carries, `cairn://<cluster>/node/<id>`.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::secret::random_bytes;

/// A text that isn't what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {what}")]
pub struct BadName {
    text: String,
    what: &'static str,
}

fn bad(text: &str, what: &'static str) -> BadName {
    let text = text.chars().take(100).collect();
    BadName { text, what }
}

/// Which cluster, or which witness: 128 random bits, shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterId(pub [u8; 16]);

impl ClusterId {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn random() -> Result<Self, crate::IdentityError> {
        Ok(Self(random_bytes()?))
    }
}

/// Which node of a cluster. Never given twice.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NodeId(pub u64);

/// The serial number of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial(pub u128);

/// SHA-256 of a certificate's DER form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of this certificate.
    #[must_use]
    pub fn of(certificate_der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes
            .iter_mut()
            .zip(digest(&SHA256, certificate_der).as_ref())
        {
            *to = *from;
        }
        Self(bytes)
    }
}

/// Whom a certificate or a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs guests and holds the cluster's secrets.
    Node,
    /// Votes and can read nothing.
    Witness,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Witness => "witness",
        })
    }
}

/// The name in a node's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateName {
    /// Whose node.
    pub cluster: ClusterId,
    /// Which node.
    pub node: NodeId,
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cairn://{}/node/{}", self.cluster, self.node)
    }
}

impl FromStr for CertificateName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let parse = || {
            let (cluster, node) = text.strip_prefix("cairn://")?.split_once("/node/")?;
            let name = Self {
                cluster: cluster.parse().ok()?,
                node: node.parse().ok()?,
            };
            // One spelling only: what parses but prints otherwise (`+1`, `01`) is refused.
            (name.to_string() == text).then_some(name)
        };
        parse().ok_or_else(|| bad(text, "the name of a node's certificate"))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        text.parse()
            .map(Self)
            .map_err(|_| bad(text, "the id of a node (a number)"))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Serial {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let number = u128::from_str_radix(text, 16);
        number
            .map(Self)
            .map_err(|_| bad(text, "a serial number (hex digits)"))
    }
}

/// Fixed-length bytes that read and print as lower-case hex.
macro_rules! hex_text {
    ($type:ident, $what:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl FromStr for $type {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                let mut bytes = Self([0; _]);
                hex::decode_to_slice(text, &mut bytes.0).map_err(|_| bad(text, $what))?;
                Ok(bytes)
            }
        }
    };
}
hex_text!(ClusterId, "the id of a cluster (32 hex digits)");
hex_text!(Fingerprint, "a fingerprint (64 hex digits)");

/// What prints as text is text in JSON and in debug output.
macro_rules! text_everywhere {
    ($($type:ident),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($type))
            }
        }
        impl TryFrom<String> for $type {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )*};
}
text_everywhere!(ClusterId, Serial, Fingerprint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificates_name_has_one_spelling() {
        let name = CertificateName {
            cluster: ClusterId([7; 16]),
            node: NodeId(3),
        };
        let text = name.to_string();
        assert_eq!(text, "cairn://07070707070707070707070707070707/node/3");
        assert_eq!(text.parse(), Ok(name));
        for wrong in [
            text.replace("/3", "/03"),
            text.replace("/3", "/+3"),
            text.replace("/3", "/3/"),
            text.replace("07", "0A").replace("0A0A", "0a0A"),
            text.replace("node", "witness"),
            text.replace("cairn:", "spiffe:"),
            text.replace("/3", "/18446744073709551616"),
        ] {
            assert!(wrong.parse::<CertificateName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_text_in_json() {
        let id = ClusterId([1; 16]);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<ClusterId>(&json).unwrap(), id);
        assert!(serde_json::from_str::<Serial>("\"xyz\"").is_err());
    }
}
