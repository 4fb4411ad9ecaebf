//! Calls over links: failover, hanging, what becomes of calls under way, and peers that change.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "that is how a test fails"
)]

mod loopback;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_net::links::Health;
use cairn_net::{CallError, NodeId};
use loopback::proxy::{Proxy, Way};
use loopback::{Cluster, link, once, peers, twice, until, until_up, who};

const TWO: NodeId = NodeId(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_call_reaches_the_peer_and_says_who_calls() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[node.address])]));
    let answer = String::from_utf8(who(&links, 2).await.unwrap().to_vec()).unwrap();
    let id = cluster.secrets.authority().unwrap().cluster();
    assert_eq!(answer, format!("{id} 1 node1"));
    let body = Bytes::from(vec![7; 16 * 1024 * 1024]);
    let echoed = links
        .call(TWO, "/echo", body.clone(), once(20_000))
        .await
        .unwrap();
    assert!(echoed == body, "16 MiB there and back");
    let error = links
        .call(TWO, "/other", Bytes::new(), once(5000))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        CallError::Remote {
            status: 503,
            body: "votes 1 of 3".into()
        }
    );
    until_up(&links).await;
    let state = link(&links, node.address);
    assert!(state.round_trip.unwrap() < Duration::from_secs(1));
    assert!(state.last_contact.unwrap() < Duration::from_secs(2));
    assert!(state.clock_ahead_ms.unwrap().abs() < 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_said_at_once() {
    let cluster = Cluster::new("prod");
    let links = cluster.links(1);
    let error = who(&links, 2).await.unwrap_err();
    assert!(matches!(&error, CallError::Unreachable { why } if why.contains("no known address")));
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    links.set_peers(&peers(&[(2, &[free])]));
    let begun = Instant::now();
    let error = who(&links, 2).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Unreachable { why } if why.contains("refused")),
        "{error}"
    );
    assert!(error.is_surely_undone());
    assert!(begun.elapsed() < Duration::from_secs(2));
}

/// The first is preferred, whatever else this machine does.
async fn two_links(node: &loopback::Node) -> (Proxy, Proxy) {
    let second = Proxy::slow_to(node.address).await;
    (Proxy::to(node.address).await, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_link_is_left_at_once_and_comes_back() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let (first, second) = two_links(&node).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[first.address, second.address])]));
    until_up(&links).await;
    let held = tokio::spawn({
        let links = links.clone();
        async move { links.call(TWO, "/hold", Bytes::new(), twice(10_000)).await }
    });
    let answers = node.answers.clone();
    until("the call has arrived", || {
        answers.count.load(Ordering::Relaxed) == 1
    })
    .await;
    first.set(Way::Broken);
    let took = until("it was sent again", || {
        answers.count.load(Ordering::Relaxed) == 2
    })
    .await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    node.answers.go.send_replace(true);
    assert_eq!(held.await.unwrap().unwrap(), "held");
    who(&links, 2).await.unwrap();
    let down = link(&links, first.address);
    assert_eq!(down.health, Health::Down, "{down:?}");
    assert!(down.why.is_some());
    first.set(Way::Open);
    let took = until("it is back", || {
        link(&links, first.address).health == Health::Up
    })
    .await;
    assert!(took < Duration::from_secs(2), "back after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_link_is_left_within_a_second() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let (first, second) = two_links(&node).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[first.address, second.address])]));
    until_up(&links).await;
    first.set(Way::Hangs);
    let begun = Instant::now();
    who_twice(&links).await.unwrap();
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(1100), "failover took {took:?}");
    println!("failover from a hanging link: {} ms", took.as_millis());
    let begun = Instant::now();
    who(&links, 2).await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_millis(500),
        "the next call takes the other at once"
    );
    until("it is down", || {
        link(&links, first.address).health == Health::Down
    })
    .await;
    let why = link(&links, first.address).why.unwrap();
    assert!(why.contains("no answer"), "{why}");
    first.set(Way::Open);
    let took = until("it is back", || {
        link(&links, first.address).health == Health::Up
    })
    .await;
    assert!(took < Duration::from_secs(2), "back after {took:?}");
}

