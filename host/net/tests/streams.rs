//! Byte streams between nodes: both ways, at the reader's pace, and what ends them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "that is how a test fails"
)]

mod loopback;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cairn_net::{ByteStream, CallError, NodeId, Revoked};
use futures::{StreamExt, stream};
use loopback::proxy::{Proxy, Way};
use loopback::{Cluster, once, peers, until, until_up, who};

const TWO: NodeId = NodeId(2);
const LIMIT: Duration = Duration::from_secs(10);
const PIECE: usize = 64 * 1024;

/// So many pieces; counts what was asked for.
fn pieces(count: usize, given: &Arc<AtomicUsize>) -> ByteStream {
    let given = given.clone();
    Box::pin(stream::iter(0..count).map(move |n| {
        given.fetch_add(1, Ordering::Relaxed);
        Ok(Bytes::from(vec![u8::try_from(n % 251).unwrap(); PIECE]))
    }))
}

/// Goes on until it is dropped.
fn endless() -> ByteStream {
    Box::pin(stream::once(async { Ok(Bytes::from("x")) }).chain(stream::pending()))
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_mebibytes_go_there_and_back() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[node.address])]));
    let sent = Arc::default();
    let answer = links
        .open_stream(TWO, "/stream", pieces(1024, &sent), LIMIT)
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    let mut body = answer.body;
    let mut at = 0;
    while let Some(piece) = body.next().await {
        for byte in piece.unwrap() {
            assert_eq!(usize::from(byte), at / PIECE % 251, "byte {at}");
            at += 1;
        }
    }
    assert_eq!(at, 1024 * PIECE);
    drop(body);
    until("its connection is closed", || {
        node.server.peer_connections() <= 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_reads_slowly_holds_up_its_own_stream_alone() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[node.address])]));
    until_up(&links).await;
    let given: Arc<AtomicUsize> = Arc::default();
    let drained = tokio::spawn({
        let (links, given) = (links.clone(), given.clone());
        async move {
            links
                .open_stream(TWO, "/drain", pieces(1024, &given), LIMIT)
                .await
        }
    });
    until("it has begun", || {
        node.answers.count.load(Ordering::Relaxed) == 1
    })
    .await;
    for _ in 0..20 {
        who(&links, 2).await.unwrap();
    }
    let held = given.load(Ordering::Relaxed) * PIECE;
    assert!(
        held < 12 * 1024 * 1024,
        "{held} bytes were taken off the sender's hands"
    );
    assert!(!drained.is_finished());
    node.answers.go.send_replace(true);
    let mut answer = drained.await.unwrap().unwrap();
    let read = answer.body.next().await.unwrap().unwrap();
    assert_eq!(read, (1024 * PIECE).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_body_is_read_slowly_holds_up_no_other_on_its_link() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[node.address])]));
    until_up(&links).await;
    let slow: Vec<_> = (0..4)
        .map(|_| {
            let links = links.clone();
            let body = Bytes::from(vec![0; 8 * 1024 * 1024]);
            tokio::spawn(async move { links.call(TWO, "/drain", body, once(20_000)).await })
        })
        .collect();
    until("they have begun", || {
        node.answers.count.load(Ordering::Relaxed) == 4
    })
    .await;
    for _ in 0..20 {
        let body = Bytes::from(vec![1; 100_000]);
        links.call(TWO, "/echo", body, once(1000)).await.unwrap();
    }
    node.answers.go.send_replace(true);
    for call in slow {
        assert_eq!(call.await.unwrap().unwrap(), (8 * 1024 * 1024).to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_answer_ends_the_stream() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[node.address])]));
    until_up(&links).await;
    let mut answer = links
        .open_stream(TWO, "/stream", endless(), LIMIT)
        .await
        .unwrap();
    assert_eq!(answer.body.next().await.unwrap().unwrap(), "x");
    assert_eq!(node.server.peer_connections(), 2);
    drop(answer);
    until("its connection is closed", || {
        node.server.peer_connections() == 1
    })
    .await;
    who(&links, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_link_hangs_or_whose_peer_is_revoked_breaks_off() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let proxy = Proxy::to(node.address).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[proxy.address])]));
    until_up(&links).await;
    let mut answer = links
        .open_stream(TWO, "/stream", endless(), LIMIT)
        .await
        .unwrap();
    answer.body.next().await.unwrap().unwrap();
    proxy.set(Way::Hangs);
    assert!(answer.body.next().await.unwrap().is_err());
    proxy.set(Way::Open);
    until_up(&links).await;
    let mut answer = links
        .open_stream(TWO, "/stream", endless(), LIMIT)
        .await
        .unwrap();
    answer.body.next().await.unwrap().unwrap();
    let id = cluster.secrets.authority().unwrap().cluster();
    node.trust.set_revoked(
        id,
        Revoked {
            nodes: [NodeId(1)].into(),
            ..Revoked::default()
        },
    );
    assert!(answer.body.next().await.unwrap().is_err());
    let error = links
        .open_stream(TWO, "/stream", endless(), LIMIT)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            CallError::Refused { .. } | CallError::Unreachable { .. }
        ),
        "{error}"
    );
}
