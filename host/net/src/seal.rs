//! Sealing with the cluster's key: what a witness keeps for a cluster, it can't read.
//!
//! AES-256-GCM-SIV (RFC 8452) with a random nonce: should a nonce ever repeat over the years, that
//! tells no more than that two entries are equal. The context (which log, which index) is
//! authenticated with the content, so an entry can't be passed off as another.
//!
//! | byte 0 | byte 1 | 12 bytes | rest |
//! |---|---|---|---|
//! | format, 1 | key id | nonce | ciphertext and tag |

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use serde::{Deserialize, Serialize};

use crate::error::IdentityError;
use crate::secret::{Secret, random_bytes};

const FORMAT: u8 = 1;

/// The 256-bit key that all nodes of a cluster share and no witness has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterKey {
    id: u8,
    secret: Secret,
}

/// Why something sealed stays shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too short, or of no known format.
    #[error("this is nothing that was sealed, or it was cut short")]
    NotSealed,
    /// Another key is needed.
    #[error("it was sealed with key {found} of the cluster and this node holds key {held}")]
    OtherKey {
        /// The key it needs.
        found: u8,
        /// The key here.
        held: u8,
    },
    /// Content, context or key differ from when it was sealed.
    #[error("it was changed since it was sealed, stood elsewhere, or is of another cluster")]
    Changed,
    /// No random numbers, or content beyond what the cipher takes.
    #[error("it can't be sealed: no random numbers, or it is too large")]
    CannotSeal,
}

impl ClusterKey {
    /// A new key under this id.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate(id: u8) -> Result<Self, IdentityError> {
        Ok(Self {
            id,
            secret: Secret::random()?,
        })
    }

    /// A key from its parts.
    #[must_use]
    pub fn from_parts(id: u8, secret: Secret) -> Self {
        Self { id, secret }
    }

    /// Which of the cluster's keys this is.
    #[must_use]
    pub fn id(&self) -> u8 {
        self.id
    }

    /// Seals `plain` for this place. The result is [`crate::limits::SEAL_OVERHEAD_BYTES`] longer.
    ///
    /// # Errors
    /// [`SealError::CannotSeal`].
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_LEN] = random_bytes().map_err(|_| SealError::CannotSeal)?;
        let head = [FORMAT, self.id];
        let mut content = plain.to_vec();
        self.cipher()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound(head, context)),
                &mut content,
            )
            .map_err(|_| SealError::CannotSeal)?;
        Ok([&head[..], &nonce[..], &content[..]].concat())
    }

    /// Opens what [`Self::seal`] made for the same context.
    ///
    /// # Errors
    /// Says which of the [`SealError`]s it is; nothing of the content is given then.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (head, rest) = sealed
            .split_first_chunk::<2>()
            .ok_or(SealError::NotSealed)?;
        let (nonce, content) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealError::NotSealed)?;
        let [format, key] = *head;
        if format != FORMAT {
            return Err(SealError::NotSealed);
        }
        if key != self.id {
            return Err(SealError::OtherKey {
                found: key,
                held: self.id,
            });
        }
        let mut content = content.to_vec();
        let plain = self
            .cipher()?
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(bound(*head, context)),
                &mut content,
            )
            .map_err(|_| SealError::Changed)?
            .len();
        content.truncate(plain);
        Ok(content)
    }

    /// The key for sealing, derived: the cluster's key may get other uses.
    fn cipher(&self) -> Result<LessSafeKey, SealError> {
        let salt = Salt::new(HKDF_SHA256, b"cairn seal 1");
        let root = salt.extract(self.secret.expose());
        let derived = root
            .expand(&[b"entries"], &AES_256_GCM_SIV)
            .map_err(|_| SealError::CannotSeal)?;
        Ok(LessSafeKey::new(UnboundKey::from(derived)))
    }
}

/// The head counts as context, so that neither format nor key id can be changed.
fn bound(head: [u8; 2], context: &[u8]) -> Vec<u8> {
    [&head[..], context].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SEAL_OVERHEAD_BYTES;

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let key = ClusterKey::generate(1).unwrap();
        let sealed = key.seal(b"log/7", b"the root password").unwrap();
        assert_eq!(sealed.len(), 17 + SEAL_OVERHEAD_BYTES);
        assert_eq!(key.open(b"log/7", &sealed).unwrap(), b"the root password");
        assert_eq!(key.open(b"log/8", &sealed), Err(SealError::Changed));
        assert!(!sealed.windows(8).any(|part| part == b"password"));
        let other = ClusterKey::generate(1).unwrap();
        assert_eq!(other.open(b"log/7", &sealed), Err(SealError::Changed));
        let later = ClusterKey::generate(2).unwrap();
        let wrong = SealError::OtherKey { found: 1, held: 2 };
        assert_eq!(later.open(b"log/7", &sealed), Err(wrong));
        assert_ne!(key.seal(b"log/7", b"the root password").unwrap(), sealed);
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let key = ClusterKey::generate(1).unwrap();
        let sealed = key.seal(b"c", b"plain").unwrap();
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(key.open(b"c", &changed).is_err(), "byte {place}");
            assert!(key.open(b"c", &sealed[..place]).is_err(), "cut at {place}");
        }
        assert_eq!(key.open(b"", &key.seal(b"", b"").unwrap()).unwrap(), b"");
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = ClusterKey::from_parts(1, Secret::from_bytes([0xab; 32]));
        let shown = format!("{key:?}").to_lowercase();
        assert!(!shown.contains("abab") && !shown.contains("171"), "{shown}");
    }
}
