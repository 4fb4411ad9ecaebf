//! What goes over the wire in a join.
//!
//! request: format (1 byte), role (1), verifier (32), proof (64), length (4), request;
//! answer: 0 taken or 1 refused (1 byte), length (4), answer or sentence.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::limits::MAX_JOIN_BYTES;
use crate::names::Role;
use crate::token::{Proof, TokenVerifier, role_byte, role_of};

const FORMAT: u8 = 1;

pub(super) struct Request {
    pub(super) role: Role,
    pub(super) verifier: TokenVerifier,
    pub(super) proof: Proof,
    pub(super) request: Bytes,
}

/// The far side's decision.
pub(super) enum Answer {
    Taken(Bytes),
    Refused(String),
}

impl Request {
    pub(super) async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut head = vec![FORMAT, role_byte(self.role)];
        head.extend_from_slice(&self.verifier.bytes());
        head.extend_from_slice(&self.proof.0);
        to.write_all(&head).await?;
        write_part(to, &self.request).await
    }

    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let format = from.read_u8().await?;
        if format != FORMAT {
            return Err(wrong("the join is of another version"));
        }
        let role = role_of(from.read_u8().await?).ok_or_else(|| wrong("the role is unknown"))?;
        let mut verifier = [0; 32];
        from.read_exact(&mut verifier).await?;
        let mut proof = [0; 64];
        from.read_exact(&mut proof).await?;
        let request = read_part(from).await?;
        let verifier = TokenVerifier::from_bytes(verifier);
        Ok(Self {
            role,
            verifier,
            proof: Proof(proof),
            request,
        })
    }
}

impl Answer {
    pub(super) async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        match self {
            Self::Taken(answer) => {
                to.write_u8(0).await?;
                write_part(to, answer).await
            }
            Self::Refused(sentence) => {
                to.write_u8(1).await?;
                write_part(to, sentence.as_bytes()).await
            }
        }
    }

    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let taken = from.read_u8().await? == 0;
        let part = read_part(from).await?;
        Ok(if taken {
            Self::Taken(part)
        } else {
            Self::Refused(crate::text::sentence(&part))
        })
    }
}

async fn write_part(to: &mut (impl AsyncWrite + Unpin), part: &[u8]) -> io::Result<()> {
    let length = u32::try_from(part.len()).map_err(|_| wrong("it is too large"))?;
    to.write_u32(length).await?;
    to.write_all(part).await?;
    to.flush().await
}

/// Reads what is announced, growing with what arrives: an announcement alone takes no memory.
async fn read_part(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let length = from.read_u32().await?;
    if usize::try_from(length).map_or(true, |length| length > MAX_JOIN_BYTES) {
        return Err(wrong("it is larger than a join may be"));
    }
    let mut part = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut part).await?;
    if u32::try_from(part.len()).ok() != Some(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(part.into())
}

fn wrong(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
