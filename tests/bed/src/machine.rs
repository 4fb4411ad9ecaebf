//! One virtual machine: its disks, its QEMU, and its agent.
//!
//! ```text
//! off --power_on--> booting --agent answers--> up <--pause/resume--> paused
//!  ^                                            |
//!  +------ power_cut, or by itself -------------+
//! ```
//! A machine that resets goes off instead, and stays off.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::agent::{Agent, lock};
use crate::host::command;
use crate::limits::{
    AGENT_RETRY_S, AGENT_SILENCE_S, DATA_DISK_BYTES, IDENTITY_LIMIT_S, MONITOR_LIMIT_S,
    RESTORE_LIMIT_S,
};
use crate::monitor::qmp;
use crate::place::Output;
use crate::wait::{seconds, wait_until};

/// How much of a machine's console an error shows, in bytes.
const CONSOLE_TAIL_BYTES: usize = 800;

/// What a machine is made of, less its own files and network: a saved state fits only this.
pub(crate) type Model = Vec<String>;

/// One virtual machine; its files are in `dir`, which goes with the bed.
#[derive(Debug)]
pub(crate) struct Machine {
    index: usize,
    name: String,
    dir: PathBuf,
    enter: Vec<OsString>,
    model: Model,
    power: Mutex<Power>,
}

#[derive(Debug, Default)]
struct Power {
    /// The `nsenter` that waits for QEMU.
    process: Option<Child>,
    agent: Option<Arc<Agent>>,
    paused: bool,
}

impl Power {
    fn on(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }
}

impl Machine {
    pub(crate) fn new(index: usize, dir: &Path, enter: Vec<OsString>, model: Model) -> Machine {
        let (name, dir) = (format!("n{index}"), dir.to_owned());
        Machine {
            index,
            name,
            dir,
            enter,
            model,
            power: Mutex::default(),
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// One of the machine's files: `root`, `a`, `b` (disks), `qmp`, `agent`, `console`, `err`.
    pub(crate) fn file(&self, kind: &str) -> PathBuf {
        self.dir.join(format!("{}.{kind}", self.name))
    }

    /// The system's disk, as changes over `backing`, and two empty ones.
    pub(crate) fn make_disks(&self, backing: &Path, format: &str) -> Result<()> {
        let output = command(&[], "qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", format, "-b"])
            .args([backing, &self.file("root")])
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "qemu-img create: {said}");
        for disk in ["a", "b"] {
            File::create(self.file(disk))?.set_len(DATA_DISK_BYTES)?;
        }
        Ok(())
    }

    pub(crate) fn on(&self) -> bool {
        lock(&self.power).on()
    }

    /// Starts QEMU, from the saved `state` if there is one; then the machine is paused.
    pub(crate) fn power_on(&self, state: Option<&Path>) -> Result<()> {
        let mut power = lock(&self.power);
        ensure!(!power.on(), "{} is on already", self.name);
        self.take_away(&mut power)?;
        for socket in ["qmp", "agent"] {
            let _ = fs::remove_file(self.file(socket));
        }
        let errors = File::options()
            .create(true)
            .append(true)
            .open(self.file("err"))?;
        let mut qemu = command(&self.enter, "qemu-system-x86_64");
        qemu.args(&self.model).args(self.arguments());
        if let Some(state) = state {
            qemu.arg("-incoming")
                .arg(format!("file:{}", state.display()));
        }
        qemu.stdin(Stdio::null())
            .stdout(errors.try_clone()?)
            .stderr(errors);
        power.process = Some(qemu.spawn().context("nsenter")?);
        Ok(())
    }

    /// What is this machine's own.
    fn arguments(&self) -> Vec<String> {
        let file = |kind| self.file(kind).display().to_string();
        let index = self.index;
        let mut arguments = vec![
            "-name".to_owned(),
            self.name.clone(),
            "-serial".to_owned(),
            format!("file:{}", file("console")),
            "-qmp".to_owned(),
            format!("unix:{},server=on,wait=off", file("qmp")),
            "-chardev".to_owned(),
            format!("socket,id=agent,path={},server=on,wait=off", file("agent")),
            "-netdev".to_owned(),
            format!("tap,id=net,ifname=t{index},script=no,downscript=no"),
        ];
        let devices = [
            "virtio-serial-pci".to_owned(),
            "virtserialport,chardev=agent,name=agent".to_owned(),
            format!("virtio-net-pci,netdev=net,romfile=,mac=52:54:00:99:00:{index:02x}"),
            "virtio-rng-pci".to_owned(),
        ];
        arguments.extend(
            devices
                .into_iter()
                .flat_map(|device| ["-device".to_owned(), device]),
        );
        let disks = [
            ("root", "qcow2", "system"),
            ("a", "raw", "data-a"),
            ("b", "raw", "data-b"),
        ];
        for (id, format, serial) in disks {
            let path = file(id);
            arguments.extend([
                "-drive".to_owned(),
                format!("file={path},format={format},if=none,id=d{id},cache=unsafe"),
                "-device".to_owned(),
                format!("virtio-blk-pci,drive=d{id},serial={serial}"),
            ]);
        }
        arguments
    }

