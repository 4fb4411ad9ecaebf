//! A daemon under test and its command line.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use cairn_bed::{Output, Place, Running, seconds, wait_until};
use serde_json::Value;
use tempfile::TempDir;

/// How long one command may take.
const COMMAND_LIMIT_S: u64 = 120;
/// How long the daemon may take to answer after its start; plugins are compiled then.
const START_LIMIT_S: u64 = 120;

/// Where the daemon's files are in its place.
#[derive(Debug, Clone)]
struct Files {
    binary: PathBuf,
    plugins: PathBuf,
    data: PathBuf,
}

/// A daemon with a data folder of its own; it ends with this.
pub struct Daemon {
    place: Place,
    files: Files,
    running: Mutex<Option<Running>>,
    /// The data folder, where that is of this machine.
    _data: Option<TempDir>,
}

/// An exchange over a unix socket, with what every place has.
const ASK: &str = r#"import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(f"GET {sys.argv[2]} HTTP/1.0\r\nHost: cairn\r\n\r\n".encode())
sys.stdout.buffer.write(b"".join(iter(lambda: s.recv(65536), b"")))"#;

/// How a command ended, and the document it printed.
#[derive(Debug)]
pub struct Said {
    /// The exit code.
    pub status: i32,
    /// What it printed; null for nothing.
    pub json: Value,
}

impl Daemon {
    /// Starts a daemon in a place that has this machine's files.
    ///
    /// # Errors
    /// With its log where it doesn't answer in time.
    pub fn start(place: &Place) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("cairn-test-").tempdir()?;
        let files = Files {
            binary: binary()?,
            plugins: plugins()?,
            data: data.path().to_owned(),
        };
        Self::begin(place, files, Some(data))
    }

    /// Copies the daemon and a plugin into a place that has files of its own, and starts it there.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_far(place: &Place, plugin: &str) -> Result<Self> {
        let files = Files {
            binary: "/opt/cairn/cairn".into(),
            plugins: "/opt/cairn".into(),
            data: "/var/lib/cairn".into(),
        };
        place.sh("mkdir -p /opt/cairn /var/lib/cairn")?;
        // Without what only a debugger reads it is half as large.
        let small = tempfile::NamedTempFile::new()?;
        Place::local().sh(&format!(
            "strip -o {0} {1} || cp {1} {0}; chmod 755 {0}",
            small.path().display(),
            binary()?.display()
        ))?;
        place.put(small.path(), &files.binary)?;
        place.put(plugins()?.join(plugin), files.plugins.join(plugin))?;
        Self::begin(place, files, None)
    }

    fn begin(place: &Place, files: Files, data: Option<TempDir>) -> Result<Self> {
        let daemon = Self {
            place: place.clone(),
            files,
            running: Mutex::default(),
            _data: data,
        };
        daemon.boot()?;
        Ok(daemon)
    }

    /// Starts the daemon again on the same data folder, after [`Daemon::kill`].
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn boot(&self) -> Result<()> {
        self.boot_under("")
    }

    /// [`Daemon::boot`] as what these words run: `unshare -m`.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn boot_under(&self, words: &str) -> Result<()> {
        let script = format!(
            "exec {words} {} --data {} serve --port 0 --node n1",
            self.files.binary.display(),
            self.files.data.display()
        );
        *self.running() = Some(self.place.start(&script, self.log_file())?);
        let ready = wait_until("the daemon answers", seconds(START_LIMIT_S), || {
            let said = self.cairn("plugin list").ok()?;
            (said.status == 0).then_some(())
        });
        ready.with_context(|| self.log())
    }

    /// Ends the daemon as a power cut would: at once.
    pub fn kill(&self) {
        *self.running() = None;
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_file(&self) -> PathBuf {
        self.files.data.join("log")
    }

    /// Asks the API for what the command line has no command for: a path below `/api/v1/`.
    ///
    /// # Errors
    /// Where the answer is no document.
    pub fn get(&self, path: &str) -> Result<Value> {
        let socket = self.files.data.join("cairn.sock");
        let answer = self.place.sh(&format!(
            "python3 -c '{ASK}' {} /api/v1/{path}",
            socket.display()
        ))?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        serde_json::from_str(body).with_context(|| answer.clone())
    }

    /// Runs `cairn ARGUMENTS --json` against the daemon.
    ///
    /// # Errors
    /// Where it prints anything but one document.
    pub fn cairn(&self, arguments: &str) -> Result<Said> {
        let script = format!(
            "{} --json --data {} {arguments} </dev/null",
            self.files.binary.display(),
            self.files.data.display()
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
        let path = self.files.plugins.join(file);
        let path = path.display();
        // This machine looks at it, in the command's own process: a far place compiles for longer.
        let local = plugins()?.join(file);
        let script = format!(
            "{} --json plugin inspect {}",
            binary()?.display(),
            local.display()
        );
        let asks: Value = serde_json::from_str(&Place::local().sh(&script)?)?;
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
        let bytes = self.place.read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its data folder, in its place.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.files.data
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
