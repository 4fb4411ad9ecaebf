//! One port for all: the API beside peers, rotation under traffic, bounds, many connections.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "that is how a test fails"
)]

mod loopback;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_net::certificate::CertificateFacts;
use cairn_net::limits::{MAX_BODY_BYTES, MAX_HANDSHAKES_PER_ADDRESS};
use cairn_net::links::Health;
use cairn_net::{
    ApiConnection, ApiOptions, CallError, NodeId, Presented, Serial, Server, ServerOptions,
};
use loopback::{Answers, Cluster, listen, once, peers, until, until_up, who};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream;

const TWO: NodeId = NodeId(2);

/// A node with an API that answers each connection with what it chose.
async fn node_with_api(cluster: &Cluster) -> (Presented, Server, SocketAddr) {
    let (connections, mut taken) = mpsc::channel::<ApiConnection>(4);
    tokio::spawn(async move {
        while let Some(mut connection) = taken.recv().await {
            let version = if connection.is_http2 { "2" } else { "1.1" };
            // A browser that only looks at the certificate is gone by now.
            let _ = connection.stream.write_all(version.as_bytes()).await;
            let _ = connection.stream.shutdown().await;
        }
    });
    let presented = Presented::new(cluster.identity(2).certified_key().unwrap());
    let server = Server::new(ServerOptions {
        presented: presented.clone(),
        trust: cluster.trust(),
        peers: Arc::new(Answers::default()),
        joins: None,
        api: Some(ApiOptions {
            connections,
            presented: None,
        }),
    });
    let address = listen(&server).await;
    (presented, server, address)
}

/// Connects as a browser does that was given the cluster's authority: checks the address too.
async fn browse(address: SocketAddr, cluster: &Cluster, alpn: &[&str]) -> TlsStream<TcpStream> {
    let authority = cluster.secrets.authority_certificate.as_bytes();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::IpAddress(address.ip().into());
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .unwrap()
}

fn shown(stream: &TlsStream<TcpStream>) -> Serial {
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    CertificateFacts::read(&chain[0]).unwrap().serial
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_served_beside_peers() {
    let cluster = Cluster::new("prod");
    let (_, _server, address) = node_with_api(&cluster).await;
    for (alpn, wanted) in [
        (&["h2", "http/1.1"][..], "2"),
        (&["http/1.1"], "1.1"),
        (&[], "1.1"),
    ] {
        let mut stream = browse(address, &cluster, alpn).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, wanted);
    }
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[address])]));
    who(&links, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_without_losing_a_call() {
    let cluster = Cluster::new("prod");
    let (presented, server, address) = node_with_api(&cluster).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[address])]));
    until_up(&links).await;
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = tokio::spawn({
        let (links, stop) = (links.clone(), stop.clone());
        async move {
            let mut calls = 0;
            while !stop.load(Ordering::Relaxed) {
                who(&links, 2).await.unwrap();
                calls += 1;
            }
            calls
        }
    });
    for _ in 0..5 {
        let old = shown(&browse(address, &cluster, &[]).await);
        let new = cluster.identity(2);
        assert_ne!(old, new.facts().serial);
        presented.replace(new.certified_key().unwrap());
        assert_eq!(
            shown(&browse(address, &cluster, &[]).await),
            new.facts().serial
        );
        let fresh = cluster.links(3);
        fresh.set_peers(&peers(&[(2, &[address])]));
        who(&fresh, 2).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(traffic.await.unwrap() > 0);
    until("the first connection is the only one left", || {
        server.peer_connections() == 1
    })
    .await;
    assert_eq!(links.states()[0].health, Health::Up);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_on_either_side() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[node.address])]));
    let one_more = Bytes::from(vec![0; MAX_BODY_BYTES + 1]);
    let error = links
        .call(TWO, "/echo", one_more.clone(), once(5000))
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Unfit(_)), "{error}");
    let piece = Box::pin(futures::stream::once(async { Ok(one_more) }));
    let limit = Duration::from_secs(10);
    let answer = links.open_stream(TWO, "/echo", piece, limit).await.unwrap();
    assert_eq!(
        answer.status, 413,
        "a body that wasn't announced is counted as it comes"
    );
    let error = links
        .call(TWO, "/huge", Bytes::new(), once(10_000))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, CallError::Unfit(why) if why.contains("its answer")),
        "{error}"
    );
    let long = format!("/{}", "x".repeat(2000));
    let error = links
        .call(TWO, &long, Bytes::new(), once(5000))
        .await
        .unwrap_err();
    assert!(
        matches!(error, CallError::Remote { status: 414, .. }),
        "{error}"
    );
    let error = links
        .call(TWO, "no slash", Bytes::new(), once(5000))
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Unfit(_)), "{error}");
    who(&links, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_held_for_one_connection_are_bounded_together() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[node.address])]));
    until_up(&links).await;
    let body = Bytes::from(vec![0; MAX_BODY_BYTES]);
    let calls = (0..6).map(|_| links.call(TWO, "/keep", body.clone(), once(20_000)));
    let all = futures::future::join_all(calls);
    let release = async {
        until("four are held and two refused", || {
            node.answers.count.load(Ordering::Relaxed) == 6
        })
        .await;
        until("two were refused", || {
            node.answers.refused.load(Ordering::Relaxed) == 2
        })
        .await;
        node.answers.go.send_replace(true);
    };
    let (results, ()) = tokio::join!(all, release);
    let refused = results
        .iter()
        .filter(|result| matches!(result, Err(CallError::Remote { status: 429, .. })));
    assert_eq!(refused.count(), 2);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 4);
    links.call(TWO, "/echo", body, once(20_000)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_nodes_call_at_once() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let identity = cluster.identity(1);
    let begun = Instant::now();
    let all: Vec<_> = (0..200).map(|_| cluster.links_of(&identity)).collect();
    // As many at once as one address has handshakes: who comes too many dials again.
    let calls = all.iter().map(|links| async {
        links.set_peers(&peers(&[(2, &[node.address])]));
        while who(links, 2).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let all_through = futures::future::join_all(calls);
    tokio::time::timeout(Duration::from_secs(60), all_through)
        .await
        .unwrap();
    until("each has one connection", || {
        node.server.peer_connections() == 200
    })
    .await;
    println!(
        "200 connections stand after {} ms",
        begun.elapsed().as_millis()
    );
    drop(all);
    until("all are gone", || node.server.peer_connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_do_not_go_on_leave_room_for_others() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let mut silent = Vec::new();
    for _ in 0..MAX_HANDSHAKES_PER_ADDRESS + 20 {
        silent.push(TcpStream::connect(node.address).await.unwrap());
    }
    // Beyond the bound they are closed at once; the others when their time is over.
    let last = silent.last_mut().unwrap();
    let begun = Instant::now();
    assert!(matches!(last.read(&mut [0]).await, Ok(0) | Err(_)));
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[node.address])]));
    until("there is room again", || {
        links.states()[0].health == Health::Up
    })
    .await;
    who(&links, 2).await.unwrap();
}
