//! The side that lets in, on a connection that has passed TLS.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::frame::{Answer, Request};
use super::{EXPORTER_LABEL, JoinAttempt, JoinHandler, JoinRefusal};
use crate::limits::{JOIN_ANSWER_MS, JOIN_REQUEST_MS, ms};

/// Serves one join; gives the handler's refusal, which the other side was told.
pub(crate) async fn serve(
    mut stream: TlsStream<TcpStream>,
    remote: SocketAddr,
    handler: &dyn JoinHandler,
) -> io::Result<Option<JoinRefusal>> {
    let channel = stream
        .get_ref()
        .1
        .export_keying_material([0; 32], EXPORTER_LABEL, None)
        .map_err(io::Error::other)?;
    let Request {
        role,
        verifier,
        proof,
        request,
    } = timeout(ms(JOIN_REQUEST_MS), Request::read(&mut stream)).await??;
    let attempt = JoinAttempt {
        remote,
        role,
        verifier,
        request,
        channel,
        proof,
    };
    let decided = timeout(ms(JOIN_ANSWER_MS), handler.join(attempt)).await;
    let decided = decided.unwrap_or_else(|_| {
        let sentence = "the cluster didn't decide in time: is it quorate? Look there whether the join went through";
        Err(JoinRefusal::Other(sentence.into()))
    });
    let (answer, refusal) = match decided {
        Ok(answer) => (Answer::Taken(answer), None),
        Err(refusal) => (Answer::Refused(refusal.to_string()), Some(refusal)),
    };
    timeout(ms(JOIN_REQUEST_MS), async {
        answer.write(&mut stream).await?;
        stream.shutdown().await
    })
    .await??;
    Ok(refusal)
}
