//! What a test does to a backend beneath the daemon. What only some backends can do is asked of the daemon.

use anyhow::Result;

use crate::daemon::Daemon;
use crate::pausing::Moment;

/// A backend for storages `s` and `t`, empty when it is made.
pub(crate) trait Backend {
    fn daemon(&self) -> &Daemon;

    /// The file of its plugin.
    fn plugin(&self) -> &'static str;

    /// Type, name and options with which `storage add` adds a storage on an own part of the backend.
    fn add(&self, storage: &str) -> String;

    /// The same for one that has room for less than 4 MiB, and takes a disk's space when it is made.
    fn add_small(&self, storage: &str) -> Result<String>;

    /// What lies in such a part besides what is always there; empty where nothing was left behind.
    fn left(&self, storage: &str) -> Result<String>;

    /// Options that its schema refuses, with the field that is wrong, and options of what isn't there.
    fn bad_options(&self) -> [&'static str; 3];

    /// An option that can be changed, and one that can't.
    fn changes(&self) -> [&'static str; 2];

    /// Takes the backend away under the running daemon, as a pulled disk would, and brings it back.
    fn take_away(&self) -> Result<()>;
    fn bring_back(&self) -> Result<()>;

    /// Puts another backend in its place.
    fn replace(&self) -> Result<()>;

    /// The program whose runs make a volume, and a transfer, and how long a test can stop them.
    fn moments(&self) -> Moments;

    /// How the daemon is started so that `wrapper` is run for `program`; and taken back.
    fn wrap(&self, program: &str, wrapper: &str) -> Result<String>;
    fn unwrap(&self, program: &str) -> Result<()>;
}

/// Where a test stops the backend's program to kill the daemon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    pub(crate) program: &'static str,
    pub(crate) making: Moment,
    pub(crate) copying: Moment,
}