async fn who_twice(links: &cairn_net::Links) -> Result<Bytes, CallError> {
    links.call(TWO, "/who", Bytes::new(), twice(5000)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_may_not_be_repeated_is_sent_once() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let (first, second) = two_links(&node).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[first.address, second.address])]));
    until_up(&links).await;
    let call = tokio::spawn({
        let links = links.clone();
        async move { links.call(TWO, "/hold", Bytes::new(), once(10_000)).await }
    });
    let count = || node.answers.count.load(Ordering::Relaxed);
    until("the call has arrived", || count() == 1).await;
    first.set(Way::Broken);
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Lost { .. }), "{error}");
    assert!(!error.is_surely_undone());
    assert_eq!(count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_hanging_link_ends_calls_and_heals() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let only = Proxy::to(node.address).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[only.address])]));
    until_up(&links).await;
    only.set(Way::Hangs);
    let error = links
        .call(TWO, "/who", Bytes::new(), once(300))
        .await
        .unwrap_err();
    assert_eq!(error, CallError::TimedOut { after_ms: 300 });
    let begun = Instant::now();
    let error = who(&links, 2).await.unwrap_err();
    assert!(matches!(error, CallError::Lost { .. }), "{error}");
    assert!(
        begun.elapsed() < Duration::from_millis(4000),
        "{:?}",
        begun.elapsed()
    );
    let begun = Instant::now();
    let error = who(&links, 2).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
    assert!(
        begun.elapsed() < Duration::from_millis(200),
        "then it is said at once"
    );
    only.set(Way::Open);
    let took = until("it is back", || {
        link(&links, only.address).health == Health::Up
    })
    .await;
    assert!(took < Duration::from_secs(2), "back after {took:?}");
    println!(
        "a single link is back {} ms after it heals",
        took.as_millis()
    );
    who(&links, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_never_answers_costs_a_call_its_limit_and_no_more() {
    let cluster = Cluster::new("prod");
    // Takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = cluster.node(2).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(
        2,
        &[silent.local_addr().unwrap(), node.address],
    )]));
    let begun = Instant::now();
    who(&links, 2).await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "the other address serves meanwhile"
    );
    links.set_peers(&peers(&[(2, &[silent.local_addr().unwrap()])]));
    let error = links
        .call(TWO, "/who", Bytes::new(), once(100))
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        CallError::TimedOut { .. } | CallError::Unreachable { .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_links_are_not_dialled_busily() {
    let cluster = Cluster::new("prod");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[listener.local_addr().unwrap()])]));
    let begun = Instant::now();
    let mut starts = Vec::new();
    while starts.len() < 6 {
        drop(listener.accept().await.unwrap());
        starts.push(begun.elapsed());
    }
    // 100 + 200 + 400 + 800 + 1500 ms from the first to the sixth.
    let span = *starts.last().unwrap() - starts[0];
    assert!(
        span > Duration::from_millis(2900),
        "six dials within {span:?}"
    );
    until("it is down", || links.states()[0].health == Health::Down).await;
    links.nudge(TWO);
    let begun = Instant::now();
    drop(listener.accept().await.unwrap());
    assert!(
        begun.elapsed() < Duration::from_millis(700),
        "a nudge dials at once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_change_at_run_time() {
    let cluster = Cluster::new("prod");
    let (old, new) = (cluster.node(2).await, cluster.node(2).await);
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[old.address])]));
    who(&links, 2).await.unwrap();
    links.set_peers(&peers(&[(2, &[old.address, new.address])]));
    until_up(&links).await;
    let connected = || old.answers.connected.load(Ordering::Relaxed);
    assert_eq!(connected(), 1, "a link that stays isn't dialled again");
    links.set_peers(&peers(&[(2, &[new.address])]));
    who(&links, 2).await.unwrap();
    until("the old link is closed", || {
        old.server.peer_connections() == 0
    })
    .await;
    links.set_peers(&peers(&[]));
    until("the new one too", || new.server.peer_connections() == 0).await;
    assert!(links.states().is_empty());
    assert!(who(&links, 2).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_lets_calls_end() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[node.address])]));
    until_up(&links).await;
    let call = tokio::spawn({
        let links = links.clone();
        async move { links.call(TWO, "/hold", Bytes::new(), once(10_000)).await }
    });
    until("it has arrived", || {
        node.answers.count.load(Ordering::Relaxed) == 1
    })
    .await;
    let down = tokio::spawn({
        let server = node.server.clone();
        async move { server.shut_down().await }
    });
    until("no more are taken", || {
        links.states()[0].health != Health::Up
    })
    .await;
    node.answers.go.send_replace(true);
    assert_eq!(call.await.unwrap().unwrap(), "held");
    down.await.unwrap();
    assert_eq!(node.server.peer_connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_not_called_is_probed_seldom_until_it_is() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(2).await;
    let links = cluster.links(1);
    links.set_peers(&peers(&[(2, &[node.address])]));
    until_up(&links).await;
    let contact = || link(&links, node.address).last_contact.unwrap();
    until("it rests", || contact() > Duration::from_millis(700)).await;
    who(&links, 2).await.unwrap();
    let woken = until("it is probed", || contact() < Duration::from_millis(100)).await;
    assert!(
        woken < Duration::from_millis(200),
        "a call has it probed at once: {woken:?}"
    );
}
