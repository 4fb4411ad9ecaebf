//! The side that wants in.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::time::timeout;

use super::frame::{Answer, Request};
use super::{EXPORTER_LABEL, JoinError};
use crate::clock::Clock;
use crate::dial::{DialError, TlsClient, dial};
use crate::error::IdentityError;
use crate::limits::{HANDSHAKE_MS, JOIN_ANSWER_MS, JOIN_REQUEST_MS, MAX_JOIN_BYTES, ms};
use crate::names::Role;
use crate::tls::{self, JOIN_PROTOCOL};
use crate::token::JoinToken;
use crate::trust::Trust;
use crate::verify::{Expected, Judge};

/// Asks to be let in with this token: tries its addresses in order, and gives the answer of the
/// first that answers. `wanted` is what the caller needs a token for.
///
/// # Errors
/// Says which of the [`JoinError`]s it is. After [`JoinError::Unanswered`] the token may be used up.
pub async fn join(
    token: &JoinToken,
    wanted: Role,
    request: Bytes,
    clock: &Clock,
) -> Result<Bytes, JoinError> {
    token.check(wanted, clock.now_s())?;
    if request.len() > MAX_JOIN_BYTES {
        let sentence = format!("a join's request may have {MAX_JOIN_BYTES} bytes");
        return Err(IdentityError::Unfit(sentence).into());
    }
    let mut failures = Vec::new();
    let mut impostor = None;
    for &address in &token.addresses {
        match knock(token, address, clock).await {
            Ok(stream) => return ask(token, address, stream, request).await,
            Err(DialError::Refused(refusal)) => {
                impostor = Some(JoinError::NotTheCluster { address, refusal });
            }
            Err(other) => failures.push(format!("{address}: {other}")),
        }
    }
    Err(impostor.unwrap_or_else(|| JoinError::Unreachable(failures.join("; "))))
}

async fn knock(
    token: &JoinToken,
    address: SocketAddr,
    clock: &Clock,
) -> Result<TlsClient, DialError> {
    let JoinToken {
        cluster,
        fingerprint,
        ..
    } = *token;
    // Nobody is trusted yet but whom the token pins.
    let judge = Judge::new(
        &Trust::new(clock.clone()),
        Expected::Token {
            cluster,
            fingerprint,
        },
    );
    let config = tls::client(None, judge.clone(), JOIN_PROTOCOL, clock)
        .map_err(|e| DialError::Broken(e.to_string()))?;
    dial(address, config, &judge, ms(HANDSHAKE_MS)).await
}

async fn ask(
    token: &JoinToken,
    address: SocketAddr,
    mut stream: TlsClient,
    request: Bytes,
) -> Result<Bytes, JoinError> {
    let channel = stream
        .get_ref()
        .1
        .export_keying_material([0; 32], EXPORTER_LABEL, None)
        .map_err(|e| IdentityError::unfit("the connection can't be bound to the proof", e))?;
    let verifier = token.verifier()?;
    let proof = token.prove(&channel, &request)?;
    let request = Request {
        role: token.role,
        verifier,
        proof,
        request,
    };
    let unanswered = |why: String| JoinError::Unanswered { address, why };
    let exchange = async {
        // A server that refuses early answers before all is written: its answer counts.
        let sent = request.write(&mut stream).await;
        match Answer::read(&mut stream).await {
            Ok(answer) => Ok(answer),
            Err(e) => Err(sent.err().unwrap_or(e)),
        }
    };
    let limit = ms(JOIN_REQUEST_MS) + ms(JOIN_ANSWER_MS);
    match timeout(limit, exchange).await {
        Ok(Ok(Answer::Taken(answer))) => Ok(answer),
        Ok(Ok(Answer::Refused(sentence))) => Err(JoinError::Refused { address, sentence }),
        Ok(Err(e)) => Err(unanswered(e.to_string())),
        Err(_) => Err(unanswered(format!(
            "no answer within {} s",
            limit.as_secs()
        ))),
    }
}
