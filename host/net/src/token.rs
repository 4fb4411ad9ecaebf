//! Join tokens: one printed string that lets one machine in, once.
//!
//! The cluster stores no secret but a [`TokenVerifier`], an Ed25519 public key derived from it: who
//! reads the store or an export of it can't join with what stands there.
//!
//! `cairn1-` and base32 of: role, cluster id, fingerprint, secret, expiry, addresses, CRC-32. The
//! checksum is for people who copy by hand: it notices every single wrong character.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::IdentityError;
use crate::limits::MAX_TOKEN_ADDRESSES;
use crate::names::{ClusterId, Fingerprint, Role};
use crate::secret::Secret;

const PREFIX: &str = "cairn";
const VERSION: u32 = 1;

/// What a joining machine is given. Printed by [`Self::print`] alone; debug output hides the secret.
#[derive(Debug, Clone)]
pub struct JoinToken {
    /// Which cluster, or which witness.
    pub cluster: ClusterId,
    /// Of the authority's certificate, or the witness's.
    pub fingerprint: Fingerprint,
    /// Where to knock, in this order.
    pub addresses: Vec<SocketAddr>,
    /// What is proved.
    pub secret: Secret,
    /// What the holder becomes, or for [`Role::Witness`]: what it gets.
    pub role: Role,
    /// Good until, in seconds since 1970.
    pub expires_s: u64,
}

/// Why a token is of no use. Each is a sentence of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Another text altogether.
    #[error(
        "this is not a join token: one begins with 'cairn1-' and is printed by 'cairn cluster token' or 'cairn witness token'"
    )]
    NotAToken,
    /// The checksum doesn't fit.
    #[error("the token was cut or mistyped: copy it whole, from 'cairn1-' to its last letter")]
    Mistyped,
    /// A later form.
    #[error(
        "the token is of version {found} and this cairn knows {VERSION}: install the cluster's version here"
    )]
    NewerVersion {
        /// Its version.
        found: u32,
    },
    /// Its time is over.
    #[error("the token expired {since_s} s ago: have a new one printed")]
    Expired {
        /// How long ago.
        since_s: u64,
    },
    /// It is meant for something else.
    #[error("the token is for a {found} and a {wanted}'s is needed here")]
    OtherRole {
        /// What it is for.
        found: Role,
        /// What is needed.
        wanted: Role,
    },
    /// It can't be made.
    #[error("a token has 1 to {MAX_TOKEN_ADDRESSES} addresses, and {0} were given")]
    Addresses(usize),
}

impl JoinToken {
    /// The one string. Keep it from logs.
    ///
    /// # Errors
    /// With no address or too many.
    pub fn print(&self) -> Result<Zeroizing<String>, TokenError> {
        let count = self.addresses.len();
        let short = u8::try_from(count)
            .ok()
            .filter(|_| (1..=MAX_TOKEN_ADDRESSES).contains(&count));
        let short = short.ok_or(TokenError::Addresses(count))?;
        let mut bytes = Zeroizing::new(vec![role_byte(self.role)]);
        bytes.extend_from_slice(&self.cluster.0);
        bytes.extend_from_slice(&self.fingerprint.0);
        bytes.extend_from_slice(self.secret.expose());
        bytes.extend_from_slice(&self.expires_s.to_be_bytes());
        bytes.push(short);
        for address in &self.addresses {
            write_address(&mut bytes, *address);
        }
        let sum = checksum(VERSION, &bytes);
        bytes.extend_from_slice(&sum);
        let text = Zeroizing::new(BASE32_NOPAD.encode(&bytes));
        Ok(Zeroizing::new(format!(
            "{PREFIX}{VERSION}-{}",
            text.to_lowercase()
        )))
    }

