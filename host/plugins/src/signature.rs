//! Detached signatures: ed25519 in minisign's format, checked against a trust list.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use cairn_core::plugin::Signature;
use cairn_core::{Code, Error};
use minisign_verify::{PublicKey, Signature as Minisign};

/// A key whose signatures are taken.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    /// Whose it is, for people.
    pub name: String,
    /// The base64 line of a minisign public key file, or the whole file.
    pub public_key: String,
}

impl TrustedKey {
    /// The key's id as minisign prints it.
    ///
    /// # Errors
    /// `invalid` where the text is no minisign public key.
    pub fn id(&self) -> Result<String, Error> {
        self.key()?;
        // A key is 2 bytes of algorithm, 8 of id (lowest first), 32 of the key itself.
        let bytes = BASE64.decode(self.line()).unwrap_or_default();
        Ok(hex::encode_upper(
            bytes
                .iter()
                .skip(2)
                .take(8)
                .rev()
                .copied()
                .collect::<Vec<u8>>(),
        ))
    }

    fn line(&self) -> &str {
        self.public_key
            .trim()
            .lines()
            .last()
            .unwrap_or_default()
            .trim()
    }

    fn key(&self) -> Result<PublicKey, Error> {
        let key = PublicKey::from_base64(self.line());
        key.map_err(|e| {
            Error::invalid(
                "public_key",
                format!("this is no minisign public key ({e}); it begins with `RW`"),
            )
        })
    }
}

/// Checks a component's signature (the text of a `.minisig` file).
///
/// # Errors
/// `invalid` where the text is no signature, `denied` where no trusted key made it for these bytes.
pub fn verify(component: &[u8], minisig: &str, trusted: &[TrustedKey]) -> Result<Signature, Error> {
    let signature = Minisign::decode(minisig).map_err(|e| {
        Error::invalid(
            "signature",
            format!("this is no minisign signature ({e}); give the .minisig file"),
        )
    })?;
    for trusted in trusted {
        let Ok(key) = trusted.key() else { continue };
        if key.verify(component, &signature, false).is_ok() {
            return Ok(Signature::Trusted {
                key: trusted.id()?,
                signer: trusted.name.clone(),
            });
        }
    }
    let known = match trusted {
        [] => "the trust list is empty".to_owned(),
        some => format!(
            "the trust list has {}",
            some.iter()
                .map(|t| t.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    Err(Error::new(
        Code::Denied,
        format!(
            "the signature was not made by a trusted key for exactly this file ({known}): the file or \
             the signature was changed, or the signer must be added with `cairn plugin trust add`"
        ),
    ))
}
