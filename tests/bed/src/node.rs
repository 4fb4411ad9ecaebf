//! A machine of a bed, as tests use it.

use std::fs::File;
use std::io::Read as _;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::agent::Agent;
use crate::limits::{
    BOOT_LIMIT_S, CHUNK_BYTES, CHUNK_LIMIT_S, CHUNKS_IN_FLIGHT, COMMAND_LIMIT_S, READ_CHUNK_BYTES,
};
use crate::machine::Machine;
use crate::place::{Output, Place, Reach, quoted};
use crate::wait::seconds;

/// A virtual machine with OpenZFS. It is a [`Place`], with power and processors that can be taken
/// away. Disks: vda the system, vdb and vdc for tests (`virtio-data-a`, `-b` for `zpool`).
#[derive(Debug)]
pub struct Node {
    machine: Arc<Machine>,
    place: Place,
    nodes: usize,
}

impl Node {
    pub(crate) fn new(machine: Arc<Machine>, nodes: usize) -> Node {
        let place = Place::new(Arc::new(Remote(Arc::clone(&machine))));
        Node {
            machine,
            place,
            nodes,
        }
    }

    /// The machine as a place, to keep.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// Its number in the bed, from 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.machine.index()
    }

    /// Its address in the bed; its name there is `n` and its number.
    #[must_use]
    pub fn address(&self) -> String {
        format!("10.99.0.{}", self.number())
    }

    /// Whether it has power; a paused machine has.
    #[must_use]
    pub fn on(&self) -> bool {
        self.machine.on()
    }

    /// Power off at once: what it had not written to its disks is gone.
    pub fn power_cut(&self) -> Result<()> {
        self.machine.power_cut()
    }

    /// Powers it on, with the disks it has, and waits until it answers; some 15 s. Nothing but ZFS's
    /// module is loaded: pools have to be imported.
    pub fn boot(&self) -> Result<()> {
        self.machine.power_on(None)?;
        self.machine.settle(self.nodes, seconds(BOOT_LIMIT_S))
    }

    /// Waits until it has gone off by itself: a halt, a panic, a watchdog, a reset.
    pub fn wait_off(&self, limit: Duration) -> Result<()> {
        self.machine.wait_off(limit)
    }

    /// Stops its processors and its clock: a long stall, as the others see it.
    pub fn pause(&self) -> Result<()> {
        self.machine.set_paused(true)
    }

    /// Lets it go on after [`Node::pause`]; it doesn't know that time has passed.
    pub fn resume(&self) -> Result<()> {
        self.machine.set_paused(false)
    }
}

impl Deref for Node {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

/// A machine as a place.
struct Remote(Arc<Machine>);

static NEXT_INPUT: AtomicU64 = AtomicU64::new(1);

impl Remote {
    fn checked(&self, script: &str) -> Result<()> {
        let output = self.0.run(script, None, seconds(COMMAND_LIMIT_S))?;
        if output.status != 0 {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!(
                "{}: {script}\nstatus {}: {said}",
                self.0.name(),
                output.status
            );
        }
        Ok(())
    }
}

impl Reach for Remote {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn run(&self, script: &str, stdin: &[u8], limit: Duration) -> Result<Output> {
        if stdin.is_empty() {
            return self.0.run(script, None, limit);
        }
        let path = format!("/run/stdin.{}", NEXT_INPUT.fetch_add(1, Ordering::Relaxed));
        upload(&*self.0.agent()?, &path, stdin).with_context(|| self.0.name().to_owned())?;
        self.0.run(script, Some(&path), limit)
    }

    fn put(&self, local: &Path, remote: &Path) -> Result<()> {
        let file = File::open(local).with_context(|| local.display().to_string())?;
        let mode = file.metadata()?.permissions().mode() & 0o777;
        let to = remote.display().to_string();
        let part = format!("{to}.part");
        let (part_word, to_word) = (quoted(&part), quoted(&to));
        self.checked(&format!("rm -f {part_word} && : >{part_word}"))?;
        let size = upload(&*self.0.agent()?, &part, file)
            .with_context(|| format!("{}: {to}", self.0.name()))?;
        self.checked(&format!(
            "[ $(stat -c %s {part_word}) = {size} ] && chmod {mode:o} {part_word} && \
             mv -fT {part_word} {to_word}"
        ))
    }

    fn read(&self, remote: &Path) -> Result<Vec<u8>> {
        let agent = self.0.agent()?;
        let path = remote.display().to_string();
        let mut bytes = Vec::new();
        // Until nothing more comes: files of /proc have no size, and logs grow.
        loop {
            let (offset, length) = (bytes.len().to_string(), READ_CHUNK_BYTES.to_string());
            let arguments = [path.as_bytes(), offset.as_bytes(), length.as_bytes()];
            let limit = seconds(CHUNK_LIMIT_S);
            let answer = agent
                .send("read", &arguments, limit)
                .and_then(|answer| answer.wait(limit));
            let chunk = answer
                .with_context(|| format!("{}: {path}", self.0.name()))?
                .stdout;
            if chunk.is_empty() {
                return Ok(bytes);
            }
            bytes.extend(chunk);
        }
    }

    fn outlives_test(&self) -> bool {
        false
    }
}

/// Writes all of `source` to a file of the machine, a few chunks ahead of its answers; its size.
fn upload(agent: &Agent, path: &str, mut source: impl std::io::Read) -> Result<u64> {
    let limit = seconds(CHUNK_LIMIT_S);
    let mut flying = std::collections::VecDeque::new();
    let (mut offset, mut chunk) = (0_u64, Vec::new());
    loop {
        chunk.clear();
        source
            .by_ref()
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut chunk)?;
        if !chunk.is_empty() {
            let at = offset.to_string();
            let arguments = [path.as_bytes(), at.as_bytes(), &chunk];
            flying.push_back(agent.send("write", &arguments, limit)?);
            offset += chunk.len() as u64;
        }
        while flying.len() >= CHUNKS_IN_FLIGHT || (chunk.is_empty() && !flying.is_empty()) {
            if let Some(answer) = flying.pop_front() {
                answer.wait(limit)?;
            }
        }
        if chunk.is_empty() {
            return Ok(offset);
        }
    }
}
