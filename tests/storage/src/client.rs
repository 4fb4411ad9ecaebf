//! The command line as tests run it: beside the daemon, or here with the daemon on another machine.

use std::path::Path;

use anyhow::{Context as _, Result};
use cairn_bed::{Place, seconds, wait_until};
use serde_json::Value;
use tempfile::NamedTempFile;

/// How long one command may take.
const COMMAND_LIMIT_S: u64 = 120;
/// How long a daemon may take until it has a token and a certificate.
const FILES_LIMIT_S: u64 = 120;
/// Where a daemon's data folder has the certificate that its own can be checked by; the first that is there.
const CERTIFICATES: [&str; 2] = ["ca.pem", "tls/cert.pem"];

/// How a command ended, and the document it printed.
#[derive(Debug)]
pub struct Said {
    /// The exit code.
    pub status: i32,
    /// What it printed; null for nothing.
    pub json: Value,
}

/// The command line of one daemon.
pub(crate) struct Client {
    place: Place,
    /// The program, and the options that say where the daemon is.
    words: String,
    _certificate: Option<NamedTempFile>,
}

impl Client {
    /// Runs in the daemon's place and asks over its socket.
    pub(crate) fn beside(place: &Place, binary: &Path, data: &Path) -> Self {
        Self {
            place: place.clone(),
            words: format!("{} --data {}", binary.display(), data.display()),
            _certificate: None,
        }
    }

    /// Runs on this machine and asks over HTTPS, by `port` of 127.0.0.1, a daemon that is just starting in a
    /// place with an empty data folder.
    pub(crate) fn across(place: &Place, binary: &Path, data: &Path, port: u16) -> Result<Self> {
        wait_until("the daemon listens", seconds(FILES_LIMIT_S), || {
            place.read(data.join("listen")).ok().map(drop)
        })?;
        let token = String::from_utf8(place.read(data.join("token"))?)?;
        let mut certificates = CERTIFICATES.iter().map(|name| place.read(data.join(name)));
        let pem = certificates
            .find_map(Result::ok)
            .context("no certificate in the daemon's data folder")?;
        let certificate = NamedTempFile::new()?;
        std::fs::write(certificate.path(), pem)?;
        let words = format!(
            "{} --server https://127.0.0.1:{port} --token '{}' --ca {}",
            binary.display(),
            token.trim(),
            certificate.path().display()
        );
        Ok(Self {
            place: Place::local(),
            words,
            _certificate: Some(certificate),
        })
    }

    /// Runs `cairn ARGUMENTS --json`.
    pub(crate) fn run(&self, arguments: &str) -> Result<Said> {
        let script = format!("{} --json {arguments} </dev/null", self.words);
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
}
