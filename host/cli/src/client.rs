//! Requests to a daemon: over the socket in its data folder, or HTTPS with a token.

use std::path::PathBuf;
use std::time::Duration;

use cairn_api::Problem;
use cairn_core::{Code, Error};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde_json::Value;

use crate::arguments::Arguments;

/// Copies of whole volumes take long; the daemon bounds its calls itself.
const TIMEOUT: Duration = Duration::from_secs(4 * 3600);
/// A watch ends when its user ends it.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    /// The socket, if that is the way.
    socket: Option<PathBuf>,
}

/// Lines as they come.
pub(crate) struct Lines<'a> {
    client: &'a Client,
    response: Response,
    begun: Vec<u8>,
}

impl Lines<'_> {
    /// The next line; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Error> {
        loop {
            if let Some(end) = self.begun.iter().position(|b| *b == b'\n') {
                let rest = self.begun.split_off(end + 1);
                let line = std::mem::replace(&mut self.begun, rest);
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            match self
                .response
                .chunk()
                .await
                .map_err(|e| self.client.unreachable(&e))?
            {
                Some(piece) => self.begun.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }
}

impl Client {
    pub(crate) fn new(arguments: &Arguments) -> Result<Self, Error> {
        // Installed once a process.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy();
        let (base, socket) = match &arguments.server {
            Some(url) => {
                if !url.starts_with("https://") {
                    // The token would be sent in the clear.
                    return Err(Error::invalid("server", "write it as https://HOST:8006"));
                }
                if let Some(path) = &arguments.ca {
                    builder = builder.tls_certs_only([certificate(path)?]);
                }
                (url.trim_end_matches('/').to_owned(), None)
            }
            None => {
                let socket = arguments.data.join("cairn.sock");
                // Nothing is asked by HTTPS: a machine without CA certificates is fine.
                builder = builder.unix_socket(socket.clone()).tls_certs_only([]);
                ("http://cairn".to_owned(), Some(socket))
            }
        };
        let http = builder.build().map_err(|e| no_client(&e))?;
        Ok(Self {
            http,
            base,
            token: arguments.token.clone(),
            socket,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Error> {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Error> {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, Error> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &impl Serialize) -> Result<Value, Error> {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &impl Serialize) -> Result<Value, Error> {
        self.send(self.request(Method::PATCH, path).json(body))
            .await
    }

    /// Uploads a component, with its signature and grants.
    pub(crate) async fn upload(
        &self,
        path: &str,
        component: Vec<u8>,
        minisig: Option<&str>,
        grants: &[String],
    ) -> Result<Value, Error> {
        use base64::Engine;
        let query: Vec<(&str, &str)> = grants.iter().map(|g| ("grant", g.as_str())).collect();
        let mut request = self
            .request(Method::POST, path)
            .query(&query)
            .header("content-type", "application/wasm")
            .body(component);
        if let Some(minisig) = minisig {
            let encoded = base64::prelude::BASE64_STANDARD.encode(minisig);
            request = request.header("x-cairn-signature", encoded);
        }
        self.send(request).await
    }

    /// The lines of an answer that goes on.
    pub(crate) async fn lines(&self, path: &str) -> Result<Lines<'_>, Error> {
        let request = self.request(Method::GET, path).timeout(FOREVER);
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(problem(response).await);
        }
        Ok(Lines {
            client: self,
            response,
            begun: Vec::new(),
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}/api/v1/{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, Error> {
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        if response.status().is_success() {
            let body = response.bytes().await.map_err(|e| self.unreachable(&e))?;
            if body.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&body)
                .map_err(|e| Error::internal(format!("the daemon's answer can't be read: {e}")));
        }
        Err(problem(response).await)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let cause = root_cause(error);
        let place = match &self.socket {
            Some(socket) => socket.display().to_string(),
            None => self.base.clone(),
        };
        let sentence = if !error.is_connect() {
            format!(
                "the daemon at {place} went away before it answered ({cause}); what was asked may be done or not: \
                 look, and ask again"
            )
        } else if self.socket.is_some() && cause.contains("Permission denied") {
            format!(
                "this user may not use {place}: run this as the daemon's user (root), or use --server and --token"
            )
        } else if self.socket.is_some() {
            format!(
                "no daemon answers at {place}: start one with `cairn serve`, or name its data folder with --data"
            )
        } else if cause.contains("certificate") {
            format!(
                "{place} has another certificate than expected ({cause}): is --ca the `ca.pem` of that daemon's data folder?"
            )
        } else {
            format!("no daemon answers at {place}: {cause}")
        };
        Error::new(Code::Unavailable, sentence)
    }
}

async fn problem(response: Response) -> Error {
    let status = response.status();
    match response.json::<Problem>().await {
        Ok(problem) => problem.into(),
        Err(_) => Error::internal(format!(
            "what answers is no Cairn daemon, or of another version: it said {status}"
        )),
    }
}

fn no_client(error: &dyn std::error::Error) -> Error {
    Error::internal(format!(
        "no HTTPS client: {}; give the server's certificate with --ca FILE, or install ca-certificates",
        root_cause(error)
    ))
}

fn certificate(path: &PathBuf) -> Result<reqwest::Certificate, Error> {
    let wrong = |e: String| Error::invalid("ca", format!("{} can't be used: {e}", path.display()));
    let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    reqwest::Certificate::from_pem(&pem).map_err(|e| wrong(e.to_string()))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A name as a segment of a path. Names are checked, so this is only for tags and types.
pub(crate) fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:".contains(&b);
    text.bytes()
        .map(|b| {
            if plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}
