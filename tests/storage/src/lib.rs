//! A daemon under test and its command line. Needs `CAIRN_BIN` (the `cairn` binary) and `CAIRN_PLUGINS`
//! (the folder of built plugins), which `./x test` sets.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use cairn_bed::{Output, Place, Running, seconds, wait_until};
use serde_json::Value;
use tempfile::TempDir;

/// How long one command may take.
const COMMAND_LIMIT_S: u64 = 120;
/// How long the daemon may take to answer after its start; plugins are compiled then.
const START_LIMIT_S: u64 = 120;

/// A daemon with a data folder of its own; it ends with this.
pub struct Daemon {
    place: Place,
    data: TempDir,
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

impl Daemon {
    /// Starts a daemon in a place.
    ///
    /// # Errors
    /// With its log where it doesn't answer in time.
    pub fn start(place: &Place) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("cairn-test-").tempdir()?;
        let mut daemon = Self {
            place: place.clone(),
            data,
            running: None,
        };
        daemon.boot()?;
        Ok(daemon)
    }

    /// Starts the daemon again on the same data folder, after [`Daemon::kill`].
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn boot(&mut self) -> Result<()> {
        let data = self.data.path().display();
        let script = format!(
            "exec {} --data {data} serve --port 0 --node n1",
            binary()?.display()
        );
        let log = self.data.path().join("log");
        self.running = Some(self.place.start(&script, &log)?);
        let ready = wait_until("the daemon answers", seconds(START_LIMIT_S), || {
            let said = self.cairn("plugin list").ok()?;
            (said.status == 0).then_some(())
        });
        ready.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())
    }

    /// Ends the daemon as a power cut would: at once.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Runs `cairn ARGUMENTS --json` against the daemon.
    ///
    /// # Errors
    /// Where it prints anything but one document.
    pub fn cairn(&self, arguments: &str) -> Result<Said> {
        let data = self.data.path().display();
        let script = format!(
            "{} --json --data {data} {arguments} </dev/null",
            binary()?.display()
        );
        let output: Output = self.place.run(&script, seconds(COMMAND_LIMIT_S))?;
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
            bail!("cairn {arguments}: exit {}: {}", said.status, said.json);
        }
        Ok(said.json)
    }

    /// Runs a command that must fail with this exit code and problem code; gives the problem.
    ///
    /// # Errors
    /// Where it succeeds or fails otherwise.
    pub fn refused(&self, arguments: &str, status: i32, code: &str) -> Result<Value> {
        let said = self.cairn(arguments)?;
        let found = said
            .json
            .get("code")
            .and_then(Value::as_str)
            .unwrap_or_default();
        ensure!(
            said.status == status && found == code,
            "cairn {arguments}: expected exit {status} `{code}`, got {} {}",
            said.status,
            said.json
        );
        Ok(said.json)
    }

    /// Installs a built plugin with all it asks for.
    ///
    /// # Errors
    /// As [`Daemon::ok`].
    pub fn install(&self, file: &str) -> Result<Value> {
        let path = plugins()?.join(file);
        let path = path.display();
        let asks = self.ok(&format!("plugin inspect {path}"))?;
        let mut grants = String::new();
        for (kind, key) in [
            ("commands", "command"),
            ("files", "directory"),
            ("http", "host"),
            ("secrets", "name"),
        ] {
            let prefix = kind.trim_end_matches('s').replace("file", "files");
            for ask in asks
                .pointer(&format!("/asks/{kind}"))
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let name = ask.get(key).and_then(Value::as_str).unwrap_or_default();
                grants.push_str(&format!(" --grant '{prefix}:{name}'"));
            }
        }
        self.ok(&format!("plugin install {path}{grants}"))
    }

    /// What the daemon has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join("log")).unwrap_or_default()
    }

    /// Its data folder, in its place.
    #[must_use]
    pub fn data(&self) -> &std::path::Path {
        self.data.path()
    }

    /// Where it runs.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }
}

fn binary() -> Result<PathBuf> {
    Ok(std::env::var_os("CAIRN_BIN")
        .context("CAIRN_BIN is not set: run this by `./x test plugins`")?
        .into())
}

/// The folder of built plugins.
///
/// # Errors
/// Where `CAIRN_PLUGINS` isn't set.
pub fn plugins() -> Result<PathBuf> {
    let dir = std::env::var_os("CAIRN_PLUGINS");
    Ok(dir
        .context("CAIRN_PLUGINS is not set: run this by `./x test plugins`")?
        .into())
}
