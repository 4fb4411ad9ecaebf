//! Between the store and the links: what is asked of members, and how this node answers them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use cairn_core::Error;
use cairn_net::rpc::PeerHandler;
use cairn_net::{
    CallOptions, JoinAttempt, JoinHandler, JoinRefusal, Links, NodeId, Peer, PeerRequest,
    PeerResponse, Retry,
};
use cairn_store::{CallError, Rpc, Transport};
use futures::future::BoxFuture;

use crate::Node;

/// Paths of consensus: `/store/append`.
pub(crate) const STORE: &str = "/store/";
/// Paths of components: `/component/sha256:…`.
pub(crate) const COMPONENT: &str = "/component/";
/// What a witness may ask of a node.
const WITNESS_PATHS: [&str; 4] = [
    "/store/append",
    "/store/vote",
    "/store/snapshot",
    "/store/ping",
];
/// What the leader is asked to do.
pub(crate) const LEAD: &str = "/lead";

/// The store's messages over the links.
pub(crate) struct LinksTransport(pub(crate) Links);

impl Transport for LinksTransport {
    fn call(
        &self,
        to: u64,
        rpc: Rpc,
        body: Bytes,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let links = self.0.clone();
        // Each message may arrive twice: consensus expects it, and changes carry their number.
        let options = CallOptions {
            limit,
            retry: Retry::OnOtherLink,
        };
        Box::pin(async move {
            let answer = links
                .call(NodeId(to), &format!("{STORE}{}", rpc.name()), body, options)
                .await;
            answer.map_err(store_error)
        })
    }
}

pub(crate) fn store_error(error: cairn_net::CallError) -> CallError {
    use cairn_net::CallError as Net;
    let text = error.to_string();
    match error {
        Net::Unreachable { .. } => CallError::Unreachable(text),
        Net::Unfit(_) | Net::Remote { .. } | Net::Refused { .. } => CallError::Refused(text),
        Net::TimedOut { .. } | Net::Lost { .. } => CallError::NoAnswer(text),
    }
}

/// Answers peers.
pub(crate) struct Peers(pub(crate) Weak<Node>);

impl PeerHandler for Peers {
    fn handle(&self, request: PeerRequest) -> BoxFuture<'static, PeerResponse> {
        let node = self.0.upgrade();
        Box::pin(async move {
            match node {
                Some(node) => answer(&node, request).await,
                None => PeerResponse::error(503, "this node stops"),
            }
        })
    }

    fn connected(&self, peer: &Peer) {
        if let Some(node) = self.0.upgrade() {
            node.cluster.part().links.nudge(peer.name.node);
        }
    }
}

async fn answer(node: &Arc<Node>, request: PeerRequest) -> PeerResponse {
    let part = node.cluster.part();
    if request.peer.name.cluster != part.identity().cluster() {
        return PeerResponse::error(403, "this node is in another cluster now");
    }
    let from = request.peer.name.node;
    // A witness has a certificate of the cluster, too, for consensus and nothing else.
    let witness = part
        .store
        .membership()
        .members
        .get(&from.0)
        .is_some_and(|m| m.witness);
    if witness && !WITNESS_PATHS.contains(&request.path.as_str()) {
        return PeerResponse::error(403, "a witness only takes part in consensus");
    }
    if let Some(name) = request.path.strip_prefix(STORE) {
        let Some(rpc) = Rpc::of_name(name) else {
            return PeerResponse::error(404, "this version of Cairn doesn't know that message");
        };
        let body = match request.body.bytes().await {
            Ok(body) => body,
            Err(e) => return e.into(),
        };
        return match part.store.handle(from.0, rpc, body).await {
            Ok(answer) => PeerResponse::ok(answer),
            Err(e) => PeerResponse::error(500, e.to_string()),
        };
    }
    if let Some(digest) = request.path.strip_prefix(COMPONENT) {
        return node.component_stream(digest);
    }
    if request.path == LEAD {
        return match request.body.bytes().await {
            Ok(body) => lead(node, &body).await,
            Err(e) => e.into(),
        };
    }
    PeerResponse::error(404, "this version of Cairn doesn't know that path")
}

async fn lead(node: &Arc<Node>, body: &[u8]) -> PeerResponse {
    let done: Result<serde_json::Value, Error> = match serde_json::from_slice(body) {
        Ok(request) => node.cluster.lead_here(request).await,
        Err(e) => Err(Error::invalid(
            "request",
            format!("it isn't understood here: {e}"),
        )),
    };
    match serde_json::to_vec(&done) {
        Ok(answer) => PeerResponse::ok(answer),
        Err(e) => PeerResponse::error(500, e.to_string()),
    }
}

/// Lets machines in that hold a token.
pub(crate) struct Joins(pub(crate) Weak<Node>);

impl JoinHandler for Joins {
    fn join(&self, attempt: JoinAttempt) -> BoxFuture<'_, Result<Bytes, JoinRefusal>> {
        let node = self.0.upgrade();
        Box::pin(async move {
            let node = node.ok_or_else(|| JoinRefusal::Other("this node stops".to_owned()))?;
            node.cluster.let_in(attempt).await
        })
    }
}
