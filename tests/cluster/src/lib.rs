//! Clusters under test: real daemons in networks of their own. Needs root, `CAIRN_BIN` (the `cairn` binary)
//! and `CAIRN_PLUGINS`, which `./x test` sets.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cairn_bed::{Lan, Place, Running, Signal, seconds, wait_until};
use serde_json::Value;
use tempfile::TempDir;

/// How long one command may take.
const COMMAND_LIMIT_S: u64 = 120;
/// How long anything that is waited for may take.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// One daemon, a node's or a witness's, with its data folder.
pub struct Member {
    /// Its name.
    pub name: String,
    place: Place,
    data: TempDir,
    serve: String,
    running: Option<Running>,
}

/// How a command ended, and the document it printed.
#[derive(Debug)]
pub struct Said {
    /// The exit code.
    pub status: i32,
    /// What it printed; null for nothing.
    pub json: Value,
}

impl Member {
    /// Starts a node's daemon in a place of the LAN, on both of its addresses.
    ///
    /// # Errors
    /// With its log where it doesn't answer in time.
    pub fn node(lan: &Lan, number: u8) -> Result<Self> {
        let addresses = format!(
            "--address {} --address {}",
            lan.address(number, 0),
            lan.address(number, 1)
        );
        let name = format!("n{number}");
        Self::start(
            lan.place(number),
            &name,
            format!("serve --node {name} {addresses}"),
        )
    }

    /// Starts a witness.
    ///
    /// # Errors
    /// As [`Member::node`].
    pub fn witness(lan: &Lan, number: u8) -> Result<Self> {
        let addresses = format!(
            "--address {} --address {}",
            lan.address(number, 0),
            lan.address(number, 1)
        );
        let name = format!("w{number}");
        Self::start(
            lan.place(number),
            &name,
            format!("witness serve --name {name} {addresses}"),
        )
    }

