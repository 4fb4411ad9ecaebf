//! Who may ask, and what a bad request is answered.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use cairn_api::{ServeOptions, serve};
use cairn_node::Node;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::oneshot;

struct Served {
    data: tempfile::TempDir,
    socket: PathBuf,
    https: String,
    _stop: oneshot::Sender<()>,
}

async fn served() -> Served {
    let data = tempfile::tempdir().unwrap();
    let node = Node::open(data.path(), "n1").await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, listening) = oneshot::channel();
    let options = ServeOptions {
        addresses: vec!["127.0.0.1".parse().unwrap()],
        port: 0,
    };
    tokio::spawn(async move {
        let tell = |l: &cairn_api::Listening| drop(ready.send(l.clone()));
        serve(node, options, tell, async { drop(stopped.await) })
            .await
            .unwrap();
    });
    let listening = listening.await.unwrap();
    Served {
        data,
        socket: listening.socket,
        https: format!("https://{}", listening.https[0]),
        _stop: stop,
    }
}

fn by_socket(served: &Served) -> Client {
    Client::builder()
        .unix_socket(served.socket.clone())
        .build()
        .unwrap()
}

fn by_https(served: &Served) -> Client {
    let pem = std::fs::read(served.data.path().join("ca.pem")).unwrap();
    let certificate = reqwest::Certificate::from_pem(&pem).unwrap();
    Client::builder()
        .tls_certs_only([certificate])
        .build()
        .unwrap()
}

#[tokio::test]
async fn https_needs_the_token_and_the_socket_does_not() {
    let served = served().await;
    let url = format!("{}/api/v1/version", served.https);
    let client = by_https(&served);
    for request in [client.get(&url), client.get(&url).bearer_auth("wrong")] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        assert_eq!(response.json::<Value>().await.unwrap()["code"], "denied");
    }
    let token = std::fs::read_to_string(served.data.path().join("token")).unwrap();
    let answer = client
        .get(&url)
        .bearer_auth(token.trim())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["node"], "n1");
    let answer = by_socket(&served)
        .get("http://cairn/api/v1/version")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    for file in ["cairn.sock", "token", "identity/identity.json"] {
        let mode = std::fs::metadata(served.data.path().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{file} is for its owner alone");
    }
}

#[tokio::test]
async fn bad_requests_are_problems_that_name_the_field() {
    let served = served().await;
    let client = by_socket(&served);
    let post = |path: &str, body: Value| {
        client
            .post(format!("http://cairn/api/v1/{path}"))
            .json(&body)
            .send()
    };
    let problem: Value = post("storage", json!({"name": "x", "type": "zfs", "colour": 1}))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(problem["code"], "invalid");
    assert!(
        problem["detail"].as_str().unwrap().contains("colour"),
        "{problem}"
    );
    let problem: Value = post("storage", json!({"name": "1/x", "type": "zfs"}))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (problem["status"].as_u64(), problem["field"].as_str()),
        (Some(422), Some("name"))
    );
    let missing = client
        .get("http://cairn/api/v1/nothing")
        .send()
        .await
        .unwrap();
    assert_eq!(missing.status(), 404);
    assert_eq!(missing.json::<Value>().await.unwrap()["code"], "not-found");
    let method = client
        .put("http://cairn/api/v1/storage")
        .send()
        .await
        .unwrap();
    assert_eq!(method.status(), 405);
    let large = client
        .post("http://cairn/api/v1/storage")
        .header("content-type", "application/json");
    too_large(large.body(vec![b' '; 2 << 20]).send().await.unwrap()).await;
    // A component may have 64 MiB, and not one byte more.
    for (bytes, status) in [(64 << 20, 422), ((64 << 20) + 1, 413), (80 << 20, 413)] {
        let upload = client.post("http://cairn/api/v1/plugins/inspect");
        let answer = upload.body(vec![0; bytes]).send().await.unwrap();
        assert_eq!(answer.status(), status, "{bytes} bytes");
        if status == 413 {
            too_large(answer).await;
        }
    }
}

async fn too_large(answer: reqwest::Response) {
    assert_eq!(answer.status(), 413);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "invalid", "{problem}");
    assert_eq!(
        (problem["status"].as_u64(), problem["field"].as_str()),
        (Some(413), Some("body"))
    );
}

#[tokio::test]
async fn a_file_that_is_no_plugin_is_refused_with_a_reason() {
    let served = served().await;
    let client = by_socket(&served);
    let cases: [(&[u8], &str); 3] = [
        (b"hello", "no WebAssembly file"),
        (b"\0asm\x01\0\0\0", "core WebAssembly module"),
        (b"\0asm\x0d\0\x01\0", "cairn:plugin/identity"),
    ];
    for (bytes, reason) in cases {
        let request = client
            .post("http://cairn/api/v1/plugins/inspect")
            .body(bytes.to_vec());
        let problem: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(problem["code"], "invalid", "{problem}");
        assert!(
            problem["detail"].as_str().unwrap().contains(reason),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn one_data_folder_serves_one_daemon() {
    let served = served().await;
    let error = Node::open(served.data.path(), "n2").await.err().unwrap();
    assert_eq!(error.code, cairn_core::Code::InUse);
}
