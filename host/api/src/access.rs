//! The bearer token of the HTTPS listener: made at first start, kept in the data folder where only
//! its owner can read it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cairn_core::{Code, Error};
use rand::TryRngCore;

use crate::problem::Problem;

/// Bytes of a token, before it is written in hexadecimal.
const TOKEN_BYTES: usize = 32;

/// The token of the data folder; made if there is none.
pub(crate) fn token(data: &Path) -> Result<String, Error> {
    let path = data.join("token");
    if let Ok(token) = fs::read_to_string(&path) {
        return Ok(token.trim().to_owned());
    }
    let mut bytes = [0; TOKEN_BYTES];
    let failed = |e: String| Error::internal(format!("{} can't be made: {e}", path.display()));
    rand::rngs::OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|e| failed(e.to_string()))?;
    let token = hex::encode(bytes);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e| failed(e.to_string()))?;
    writeln!(file, "{token}")
        .and_then(|()| file.sync_all())
        .map_err(|e| failed(e.to_string()))?;
    Ok(token)
}

/// Lets a request through that carries the token.
pub(crate) async fn require(State(token): State<String>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match given {
        Some(given) if same(given.as_bytes(), token.as_bytes()) => next.run(request).await,
        _ => {
            let error = Error::new(
                Code::Denied,
                "this needs the node's token: give it with --token or $CAIRN_TOKEN; it is in the file `token` \
                 of the node's data folder",
            );
            Problem::from(error.with_status(401)).into_response()
        }
    }
}

/// Compares in a time that doesn't tell where two texts differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}