    /// Starts a daemon with these words.
    ///
    /// # Errors
    /// As [`Member::node`].
    pub fn start(place: Place, name: &str, serve: String) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("cairn-test-").tempdir()?;
        let mut member = Self {
            name: name.to_owned(),
            place,
            data,
            serve,
            running: None,
        };
        member.boot()?;
        Ok(member)
    }

    /// Starts it again on the same data folder.
    ///
    /// # Errors
    /// With its log where it doesn't answer in time.
    pub fn boot(&mut self) -> Result<()> {
        let data = self.data.path().display();
        let script = format!("exec {} --data {data} {}", binary()?.display(), self.serve);
        self.running = Some(self.place.start(&script, self.data.path().join("log"))?);
        let look = if self.serve.starts_with("witness") {
            "witness status"
        } else {
            "cluster status"
        };
        let ready = wait_until("the daemon answers", PATIENCE, || {
            let said = self.cairn(look).ok()?;
            (said.status == 0).then_some(())
        });
        ready.with_context(|| self.log())
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Does it run?
    #[must_use]
    pub fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Stops or continues it with a signal.
    ///
    /// # Errors
    /// Where it doesn't run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.running
            .as_ref()
            .context("it doesn't run")?
            .kill(signal)
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.data.path().to_owned()
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join("log")).unwrap_or_default()
    }

    /// Runs `cairn ARGUMENTS --json` against it.
    ///
    /// # Errors
    /// Where it prints anything but one document.
    pub fn cairn(&self, arguments: &str) -> Result<Said> {
        let data = self.data.path().display();
        let script = format!(
            "{} --json --data {data} {arguments} </dev/null",
            binary()?.display()
        );
        let output = self.place.run(&script, seconds(COMMAND_LIMIT_S))?;
        let text = String::from_utf8(output.stdout)?;
        let json = match text.trim() {
            "" => Value::Null,
            text => {
                serde_json::from_str(text).with_context(|| format!("not one document: {text}"))?
            }
        };
        Ok(Said {
            status: output.status,
            json,
        })
    }

    /// Runs a command that must succeed, and gives its document.
    ///
    /// # Errors
    /// With the problem it printed.
    pub fn ok(&self, arguments: &str) -> Result<Value> {
        let said = self.cairn(arguments)?;
        if said.status != 0 {
            bail!(
                "{}: cairn {arguments}: exit {}: {}\n{}",
                self.name,
                said.status,
                said.json,
                tail(&self.log())
            );
        }
        Ok(said.json)
    }

    /// Runs a command that must fail with this exit code; gives the problem.
    ///
    /// # Errors
    /// Where it succeeds or fails otherwise.
    pub fn refused(&self, arguments: &str, status: i32) -> Result<Value> {
        let said = self.cairn(arguments)?;
        ensure!(
            said.status == status,
            "{}: cairn {arguments}: expected exit {status}, got {} {}",
            self.name,
            said.status,
            said.json
        );
        Ok(said.json)
    }

    /// Sets a record below `notes/`.
    ///
    /// # Errors
    /// As [`Member::ok`].
    pub fn note(&self, name: &str, value: &str) -> Result<Value> {
        self.ok(&format!("config set notes/{name} '\"{value}\"'"))
    }

    /// A record below `notes/`, after everything that was committed.
    ///
    /// # Errors
    /// As [`Member::ok`].
    pub fn noted(&self, name: &str) -> Result<String> {
        let record = self.ok(&format!("config get notes/{name}"))?;
        Ok(record
            .pointer("/value")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned())
    }

    /// The cluster as it sees it.
    ///
    /// # Errors
    /// As [`Member::ok`].
    pub fn status(&self) -> Result<Value> {
        self.ok("cluster status")
    }

    /// Waits until its view of the cluster is so.
    ///
    /// # Errors
    /// With its last view where it never is.
    pub fn sees(&self, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let seen = wait_until(what, PATIENCE, || {
            last = self.status().ok()?;
            is(&last).then(|| last.clone())
        });
        seen.with_context(|| format!("{} sees {last:#}\n{}", self.name, tail(&self.log())))
    }

    /// Lets another node in.
    ///
    /// # Errors
    /// As [`Member::ok`].
    pub fn admit(&self, other: &Self) -> Result<()> {
        let token = self.ok("cluster token")?;
        let token = token
            .pointer("/token")
            .and_then(Value::as_str)
            .context("no token")?;
        other.ok(&format!("cluster join {token}")).map(drop)
    }

    /// Adds a witness.
    ///
    /// # Errors
    /// As [`Member::ok`].
    pub fn add_witness(&self, witness: &Self) -> Result<()> {
        let token = witness.ok("witness token")?;
        let token = token
            .pointer("/token")
            .and_then(Value::as_str)
            .context("no token")?;
        self.ok(&format!("cluster witness add {token}")).map(drop)
    }
}

/// A cluster of nodes 1 to `count`, all voting.
///
/// # Errors
/// Where one doesn't start or join.
pub fn cluster(lan: &Lan, count: u8) -> Result<Vec<Member>> {
    let mut members = vec![Member::node(lan, 1)?];
    let first = members.first().context("no node")?;
    first.ok("cluster create test")?;
    let others = (2..=count).map(|number| {
        let other = Member::node(lan, number)?;
        first.admit(&other)?;
        Ok(other)
    });
    let others: Vec<Member> = others.collect::<Result<_>>()?;
    members.extend(others);
    for member in &members {
        member.sees("all vote and are here", |s| {
            votes(s, "expected") == u64::from(count) && votes(s, "total") == u64::from(count)
        })?;
    }
    Ok(members)
}

/// A number of the votes: `expected`, `total` or `quorum`.
#[must_use]
pub fn votes(status: &Value, what: &str) -> u64 {
    status
        .pointer(&format!("/votes/{what}"))
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

/// Is it quorate?
#[must_use]
pub fn quorate(status: &Value) -> bool {
    status.get("quorate").and_then(Value::as_bool) == Some(true)
}

fn binary() -> Result<PathBuf> {
    let path = std::env::var_os("CAIRN_BIN");
    Ok(path
        .context("CAIRN_BIN is not set: run this by `./x test cluster`")?
        .into())
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines
        .get(lines.len().saturating_sub(30)..)
        .unwrap_or_default()
        .join("\n")
}