    /// Waits until the agent answers. It is asked again and again: what is sent before the machine
    /// opens its port may be lost.
    pub(crate) fn wait_agent(&self, limit: Duration) -> Result<()> {
        let begin = Instant::now();
        wait_until("the agent can be asked", limit, || match self.connect() {
            Ok(()) => Some(Ok(())),
            Err(error) => (!self.on()).then_some(Err(error)),
        })?
        .with_context(|| self.last_words())?;
        while begin.elapsed() < limit {
            let asked = self
                .agent()?
                .send("run", &[b"true"], seconds(MONITOR_LIMIT_S));
            if asked
                .and_then(|answer| answer.wait(seconds(AGENT_RETRY_S)))
                .is_ok()
            {
                return Ok(());
            }
        }
        bail!(
            "{} did not come up in {} s. {}",
            self.name,
            limit.as_secs(),
            self.last_words()
        )
    }

    fn connect(&self) -> Result<()> {
        let agent = Agent::connect(&self.file("agent"))?;
        lock(&self.power).agent = Some(Arc::new(agent));
        Ok(())
    }

    /// Lets go of the agent's port, as before a state is saved.
    pub(crate) fn disconnect(&self) {
        lock(&self.power).agent = None;
    }

    /// Waits for the agent, then makes the machine the one with its number among `nodes`.
    pub(crate) fn settle(&self, nodes: usize, limit: Duration) -> Result<()> {
        self.wait_agent(limit)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let script = format!("vmident {} {nodes} {now:.2} {}", self.index, random_hex()?);
        let output = self.run(&script, None, seconds(IDENTITY_LIMIT_S))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status == 0,
            "{}: vmident: status {}: {said}",
            self.name,
            output.status
        );
        Ok(())
    }

    /// Starts the machine from a saved state and lets it run.
    pub(crate) fn restore(&self, state: &Path, nodes: usize) -> Result<()> {
        let limit = seconds(RESTORE_LIMIT_S);
        self.power_on(Some(state))?;
        let loaded = wait_until("the saved state is loaded", limit, || {
            let status = self.qmp("query-status", json!({})).ok();
            let status = status.as_ref().and_then(|status| status.get("status"));
            let paused = status.and_then(Value::as_str) == Some("paused");
            (paused || !self.on()).then_some(paused)
        });
        ensure!(
            loaded?,
            "{} did not come up. {}",
            self.name,
            self.last_words()
        );
        self.qmp("cont", json!({}))?;
        self.settle(nodes, limit)
    }

    pub(crate) fn agent(&self) -> Result<Arc<Agent>> {
        let mut power = lock(&self.power);
        if !power.on() {
            let last_words = self.last_words();
            bail!("{} is off: boot() it first. {last_words}", self.name);
        }
        ensure!(!power.paused, "{} is paused: resume() it first", self.name);
        power
            .agent
            .clone()
            .with_context(|| format!("{}'s agent isn't connected", self.name))
    }

    pub(crate) fn run(&self, script: &str, stdin: Option<&str>, limit: Duration) -> Result<Output> {
        self.agent()?
            .run(script, stdin, limit)
            .with_context(|| format!("{}: {script}", self.name))
    }

    pub(crate) fn qmp(&self, command: &str, arguments: Value) -> Result<Value> {
        qmp(&self.file("qmp"), command, arguments).with_context(|| self.name.clone())
    }

    /// Stops the processors, or lets them go on.
    pub(crate) fn set_paused(&self, paused: bool) -> Result<()> {
        self.qmp(if paused { "stop" } else { "cont" }, json!({}))?;
        lock(&self.power).paused = paused;
        Ok(())
    }

    /// Ends QEMU at once.
    pub(crate) fn power_cut(&self) -> Result<()> {
        self.take_away(&mut lock(&self.power))
    }

    /// Waits until the machine has gone off by itself.
    pub(crate) fn wait_off(&self, limit: Duration) -> Result<()> {
        wait_until(&format!("{} is off", self.name), limit, || !self.on())?;
        self.power_cut()
    }

    fn take_away(&self, power: &mut Power) -> Result<()> {
        if let Some(process) = power.process.as_mut() {
            end_below(process).with_context(|| format!("ending QEMU of {}", self.name))?;
        }
        if let Some(agent) = power.agent.take() {
            agent.close();
        }
        *power = Power::default();
        Ok(())
    }

    /// What QEMU and the console said last.
    fn last_words(&self) -> String {
        let tail = |kind| {
            let bytes = fs::read(self.file(kind)).unwrap_or_default();
            let from = bytes.len().saturating_sub(CONSOLE_TAIL_BYTES);
            String::from_utf8_lossy(bytes.get(from..).unwrap_or_default())
                .trim()
                .to_owned()
        };
        format!("QEMU: {:?}; console: {:?}", tail("err"), tail("console"))
    }
}

/// Kills what runs below `parent`, which waits for it, and waits for `parent`: then it is certain
/// that the machine's disks are free.
fn end_below(parent: &mut Child) -> Result<()> {
    let id = parent.id();
    wait_until("it has ended", seconds(AGENT_SILENCE_S), || {
        if matches!(parent.try_wait(), Ok(Some(_))) {
            return true;
        }
        let below = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        for pid in below.unwrap_or_default().split_whitespace() {
            if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                // It may have ended just now.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        false
    })
}

/// 32 random bytes, as hexadecimal digits: entropy for a machine that shares its state with others.
fn random_hex() -> Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
