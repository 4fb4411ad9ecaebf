//! Who isn't let in, on either side, and that each refusal is a sentence in the log.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "that is how a test fails"
)]

mod loopback;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cairn_net::links::Health;
use cairn_net::tls::PEER_PROTOCOL;
use cairn_net::{
    CallError, Clock, ClusterId, Identity, Links, LinksOptions, NodeId, PeerConfig, PeerTrust,
    Presented, Revoked, Serial, Trust, WitnessIdentity,
};
use loopback::{Cluster, Node, log, once, peers, until, until_up, who};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DAY_S: u64 = 86_400;

fn id(cluster: &Cluster) -> ClusterId {
    cluster.secrets.authority().unwrap().cluster()
}

/// Calls `node` as node 2 with what `links` shows, and wants it refused on this side's or that
/// side's account, and logged.
async fn refused(links: &Links, address: SocketAddr, here: &str, logged: &str) {
    links.set_peers(&peers(&[(2, &[address])]));
    let error = who(links, 2).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Refused { why } if why.contains(here)),
        "{error}"
    );
    assert!(error.is_surely_undone());
    until(logged, || log().contains(logged)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster() {
    let (ours, theirs) = (Cluster::new("prod"), Cluster::new("prod"));
    let node = ours.node(2).await;
    // Their node believes us, so that only our server refuses.
    let links = stranger(&theirs, &ours);
    let logged = format!("a connection was refused: it is of cluster {}", id(&theirs));
    refused(&links, node.address, "cluster isn't known there", &logged).await;
    let here = format!("it is of cluster {}, which isn't known here", id(&ours));
    refused(
        &theirs.links(1),
        node.address,
        &here,
        "a link is down: it is of cluster",
    )
    .await;
    assert_eq!(node.answers.count.load(Ordering::Relaxed), 0);
}

/// A node of `cluster` that believes `other`.
fn stranger(cluster: &Cluster, other: &Cluster) -> Links {
    let presented = Presented::new(cluster.identity(1).certified_key().unwrap());
    Links::new(LinksOptions {
        presented,
        trust: other.trust(),
        cluster: id(other),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_signed_by_an_authority_that_claims_our_cluster() {
    let ours = Cluster::new("prod");
    let node = ours.node(2).await;
    let forged = forged_identity(id(&ours));
    let presented = Presented::new(forged);
    let options = LinksOptions {
        presented,
        trust: ours.trust(),
        cluster: id(&ours),
    };
    let logged = "its certificate isn't signed by the cluster's authority";
    refused(
        &Links::new(options),
        node.address,
        "cluster isn't known there",
        logged,
    )
    .await;
}

/// Node 1 of this cluster, as somebody else's authority of the same name says.
fn forged_identity(cluster: ClusterId) -> Arc<rustls::sign::CertifiedKey> {
    use rcgen::{CertificateParams, KeyPair, SanType};
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name
        .push(rcgen::DnType::CommonName, "prod");
    let issuer = rcgen::Issuer::from_params(&ca, &ca_key);
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::default();
    leaf.serial_number = Some(rcgen::SerialNumber::from(7));
    let name = format!("cairn://{cluster}/node/1");
    leaf.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key).unwrap();
    Arc::new(rustls::sign::CertifiedKey::new(
        vec![leaf.der().clone()],
        key,
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_on_either_side() {
    let cluster = Cluster::new("prod");
    let old = cluster.identity(1);
    let server_is_old = Node::start(
        Presented::new(cluster.identity(2).certified_key().unwrap()),
        cluster.trust(),
    )
    .await;
    cluster.now_s.fetch_add(91 * DAY_S, Ordering::Relaxed);
    let node = cluster.node(2).await;
    let logged = "its certificate expired 86400 s ago";
    refused(
        &cluster.links_of(&old),
        node.address,
        "expired or not valid yet",
        logged,
    )
    .await;
    refused(
        &cluster.links(1),
        server_is_old.address,
        logged,
        "a link is down: its certificate",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_from_the_future_but_not_one_from_a_clock_two_hours_off() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let ahead = |by_s| {
        let now_s = cluster.clock.now_s() + by_s;
        let secrets = cluster.secrets.clone();
        Identity::issue_own(secrets, NodeId(1), "node1", &[], now_s).unwrap()
    };
    let far = cluster.links_of(&ahead(3 * DAY_S));
    refused(
        &far,
        node.address,
        "expired or not valid yet",
        "its certificate is valid only in",
    )
    .await;
    let links = cluster.links_of(&ahead(7200));
    links.set_peers(&peers(&[(2, &[node.address])]));
    who(&links, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_loses_its_connections_and_gets_no_new_ones() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let (gone, stays) = (cluster.identity(11), cluster.identity(12));
    let (links, others) = (cluster.links_of(&gone), cluster.links_of(&stays));
    for links in [&links, &others] {
        links.set_peers(&peers(&[(2, &[node.address])]));
        until_up(links).await;
    }
    let held = tokio::spawn({
        let links = links.clone();
        async move {
            links
                .call(NodeId(2), "/hold", Bytes::new(), once(10_000))
                .await
        }
    });
    until("it has arrived", || {
        node.answers.count.load(Ordering::Relaxed) == 1
    })
    .await;
    let serials = [gone.facts().serial].into();
    node.trust.set_revoked(
        id(&cluster),
        Revoked {
            serials,
            ..Revoked::default()
        },
    );
    let error = held.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Lost { .. }), "{error}");
    until("it is refused", || {
        let why = links.states()[0].why.clone().unwrap_or_default();
        why.contains("revoked this node's certificate")
    })
    .await;
    let sentence = format!(
        "the certificate {} of node 11 was revoked",
        gone.facts().serial
    );
    let closed = format!("a connection was closed: {sentence}");
    let refused = format!("a connection was refused: {sentence}");
    until(&closed, || log().contains(&closed)).await;
    until(&refused, || log().contains(&refused)).await;
    who(&others, 2).await.unwrap();
    assert_eq!(
        node.answers.connected.load(Ordering::Relaxed),
        2,
        "others stay connected"
    );
    node.trust.set_revoked(id(&cluster), Revoked::default());
    until("it is let in again", || {
        links.states()[0].health == Health::Up
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_server_is_left_too() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let trust = cluster.trust();
    let presented = Presented::new(cluster.identity(1).certified_key().unwrap());
    let links = Links::new(LinksOptions {
        presented,
        trust: trust.clone(),
        cluster: id(&cluster),
    });
    links.set_peers(&peers(&[(2, &[node.address])]));
    until_up(&links).await;
    let revoked = Revoked {
        nodes: [NodeId(2)].into(),
        serials: [Serial(5)].into(),
    };
    trust.set_revoked(id(&cluster), revoked);
    until("the link is down", || {
        links.states()[0].health == Health::Down
    })
    .await;
    let error = who(&links, 2).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Refused { why } if why.contains("was revoked")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_at_the_address() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(7).await;
    let here = "it is node 7 and should be node 2";
    refused(&cluster.links(1), node.address, here, here).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_is_known_by_its_certificate_alone() {
    let cluster = Cluster::new("prod");
    let witness = WitnessIdentity::create("w", &[], cluster.clock.now_s()).unwrap();
    let shown = Presented::new(witness.certified_key().unwrap());
    let node = Node::start(shown, cluster.trust()).await;
    let links = cluster.links(1);
    let pinned = |fingerprint| {
        let trust = PeerTrust::Pinned(fingerprint);
        [(
            NodeId(2),
            PeerConfig {
                addresses: vec![node.address],
                trust,
            },
        )]
        .into()
    };
    links.set_peers(&pinned(witness.fingerprint()));
    assert!(who(&links, 2).await.unwrap().ends_with(b" 1 node1"));
    let other = WitnessIdentity::create("w", &[], cluster.clock.now_s()).unwrap();
    links.set_peers(&pinned(other.fingerprint()));
    let error = who(&links, 2).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Refused { why } if why.contains("pinned")),
        "{error}"
    );
    refused(
        &links,
        node.address,
        "none of a cluster's node",
        "none of a cluster's node",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_serves_many_clusters_and_tells_them_apart() {
    let clusters = [Cluster::new("a"), Cluster::new("b"), Cluster::new("c")];
    let witness = WitnessIdentity::create("w", &[], Clock::system().now_s()).unwrap();
    let trust = Trust::new(Clock::system());
    let node = Node::start(Presented::new(witness.certified_key().unwrap()), trust).await;
    let config = PeerConfig {
        addresses: vec![node.address],
        trust: PeerTrust::Pinned(witness.fingerprint()),
    };
    let wanted = [(NodeId(9), config)].into();
    let mut all = Vec::new();
    for cluster in &clusters[..2] {
        node.trust
            .add_cluster(&cluster.secrets.authority_certificate)
            .unwrap();
        let links = cluster.links(4);
        links.set_peers(&wanted);
        let answer = String::from_utf8(who(&links, 9).await.unwrap().to_vec()).unwrap();
        assert_eq!(answer, format!("{} 4 node4", id(cluster)));
        all.push(links);
    }
    let links = clusters[2].links(4);
    links.set_peers(&wanted);
    assert!(matches!(
        who(&links, 9).await.unwrap_err(),
        CallError::Refused { .. }
    ));
    node.trust.remove_cluster(id(&clusters[0]));
    until("the first is out", || {
        let why = all[0].states()[0].why.clone().unwrap_or_default();
        why.contains("cluster isn't known there")
    })
    .await;
    assert!(matches!(
        who(&all[0], 9).await.unwrap_err(),
        CallError::Refused { .. }
    ));
    who(&all[1], 9).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_and_one_of_an_older_tls() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let error = raw(node.address, &rustls::version::TLS13)
        .await
        .unwrap_err();
    assert!(error.contains("CertificateRequired"), "{error}");
    let error = raw(node.address, &rustls::version::TLS12)
        .await
        .unwrap_err();
    assert!(error.contains("ProtocolVersion"), "{error}");
    until("both are logged", || {
        let log = log();
        log.contains("peer sent no certificates") && log.contains("peer is incompatible")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_something_else_or_nothing() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let mut plain = TcpStream::connect(node.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // It may end in a reset: what counts is that it ends.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
    until("it is logged", || log().contains("it doesn't speak TLS")).await;
    let mut silent = TcpStream::connect(node.address).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(8), silent.read(&mut [0])).await;
    assert!(
        matches!(ended, Ok(Ok(0) | Err(_))),
        "dropped within five seconds: {ended:?}"
    );
    until("it is logged", || {
        log().contains("wasn't through within 5000 ms")
    })
    .await;
}

/// Connects as a client of no cluster, and reads to the end.
async fn raw(
    address: SocketAddr,
    version: &'static rustls::SupportedProtocolVersion,
) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    config.alpn_protocols = vec![PEER_PROTOCOL.to_vec()];
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::IpAddress(address.ip().into());
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let debug = |e: std::io::Error| format!("{e:?}");
    let mut stream = connector.connect(name, tcp).await.map_err(debug)?;
    stream.read_to_end(&mut Vec::new()).await.map_err(debug)?;
    Ok(())
}

/// Believes everybody: the server under test must not.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
