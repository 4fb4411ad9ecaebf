//! An inspection leaves little behind, and a description is bounded.
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

use played::{Played, component};

/// What was compiled, as far as it is or isn't loaded.
fn compiled(played: &Played, inspected: bool) -> usize {
    let folder = fs::read_dir(played.data.path().join("compiled")).unwrap();
    folder
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("inspected-") == inspected)
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_only_inspected_is_not_kept() {
    let played = Played::new();
    for file in ["hostile_plugins.wasm", "fencing_plugin.wasm"] {
        played.host.inspect(&component(file)).await.unwrap();
        assert_eq!((compiled(&played, true), compiled(&played, false)), (1, 0));
    }
    // The install that follows an inspection doesn't compile again.
    played.load("fencing_plugin.wasm").await;
    assert_eq!((compiled(&played, true), compiled(&played, false)), (0, 1));
    played
        .host
        .inspect(&component("fencing_plugin.wasm"))
        .await
        .unwrap();
    assert_eq!((compiled(&played, true), compiled(&played, false)), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_of_too_many_parts_is_refused() {
    let played = Played::new();
    for (part, count) in [("memory 1", 5), ("table 1 funcref", 9)] {
        let instances: String = (0..count)
            .map(|_| "(core instance (instantiate $m))")
            .collect();
        let text = format!("(component (core module $m ({part})) {instances})");
        let error = played
            .host
            .inspect(&wat::parse_str(text).unwrap())
            .await
            .unwrap_err();
        assert!(error.message.contains("exceeds the"), "{error}");
    }
}
