//! What a plugin tells: no secret, nothing endless. And what it is told: its configuration with all defaults.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod played;

use cairn_core::storage::StorageState;
use played::{Played, spec, storage};

const TOLD: &str = "the password is ********";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_of_an_answer_holds_a_secret() {
    let (played, dir) = (Played::new(), tempfile::tempdir().unwrap());
    let plugin = played.load("hostile_plugins.wasm").await;
    let storage = storage(&plugin, "s", "tell", dir.path());
    let status = storage.status().await.unwrap();
    assert_eq!(status.state, StorageState::Degraded(TOLD.to_owned()));
    let volume = storage.create(&spec()).await.unwrap();
    assert_eq!(volume.notes, TOLD);
    let pair = (TOLD.to_owned(), TOLD.to_owned());
    assert_eq!(volume.properties, [pair]);
    let facts = storage.health().await.unwrap();
    assert_eq!((&*facts[0].subject, &*facts[0].message), (TOLD, TOLD));
    assert_eq!(storage.check().await.unwrap()[0].message, TOLD);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_at_the_cut_leaves_no_part() {
    let (played, dir) = (Played::new(), tempfile::tempdir().unwrap());
    let plugin = played.load("hostile_plugins.wasm").await;
    let storage = storage(&plugin, "s", "secret-at-the-cut", dir.path());
    let said = storage.create(&spec()).await.unwrap_err().message;
    assert_eq!(said.trim_start_matches('x'), "***");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_is_new_has_its_default() {
    let (played, dir) = (Played::new(), tempfile::tempdir().unwrap());
    let plugin = played.load("hostile_plugins.wasm").await;
    let storage = storage(&plugin, "s", "greet", dir.path());
    let said = storage.create(&spec()).await.unwrap_err().message;
    assert_eq!(said, "good morning");
}
