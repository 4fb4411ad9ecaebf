//! The ends of a stream: only what was granted is opened, for what it was granted, and nothing that waits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod played;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use cairn_core::plugin::FileAccess;
use cairn_core::storage::StreamEnd;
use cairn_core::{Code, Error};
use cairn_plugins::StorageCalls;
use played::{Played, storage};

fn bytes(path: &Path) -> StreamEnd {
    StreamEnd::Bytes {
        path: path.display().to_string(),
        offset: 0,
        length: 0,
    }
}

async fn pump(storage: &StorageCalls, from: &Path, to: &Path) -> Result<u64, Error> {
    storage.pump(&bytes(from), storage, &bytes(to)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_stays_within_the_granted_directory() {
    let (played, dir) = (Played::new(), tempfile::tempdir().unwrap());
    let outside = tempfile::tempdir().unwrap();
    let plugin = played.load("hostile_plugins.wasm").await;
    let storage = storage(&plugin, "s", "ok", dir.path());
    let (source, sink) = (dir.path().join("source"), dir.path().join("sink"));
    fs::write(&source, "some bytes").unwrap();
    assert_eq!(pump(&storage, &source, &sink).await.unwrap(), 10);
    assert_eq!(fs::read(&sink).unwrap(), b"some bytes");

    let secret = outside.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let link = dir.path().join("link");
    symlink(&secret, &link).unwrap();
    let up = dir
        .path()
        .join("..")
        .join(outside.path().file_name().unwrap())
        .join("secret");
    for path in [&secret, &link, &up] {
        for (from, to) in [(path, &sink), (&source, path)] {
            let error = pump(&storage, from, to).await.unwrap_err();
            assert_eq!(error.code, Code::Denied, "{}: {error}", path.display());
        }
    }
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_for_reading_takes_no_stream() {
    let (played, dir) = (Played::new(), tempfile::tempdir().unwrap());
    let reading =
        |v: &mut cairn_core::plugin::Version| v.granted.files[0].access = FileAccess::Read;
    let plugin = played.load_as("hostile_plugins.wasm", reading).await;
    let storage = storage(&plugin, "s", "ok", dir.path());
    let (source, sink) = (dir.path().join("source"), dir.path().join("sink"));
    fs::write(&source, "some bytes").unwrap();
    let error = pump(&storage, &source, &sink).await.unwrap_err();
    assert_eq!(error.code, Code::Denied, "{error}");
    assert!(error.message.contains("for reading only"), "{error}");
    assert!(!sink.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_the_systems_or_the_daemons_is_not_lent() {
    let played = Played::new();
    let plugin = played.load("hostile_plugins.wasm").await;
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    symlink("/proc", &link).unwrap();
    let data = played.data.path();
    for place in [Path::new("/proc"), &link, data, &data.join("compiled")] {
        let storage = storage(&plugin, "s", "ok", place);
        let error = pump(&storage, &place.join("version"), &place.join("x"))
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::Denied, "{}: {error}", place.display());
        assert!(error.message.contains("can't be lent"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_is_no_end_and_holds_nobody_up() {
    let (played, dir) = (Played::new(), tempfile::tempdir().unwrap());
    let plugin = played.load("hostile_plugins.wasm").await;
    let storage = storage(&plugin, "s", "ok", dir.path());
    let (file, pipe) = (dir.path().join("file"), dir.path().join("pipe"));
    fs::write(&file, "some bytes").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let error = pump(&storage, &pipe, &file).await.unwrap_err();
    assert_eq!(error.code, Code::Denied, "{error}");
    // Nobody reads it, which is what the system says first.
    let error = pump(&storage, &file, &pipe).await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_fails_tells_no_secret() {
    let (played, dir) = (Played::new(), tempfile::tempdir().unwrap());
    let plugin = played.load("hostile_plugins.wasm").await;
    let missing = dir.path().join("hunter2");
    let ends = storage(&plugin, "ends", "ok", &missing);
    let sink = storage(&plugin, "sink", "ok", dir.path());
    let program = StreamEnd::Process {
        command: "ls".to_owned(),
        arguments: vec![missing.display().to_string()],
        secret_environment: Vec::new(),
    };
    let said = ends
        .pump(&program, &sink, &bytes(&dir.path().join("x")))
        .await;
    let error = said.unwrap_err();
    assert!(error.message.contains("/********"), "{error}");
    assert!(!error.message.contains("hunter2"), "{error}");
}
