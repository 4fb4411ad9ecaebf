//! A file system that doesn't answer is no fault of the plugin, and costs its storage alone some threads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod played;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn_core::Code;
use cairn_plugins::limits::FILES_MAX;
use played::{Played, storage};

/// The limit of `status` is 5 s.
const STATUS_BOUND: Duration = Duration::from_secs(8);

/// Opens the other end of a pipe until it is dropped, so that whoever waits there goes on.
struct Release(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Release {
    fn of(pipe: &Path) -> Self {
        let (over, pipe) = (Arc::new(AtomicBool::new(false)), pipe.to_owned());
        let seen = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Acquire) {
                // Refused while nobody reads.
                let end: Option<File> = OpenOptions::new()
                    .write(true)
                    .custom_flags(libc::O_NONBLOCK)
                    .open(&pipe)
                    .ok();
                drop(end);
                std::thread::yield_now();
            }
        });
        Self(over, Some(thread))
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
        self.1.take().map(std::thread::JoinHandle::join);
    }
}

/// Threads of this process that wait in the opening of a pipe.
fn waiting() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks
        .filter(|t| {
            fs::read_to_string(t.path().join("wchan")).is_ok_and(|w| w.contains("wait_for_partner"))
        })
        .count()
}

#[test]
fn a_silent_file_system_is_unavailable_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let played = Played::new();
        let plugin = played.load("hostile_plugins.wasm").await;
        let silent = storage(&plugin, "silent", "read-pipe", dir.path());
        let fine = storage(&plugin, "fine", "remove-deep", dir.path());
        let began = Instant::now();
        // More than it takes to be set aside, and more than it has threads.
        let calls = (0..FILES_MAX + 4).map(|_| silent.status());
        for ended in futures::future::join_all(calls).await {
            let error = ended.unwrap_err();
            assert_eq!(error.code, Code::Unavailable, "{error}");
            assert!(error.message.contains("doesn't answer"), "{error}");
        }
        assert!(began.elapsed() < 2 * STATUS_BOUND, "{:?}", began.elapsed());
        assert_eq!(plugin.statistics().state, "ok");
        let waiting = waiting();
        println!("{waiting} threads wait in the kernel, as far as it tells");
        assert!(waiting <= FILES_MAX);
        fine.create(&played::spec()).await.unwrap();
    });
    let release = Release::of(&pipe);
    // Waits for its threads.
    drop(runtime);
    drop(release);
}