    /// Reads a printed token. White space in it, as terminals add, doesn't count.
    ///
    /// # Errors
    /// Says what is wrong with it. Whether it is expired or of another role, [`Self::check`] says.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text: Zeroizing<String> =
            Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect());
        let (version, body) = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('-'))
            .ok_or(TokenError::NotAToken)?;
        match version.parse() {
            Ok(VERSION) if version.len() == 1 => {}
            Ok(found) if found > VERSION => return Err(TokenError::NewerVersion { found }),
            _ => return Err(TokenError::NotAToken),
        }
        if body.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(TokenError::Mistyped);
        }
        let upper = Zeroizing::new(body.to_ascii_uppercase());
        let bytes = BASE32_NOPAD
            .decode(upper.as_bytes())
            .map_err(|_| TokenError::Mistyped)?;
        let bytes = Zeroizing::new(bytes);
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or(TokenError::Mistyped)?;
        if *sum != checksum(VERSION, body) {
            return Err(TokenError::Mistyped);
        }
        read(body).ok_or(TokenError::Mistyped)
    }

    /// Whether it is of use now and here.
    ///
    /// # Errors
    /// [`TokenError::OtherRole`] or [`TokenError::Expired`].
    pub fn check(&self, wanted: Role, now_s: u64) -> Result<(), TokenError> {
        if self.role != wanted {
            return Err(TokenError::OtherRole {
                found: self.role,
                wanted,
            });
        }
        match now_s.checked_sub(self.expires_s) {
            Some(since_s) if since_s > 0 => Err(TokenError::Expired { since_s }),
            _ => Ok(()),
        }
    }

    /// What the cluster stores to know this token by.
    ///
    /// # Errors
    /// When the cryptography fails.
    pub fn verifier(&self) -> Result<TokenVerifier, IdentityError> {
        let key = signing_key(&self.secret)?;
        let public = key.public_key().as_ref().try_into();
        public
            .map(TokenVerifier)
            .map_err(|_| IdentityError::NoRandom)
    }

    /// Proof of the secret for one connection and one request.
    pub(crate) fn prove(&self, channel: &[u8; 32], request: &[u8]) -> Result<Proof, IdentityError> {
        let signature = signing_key(&self.secret)?.sign(&statement(self.role, channel, request));
        signature
            .as_ref()
            .try_into()
            .map(Proof)
            .map_err(|_| IdentityError::NoRandom)
    }
}

/// The stored side of a token: knows its secret when it is proved, and tells nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenVerifier(#[serde(with = "hex::serde")] [u8; 32]);

impl TokenVerifier {
    /// Whether this token's secret made that proof, for this role, connection and request.
    pub(crate) fn accepts(
        &self,
        role: Role,
        channel: &[u8; 32],
        request: &[u8],
        proof: &Proof,
    ) -> bool {
        let public = UnparsedPublicKey::new(&ED25519, self.0);
        public
            .verify(&statement(role, channel, request), &proof.0)
            .is_ok()
    }

    /// Its bytes, as they go through a join.
    pub(crate) fn bytes(&self) -> [u8; 32] {
        self.0
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenVerifier({self})")
    }
}

/// An Ed25519 signature over role, channel and request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proof(pub(crate) [u8; 64]);

fn signing_key(secret: &Secret) -> Result<Ed25519KeyPair, IdentityError> {
    let failed = |_| IdentityError::NoRandom;
    let root = Salt::new(HKDF_SHA256, b"cairn join 1").extract(secret.expose());
    let mut seed = Zeroizing::new([0; 32]);
    let derived = root.expand(&[b"ed25519"], HKDF_SHA256).map_err(failed)?;
    derived.fill(seed.as_mut_slice()).map_err(failed)?;
    Ed25519KeyPair::from_seed_unchecked(seed.as_slice())
        .map_err(|_| IdentityError::Unfit("a token's secret can't be used".into()))
}

fn statement(role: Role, channel: &[u8; 32], request: &[u8]) -> Vec<u8> {
    [
        b"cairn join 1".as_slice(),
        &[role_byte(role)],
        channel,
        request,
    ]
    .concat()
}

pub(crate) fn role_byte(role: Role) -> u8 {
    match role {
        Role::Node => 1,
        Role::Witness => 2,
    }
}

pub(crate) fn role_of(byte: u8) -> Option<Role> {
    match byte {
        1 => Some(Role::Node),
        2 => Some(Role::Witness),
        _ => None,
    }
}

fn checksum(version: u32, bytes: &[u8]) -> [u8; 4] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&version.to_be_bytes());
    sum.update(bytes);
    sum.finalize().to_be_bytes()
}

fn write_address(bytes: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes.push(4);
            bytes.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(6);
            bytes.extend_from_slice(&ip.octets());
        }
    }
    bytes.extend_from_slice(&address.port().to_be_bytes());
}

fn read(bytes: &[u8]) -> Option<JoinToken> {
    let mut rest = bytes;
    let [role] = take(&mut rest)?;
    let cluster = ClusterId(take(&mut rest)?);
    let fingerprint = Fingerprint(take(&mut rest)?);
    let secret = Secret::from_bytes(take(&mut rest)?);
    let expires_s = u64::from_be_bytes(take(&mut rest)?);
    let [count] = take(&mut rest)?;
    let addresses: Option<Vec<_>> = (0..count).map(|_| read_address(&mut rest)).collect();
    let addresses = addresses.filter(|all| (1..=MAX_TOKEN_ADDRESSES).contains(&all.len()))?;
    let role = role_of(role)?;
    let token = JoinToken {
        cluster,
        fingerprint,
        addresses,
        secret,
        role,
        expires_s,
    };
    rest.is_empty().then_some(token)
}

fn read_address(rest: &mut &[u8]) -> Option<SocketAddr> {
    let [kind] = take(rest)?;
    let ip = match kind {
        4 => IpAddr::from(take::<4>(rest)?),
        6 => IpAddr::from(take::<16>(rest)?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(take(rest)?)))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}
