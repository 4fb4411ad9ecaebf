//! A plugin's HTTP: it reaches the server it was granted, with its secret in a header it never sees,
//! and no other server, by no other method, and for no longer than its call.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod played;
mod server;

use std::time::{Duration, Instant};

use cairn_core::Code;
use cairn_core::fencing::{Manner, Power};
use cairn_plugins::FencingCalls;
use played::{Played, instance};
use serde_json::json;
use server::Server;

/// The limit of a fencing call is 5 s.
const BOUND: Duration = Duration::from_secs(10);

async fn device(played: &Played, server: &Server) -> FencingCalls {
    let plugin = played.load("fencing_plugin.wasm").await;
    plugin.fencing(instance("pdu", json!({"address": server.address()})))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_granted_server_is_reached_with_the_secret() {
    let server = Server::start();
    let played = Played::new();
    let device = device(&played, &server).await;
    assert_eq!(device.status("outlet").await.unwrap(), Power::On);
    device.off("outlet", Manner::Hard).await.unwrap();
    assert_eq!(device.status("outlet").await.unwrap(), Power::Off);
    let seen = server.seen();
    let lines: Vec<&str> = seen.iter().map(|s| s.line.as_str()).collect();
    assert_eq!(lines, ["GET /outlet", "POST /outlet", "GET /outlet"]);
    assert_eq!(seen[1].body, "hard");
    assert!(seen.iter().all(|s| s.authorization == "Bearer hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_server_is_reached() {
    let (server, other) = (Server::start(), Server::start());
    let played = Played::new();
    let device = device(&played, &server).await;
    let url = format!("http://{}/outlet", other.address());
    let port = other.address().rsplit(':').next().unwrap().to_owned();
    for url in [
        url.as_str(),
        &format!("http://localhost:{port}/outlet"),
        &url.replace("http:", "https:"),
        &format!("http://{}@{}/outlet", server.address(), other.address()),
    ] {
        let error = device.status(url).await.unwrap_err();
        assert_eq!(error.code, Code::Denied, "{url}: {error}");
        assert!(error.message.contains("is not granted"), "{error}");
    }
    let error = device.on("outlet").await.unwrap_err();
    assert_eq!(error.code, Code::Denied);
    assert!(error.message.contains("PUT http://"), "{error}");
    let error = device.status(&format!("redirect?{url}")).await.unwrap_err();
    assert!(error.message.contains("answers 302"), "{error}");
    assert!(other.seen().is_empty(), "nothing came through");
    assert_eq!(server.seen().len(), 1, "the redirect alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_has_an_end_in_size_and_time() {
    let server = Server::start();
    let played = Played::new();
    let device = device(&played, &server).await;
    for (target, code, part) in [
        ("endless", Code::Unavailable, "more than 8388608 bytes"),
        ("silent", Code::TimedOut, "silent"),
    ] {
        let began = Instant::now();
        let error = device.status(target).await.unwrap_err();
        assert_eq!(error.code, code, "{target}: {error}");
        assert!(error.message.contains(part), "{target}: {error}");
        assert!(
            began.elapsed() < BOUND,
            "{target} took {:?}",
            began.elapsed()
        );
        assert_eq!(device.status("outlet").await.unwrap(), Power::On);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_could_lead_elsewhere_are_the_hosts() {
    let server = Server::start();
    let played = Played::new();
    let device = device(&played, &server).await;
    for name in ["Host", "content-length", "Transfer-Encoding"] {
        let error = device.status(&format!("header:{name}")).await.unwrap_err();
        assert_eq!(error.code, Code::Denied, "{name}: {error}");
        assert!(error.message.contains("is set by the host"), "{error}");
    }
    assert!(server.seen().is_empty(), "nothing was sent");
    let other = device.status("header:x-other").await.unwrap();
    assert_eq!(other, Power::On);
}
