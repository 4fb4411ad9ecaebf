//! A daemon under test and its command line.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use cairn_bed::{Bed, Place, Running, seconds, wait_until};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, Said};

/// How long the daemon may take to answer after its start; plugins are compiled then.
const START_LIMIT_S: u64 = 120;
/// Where a daemon on a machine of its own serves HTTPS.
const FAR_PORT: u16 = 8006;

/// Where the daemon's files are in its place, and where it serves HTTPS.
#[derive(Debug, Clone)]
struct Files {
    binary: PathBuf,
    data: PathBuf,
    serve: String,
}

/// A daemon with a data folder of its own; it ends with this.
pub struct Daemon {
    place: Place,
    files: Files,
    client: Client,
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

impl Daemon {
    /// Starts a daemon in a place that has this machine's files.
    ///
    /// # Errors
    /// With its log where it doesn't answer in time.
    pub fn start(place: &Place) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("cairn-test-").tempdir()?;
        let files = Files {
            binary: binary()?,
            data: data.path().to_owned(),
            serve: "--port 0".to_owned(),
        };
        let daemon = Self {
            client: Client::beside(place, &files.binary, &files.data),
            place: place.clone(),
            running: Mutex::default(),
            files,
            _data: Some(data),
        };
        daemon.boot()?;
        Ok(daemon)
    }

    /// Copies the daemon to a machine of the bed and starts it there. Its command line runs here, where it is
    /// some twenty times faster.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_far(bed: &Bed, machine: usize) -> Result<Self> {
        let place = bed.node(machine).place();
        let files = Files {
            binary: "/opt/cairn/cairn".into(),
            data: "/var/lib/cairn".into(),
            serve: format!("--address 0.0.0.0 --port {FAR_PORT}"),
        };
        place.sh("mkdir -p /opt/cairn /var/lib/cairn")?;
        put_stripped(&place, &files.binary)?;
        let running = files.start(&place, "")?;
        let port = bed.forward(machine, FAR_PORT)?;
        let client = Client::across(&place, &binary()?, &files.data, port)
            .with_context(|| files.log(&place))?;
        let daemon = Self {
            client,
            place,
            running: Mutex::new(Some(running)),
            files,
            _data: None,
        };
        daemon.answers()?;
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
        *self.running() = Some(self.files.start(&self.place, words)?);
        self.answers()
    }

    fn answers(&self) -> Result<()> {
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
        self.client.run(arguments)
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
        self.files.log(&self.place)
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

impl Files {
    /// Starts the daemon as what these words run.
    fn start(&self, place: &Place, words: &str) -> Result<Running> {
        let script = format!(
            "exec {words} {} --data {} serve {} --node n1",
            self.binary.display(),
            self.data.display(),
            self.serve
        );
        place.start(&script, self.data.join("log"))
    }

    fn log(&self, place: &Place) -> String {
        let bytes = place.read(self.data.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Copies the daemon without what only a debugger reads: it is half as large so.
fn put_stripped(place: &Place, to: &Path) -> Result<()> {
    let small = tempfile::NamedTempFile::new()?;
    Place::local().sh(&format!(
        "strip -o {0} {1} || cp {1} {0}; chmod 755 {0}",
        small.path().display(),
        binary()?.display()
    ))?;
    place.put(small.path(), to)
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
