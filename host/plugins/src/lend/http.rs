//! `cairn:host/http`: one exchange with a granted server. Redirects are not followed: they would
//! lead past the grant.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::Error;
use futures::StreamExt;
use reqwest::{ClientBuilder, Method, RequestBuilder, Url};

use crate::bindings::cairn::host::http::{Host, HttpError, Request, Response};
use crate::limits::{HEADROOM, HTTP_MAX_BYTES};
use crate::state::{Binding, CallState};
use crate::text::clipped;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What makes the exchanges of all plugins. A machine without CA certificates has one, too: it refuses
/// HTTPS, as it could trust no server.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    client: reqwest::Client,
    /// Why no server can be trusted, for the plugin's error.
    untrusting: Option<Arc<str>>,
}

impl HttpClient {
    /// With the machine's CA certificates, where it has some.
    pub(crate) fn new() -> Result<Self, Error> {
        // Installed once a process; a second time is refused, and the first stays.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Self::from(builder().build())
    }

    /// `built` may have failed for want of CA certificates.
    fn from(built: reqwest::Result<reqwest::Client>) -> Result<Self, Error> {
        let why = match built {
            Ok(client) => {
                return Ok(Self {
                    client,
                    untrusting: None,
                });
            }
            Err(e) => causes(&e),
        };
        let client = builder()
            .tls_certs_only([])
            .build()
            .map_err(|e| Error::internal(format!("no HTTP client for plugins: {}", causes(&e))))?;
        tracing::warn!("plugins can't use HTTPS: {why}");
        Ok(Self {
            client,
            untrusting: Some(why.into()),
        })
    }

    fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, HttpError> {
        match &self.untrusting {
            Some(why) if url.scheme() == "https" => Err(HttpError::Failed(format!(
                "this node can't use HTTPS, as it can trust no server ({why}); install CA certificates \
                 (Debian's package is ca-certificates) and restart the daemon"
            ))),
            _ => Ok(self.client.request(method, url)),
        }
    }
}

fn builder() -> ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
}

/// The error with what it came of, which its own text leaves out.
fn causes(error: &dyn std::error::Error) -> String {
    let first = Some(error);
    let chain = std::iter::successors(first, |error| error.source());
    let texts: Vec<String> = chain.map(ToString::to_string).collect();
    texts.join(": ")
}
/// Headers that the host alone sets.
const HOSTS_OWN: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "proxy-connection",
];

impl Host for CallState {
    async fn fetch(&mut self, request: Request) -> wasmtime::Result<Result<Response, HttpError>> {
        let limit = self.remaining().saturating_sub(HEADROOM);
        let limit = match request.timeout_ms {
            0 => limit,
            ms => limit.min(Duration::from_millis(u64::from(ms))),
        };
        match tokio::time::timeout(limit, fetch(&self.binding, request)).await {
            Ok(answer) => Ok(answer),
            Err(_) => Ok(Err(HttpError::TimedOut)),
        }
    }
}

async fn fetch(binding: &Binding, request: Request) -> Result<Response, HttpError> {
    if request.body.len() > HTTP_MAX_BYTES {
        return Err(HttpError::TooLarge(HTTP_MAX_BYTES as u64));
    }
    let url = Url::parse(&request.url).map_err(|e| {
        HttpError::Failed(format!("`{}` is no URL: {e}", clipped(&request.url, 200)))
    })?;
    permitted(binding, &url, &request.method)?;
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| HttpError::Failed("the method is not valid".to_owned()))?;
    let mut exchange = binding.here.http.request(method, url)?.body(request.body);
    for (name, value) in request.headers {
        own(&name)?;
        exchange = exchange.header(name, value);
    }
    for (name, prefix, secret) in request.secret_headers {
        own(&name)?;
        if !binding.grants.secrets.contains(&secret) {
            return Err(HttpError::Denied(format!(
                "the secret `{secret}` is not granted"
            )));
        }
        let value = binding
            .instance
            .secrets
            .get(&secret)
            .cloned()
            .unwrap_or_default();
        exchange = exchange.header(name, format!("{prefix}{value}"));
    }
    let failed =
        |e: reqwest::Error| HttpError::Failed(binding.redact(&e.without_url().to_string()));
    let response = exchange.send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .filter_map(|(n, v)| Some((n.to_string(), v.to_str().ok()?.to_owned())))
        .collect();
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(failed)?);
        if body.len() > HTTP_MAX_BYTES {
            return Err(HttpError::TooLarge(HTTP_MAX_BYTES as u64));
        }
    }
    Ok(Response {
        status,
        headers,
        body,
    })
}

/// Headers that say to whom a request goes and where it ends are the host's: a plugin could pass its
/// grant with them.
fn own(name: &str) -> Result<(), HttpError> {
    let lower = name.trim().to_ascii_lowercase();
    if !HOSTS_OWN.contains(&lower.as_str()) {
        return Ok(());
    }
    Err(HttpError::Denied(format!(
        "the header `{lower}` is set by the host; leave it out"
    )))
}

/// A grant names a host, with a port or for any port, and plain HTTP only where it says `http://`.
fn permitted(binding: &Binding, url: &Url, method: &str) -> Result<(), HttpError> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(0);
    let allowed = binding.grants.http.iter().any(|(granted, methods)| {
        let (plain, place) = match granted.strip_prefix("http://") {
            Some(place) => (true, place),
            None => (false, granted.strip_prefix("https://").unwrap_or(granted)),
        };
        let scheme_fits = url.scheme() == if plain { "http" } else { "https" };
        let place_fits = place == host || place == format!("{host}:{port}");
        scheme_fits && place_fits && methods.iter().any(|m| m == method)
    });
    if allowed {
        return Ok(());
    }
    Err(HttpError::Denied(format!(
        "{} {}://{host}:{port} is not granted to plugin {}",
        clipped(method, 16),
        url.scheme(),
        binding.plugin
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(client: &HttpClient, url: &str) -> Result<RequestBuilder, HttpError> {
        client.request(Method::GET, Url::parse(url).unwrap())
    }

    #[test]
    fn without_certificates_only_https_is_refused() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // Fails as it does where there are none; which they are is the process's environment's business.
        let failed = reqwest::Client::builder().user_agent("\n").build();
        let client = HttpClient::from(failed).unwrap();
        let _ = asked(&client, "http://127.0.0.1:1/").unwrap();
        let HttpError::Failed(why) = asked(&client, "https://127.0.0.1:1/").unwrap_err() else {
            unreachable!("no other refusal")
        };
        assert!(why.contains("ca-certificates"), "{why}");
    }
}
