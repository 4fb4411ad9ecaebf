//! A daemon with one storage, `s`, on a backend, and what tests do with it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's slip ends the test"
)]

use cairn_bed::{Place, seconds};
use serde_json::Value;

use crate::backend::Backend;
use crate::daemon::Daemon;

/// A daemon with one storage, `s`, on an empty backend.
pub struct Bench {
    pub(crate) backend: Box<dyn Backend>,
    /// The storage as the daemon shows it, with its abilities.
    reported: Value,
}

impl Bench {
    pub(crate) fn on(backend: Box<dyn Backend>) -> Self {
        let daemon = backend.daemon();
        let mut shown = daemon.cairn("storage show s").unwrap();
        if shown.status != 0 {
            if daemon.ok("plugin list").unwrap() == serde_json::json!([]) {
                daemon.install(backend.plugin()).unwrap();
            }
            let add = format!("storage add {}", backend.add("s"));
            daemon.ok(&add).unwrap();
            // Its capabilities are first asked when something needs them.
            daemon.ok("volume list s").unwrap();
            shown = daemon.cairn("storage show s").unwrap();
        }
        let reported = shown.json;
        Self { backend, reported }
    }

    /// Adds a second storage of the same kind, `t`.
    pub(crate) fn second(&self) {
        if self.daemon().cairn("storage show t").unwrap().status != 0 {
            self.ok(&format!("storage add {}", self.backend.add("t")));
        }
    }

    pub(crate) fn daemon(&self) -> &Daemon {
        self.backend.daemon()
    }

    pub(crate) fn place(&self) -> &Place {
        self.backend.daemon().place()
    }

    pub(crate) fn ok(&self, arguments: &str) -> Value {
        self.daemon().ok(arguments).unwrap()
    }

    pub(crate) fn refused(&self, arguments: &str, status: i32, code: &str) -> Value {
        self.daemon().refused(arguments, status, code).unwrap()
    }

    /// Whether the storage's plugin offers an interface of the contract.
    pub(crate) fn can(&self, ability: &str) -> bool {
        let abilities = self.reported["abilities"].as_array().unwrap();
        abilities
            .iter()
            .any(|a| a.as_str().unwrap().contains(ability))
    }

    /// One of the storage's reported capabilities.
    pub(crate) fn capability(&self, name: &str) -> &Value {
        let value = &self.reported["capabilities"][name];
        assert!(!value.is_null(), "{name}: {}", self.reported);
        value
    }

    /// Whether the tools behind the storage call themselves so.
    pub(crate) fn dialect(&self, name: &str) -> bool {
        self.capability("dialect").as_str().unwrap().contains(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let listed = self.ok("volume list s");
        let names = listed.as_array().unwrap().iter();
        names
            .map(|v| v["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Names of a volume's snapshots, oldest first.
    pub(crate) fn snapshots(&self, volume: &str) -> Vec<String> {
        let listed = self.ok(&format!("volume snapshots {volume}"));
        let names = listed.as_array().unwrap().iter();
        names
            .map(|s| s["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The guid of a volume's newest snapshot.
    pub(crate) fn newest(&self, volume: &str) -> String {
        let listed = self.ok(&format!("volume snapshots {volume}"));
        listed.as_array().unwrap().last().unwrap()["guid"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Attaches a volume and gives the path to open.
    pub(crate) fn attach(&self, volume: &str, options: &str) -> String {
        let attached = self.ok(&format!("volume attach {volume} {options}"));
        attached["attachment"]["path"].as_str().unwrap().to_owned()
    }

    /// Fills the first MiB of a disk with one byte, as a guest would.
    pub(crate) fn write(&self, volume: &str, byte: u8) {
        self.io(volume, &format!("write -P {byte} 0 1M"));
    }

    /// Fills the first MiBs of a disk with what no compression makes smaller.
    pub(crate) fn fill(&self, volume: &str, mib: u64) {
        let noise = format!("{}/noise", self.daemon().data().display());
        self.place()
            .sh(&format!("head -c {mib}M /dev/urandom >{noise}"))
            .unwrap();
        self.io(volume, &format!("write -s {noise} 0 {mib}M"));
    }

    fn io(&self, volume: &str, command: &str) {
        let path = self.attach(volume, "");
        let io = format!("qemu-io -f {} -c '{command}' {path}", format_of(&path));
        self.place().sh(&io).unwrap();
        self.ok(&format!("volume detach {volume}"));
    }

    /// Is the first MiB of a disk (or of a snapshot of it) this byte?
    pub(crate) fn holds(&self, volume: &str, options: &str, byte: u8) -> bool {
        let path = self.attach(volume, &format!("--read-only {options}"));
        let io = format!(
            "qemu-io -r -f {} -c 'read -P {byte} 0 1M' {path}",
            format_of(&path)
        );
        let output = self.place().run(&io, seconds(60)).unwrap();
        self.ok(&format!("volume detach {volume}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.contains("read 1048576/1048576"),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        !said.contains("verification failed")
    }

    /// Writes a mark into a file tree, as a container would.
    pub(crate) fn mark(&self, volume: &str, mark: &str) {
        let path = self.attach(volume, "");
        self.place()
            .sh(&format!("echo {mark} >{path}/mark && sync -f {path}/mark"))
            .unwrap();
        self.ok(&format!("volume detach {volume}"));
    }

    pub(crate) fn marked(&self, volume: &str) -> String {
        let path = self.attach(volume, "--read-only");
        let mark = self.place().sh(&format!("cat {path}/mark")).unwrap();
        self.ok(&format!("volume detach {volume}"));
        mark.trim().to_owned()
    }
}

/// What QEMU is told of a path that was attached.
pub(crate) fn format_of(path: &str) -> &'static str {
    if path.ends_with(".qcow2") {
        "qcow2"
    } else {
        "raw"
    }
}
