//! `storage-dir` on this machine's file system passes the suite of all storages, and what only a directory
//! can show. Needs qemu-img and root.
#![allow(clippy::unwrap_used, missing_docs)]

use cairn_bed::{Place, seconds, wait_until};
use cairn_storage_tests::Daemon;

cairn_storage_tests::suite!(cairn_storage_tests::dir);
cairn_storage_tests::suite!(cairn_storage_tests::dir, streams:
    an_image_that_names_another_file_is_refused,
    a_damaged_record_costs_one_volume);

/// An empty directory is what an unmounted file system looks like: it isn't written to.
#[test]
fn an_empty_directory_in_its_place_is_not_written_to() {
    let daemon = Daemon::start(&Place::local()).unwrap();
    daemon.install("storage_dir.wasm").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (path, away) = (dir.path().join("s"), dir.path().join("away"));
    std::fs::create_dir(&path).unwrap();
    daemon
        .ok(&format!("storage add dir s --path {}", path.display()))
        .unwrap();
    std::fs::rename(&path, &away).unwrap();
    std::fs::create_dir(&path).unwrap();
    daemon
        .refused("volume create s:e --size 8M", 1, "unavailable")
        .unwrap();
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(&away, &path).unwrap();
    let back = || (daemon.cairn("volume create s:e --size 8M").ok()?.status == 0).then_some(());
    wait_until("the storage is back", seconds(60), back).unwrap();
}
