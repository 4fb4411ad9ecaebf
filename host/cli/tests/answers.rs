//! What the command line makes of a daemon's answers: options from a plugin's schema, exit codes,
//! text that would steer a terminal, daemons that go away. The daemon is a socket that answers what
//! the test says, as no real plugin says such things.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod run;

use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::thread;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use run::{Said, cairn, cairn_reading};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Bodies that were posted or patched.
type Bodies = Arc<Mutex<Vec<Value>>>;

/// A daemon's socket behind which a thread answers until it is dropped.
struct Fake {
    data: TempDir,
    bodies: Bodies,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Fake {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let bodies = Bodies::default();
        let listener = UnixListener::bind(data.path().join("cairn.sock")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let router = router().with_state(Arc::clone(&bodies));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                let served = axum::serve(listener, router)
                    .with_graceful_shutdown(async { drop(stopped.await) });
                served.await.unwrap();
            });
        });
        Self {
            data,
            bodies,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn cairn(&self, words: &[&str]) -> Said {
        self.cairn_reading("", words)
    }

    fn cairn_reading(&self, input: &str, words: &[&str]) -> Said {
        let data = self.data.path().display().to_string();
        cairn_reading(input, &[words, &["--data", &data]].concat())
    }

    fn last_body(&self) -> Value {
        self.bodies.lock().unwrap().last().cloned().unwrap()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

fn router() -> Router<Bodies> {
    Router::new()
        .route(
            "/api/v1/storage-types/{type}",
            get(|| async { Json(share()) }),
        )
        .route("/api/v1/storage", post(keep))
        .route(
            "/api/v1/storage/{name}",
            get(|| async { Json(storage()) }).patch(keep),
        )
        .route("/api/v1/plugins/{code}", get(problem))
        .route(
            "/api/v1/trust",
            get(|| async { (StatusCode::OK, "<html>") }),
        )
        .route(
            "/api/v1/storage-types",
            get(|| async { (StatusCode::NOT_FOUND, "<html>") }),
        )
}

async fn keep(State(bodies): State<Bodies>, Json(body): Json<Value>) -> Json<Value> {
    bodies.lock().unwrap().push(body);
    Json(storage())
}

/// Fails with the code that is asked for.
async fn problem(Path(code): Path<String>) -> (StatusCode, Json<Value>) {
    let document = json!({
        "type": "about:blank", "title": code, "status": 400, "code": code,
        "detail": format!("it is {code}\u{1b}[1A"), "by": ["vm-1", "vm\n2"], "command": "cairn again",
    });
    (StatusCode::BAD_REQUEST, Json(document))
}

/// A type of storage with every kind of option, names that clash, and a text that would hide things.
fn share() -> Value {
    json!({
        "type": "share", "plugin": "storage-share", "version": "1.0.0", "summary": "Volumes on a\u{1b}[8m server",
        "schema": {
            "type": "object",
            "required": ["server", "export", "password"],
            "properties": {
                "server": {"type": "string", "title": "Server", "format": "host", "x-cairn-order": 1, "x-cairn-fixed": true},
                "export": {"type": "string", "title": "Export", "description": "as the server names it", "format": "path", "x-cairn-order": 2},
                "version": {"type": "string", "title": "Protocol", "enum": ["3", "4.2"], "default": "4.2", "x-cairn-order": 3},
                "retries": {"type": "integer", "title": "Retries", "default": 3, "x-cairn-order": 4},
                "sync": {"type": "boolean", "title": "Synchronous", "default": false, "x-cairn-order": 5},
                "option": {"type": "array", "items": {"type": "string"}, "title": "Mount option", "x-cairn-order": 6},
                "password": {"type": "string", "title": "Password", "x-cairn-secret": true, "x-cairn-order": 7},
                "data": {"type": "string", "title": "Data\r\n  -h, --help  no\u{202e}", "x-cairn-order": 8}
            }
        }
    })
}

fn storage() -> Value {
    json!({
        "name": "vms", "type": "share", "plugin": "storage-share", "config": {"server": "10.0.0.1"},
        "secrets_set": ["password"], "identity": null, "abilities": [], "capabilities": null,
        "status": {"total_bytes": 4096, "used_bytes": 1024, "available_bytes": 3072, "state": "active", "age_ms": 0},
        "revision": 1, "findings": [{"level": "warning", "message": "it is\u{1b}[2J slow"}],
    })
}

#[test]
fn options_of_a_type_come_from_its_schema() {
    let fake = Fake::start();
    for (name, words) in [
        (
            "storage-add-share",
            &["storage", "add", "share", "vms", "--help"],
        ),
        (
            "storage-set-share",
            &["storage", "set", "vms", "--help", "--json"],
        ),
    ] {
        let said = fake.cairn(words);
        assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{words:?}");
        let path = format!("{}/tests/help/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("CAIRN_UPDATE").is_some() {
            std::fs::write(&path, &said.stdout).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            said.stdout, committed,
            "{path}: look at it, then run CAIRN_UPDATE=1 cargo test -p cairn"
        );
    }
}

#[test]
fn options_are_sent_as_the_schemas_kinds_and_secrets_are_read() {
    let fake = Fake::start();
    let line = "storage add share vms --server 10.0.0.1 --export /srv --retries 5 --sync --option a --option b=c \
                --option-data d --force --password-file -";
    let words: Vec<&str> = line.split_whitespace().collect();
    let said = fake.cairn_reading("hunter2\n", &words);
    assert_eq!(said.status, 0, "{said:?}");
    let config = json!({
        "server": "10.0.0.1", "export": "/srv", "retries": 5, "sync": true, "option": ["a", "b=c"],
        "password": "hunter2", "data": "d",
    });
    let expected = json!({"name": "vms", "type": "share", "config": config});
    assert_eq!(fake.last_body(), expected);
    assert!(
        !said.stdout.contains("hunter2") && !said.stdout.contains('\u{1b}'),
        "{said:?}"
    );
    assert!(
        said.stdout.contains(r"warning: it is\u{1b}[2J slow"),
        "{said:?}"
    );

    let words = [
        "storage", "set", "vms", "--unset", "retries", "--sync", "false", "--json",
    ];
    let said = fake.cairn(&words);
    assert_eq!(said.document()["name"], "vms");
    assert_eq!(
        fake.last_body(),
        json!({"config": {"retries": null, "sync": false}})
    );
}

#[test]
fn wrong_options_send_nothing() {
    let fake = Fake::start();
    for (line, part) in [
        ("storage add", "TYPE is missing"),
        ("storage add share", "NAME is missing"),
        ("storage add share vms", "--server"),
        ("storage set vms", "an option to change is missing"),
        ("storage set vms --retries many", "a whole number"),
        ("storage set vms --version 5", "possible values: 3, 4.2"),
        ("storage set vms --serve x", "--serve"),
        (
            "storage set vms --password-file /no/such/file",
            "/no/such/file",
        ),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let said = fake.cairn(&words);
        assert_eq!(said.status, 2, "{line}: {said:?}");
        assert!(
            said.stderr.contains(part) && said.stdout.is_empty(),
            "{line}: {said:?}"
        );
        let problem = fake
            .cairn(&[words.as_slice(), &["--json"]].concat())
            .document();
        assert_eq!(problem["code"], "invalid", "{line}");
        assert!(
            problem["detail"].as_str().unwrap().contains(part),
            "{line}: {problem}"
        );
    }
    assert!(fake.bodies.lock().unwrap().is_empty());
}

#[test]
fn codes_of_the_api_are_exit_codes() {
    let fake = Fake::start();
    for (code, status) in [
        ("internal", 1),
        ("unavailable", 1),
        ("invalid", 2),
        ("no-quorum", 3),
        ("denied", 4),
        ("not-found", 5),
        ("already-exists", 6),
        ("in-use", 6),
        ("blocked", 6),
        ("revision", 6),
        ("stale-epoch", 6),
    ] {
        let said = fake.cairn(&["plugin", "show", code]);
        assert_eq!(said.status, status, "{said:?}");
        assert_eq!(said.stdout, "");
        let expected =
            format!("error: it is {code}\\u{{1b}}[1A\n  - vm-1\n  - vm\\n2\nrun: cairn again\n");
        assert_eq!(said.stderr, expected);
        let said = fake.cairn(&["plugin", "show", code, "--json"]);
        assert_eq!(
            (said.status, &said.document()["code"]),
            (status, &json!(code))
        );
    }
}

#[test]
fn an_answer_that_no_daemon_gives_is_an_error() {
    let fake = Fake::start();
    for words in [
        ["plugin", "trust", "list"].as_slice(),
        &["storage", "types"],
        &["plugin", "show", "code-of-the-future"],
    ] {
        let said = fake.cairn(words);
        assert_eq!((said.status, said.stdout.as_str()), (1, ""), "{said:?}");
        assert!(said.stderr.starts_with("error: "), "{said:?}");
    }
}

#[test]
fn a_daemon_that_goes_away_leaves_the_outcome_open() {
    let data = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(data.path().join("cairn.sock")).unwrap();
    let hangs_up = thread::spawn(move || drop(listener.accept().unwrap()));
    let data = data.path().display().to_string();
    let said = cairn(&["--data", &data, "volume", "remove", "s:v"]);
    hangs_up.join().unwrap();
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("may be done or not"), "{said:?}");
}
