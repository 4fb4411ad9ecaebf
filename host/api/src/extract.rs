//! Bodies, queries and names of requests; what is wrong with them is a problem document that names
//! the field.

use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cairn_core::{Code, Error};

use crate::problem::Problem;

/// A JSON body.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(crate) struct Body<T>(pub(crate) T);

/// The query of a request. (axum's own can't repeat a key; this one needs it for `grant`.)
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(crate) struct Query<T>(pub(crate) T);

/// The body of an upload, as it is.
pub(crate) struct Upload(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await;
        Ok(Self(body.map_err(|e: BytesRejection| {
            unreadable(e.status(), e.body_text())
        })?))
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        unreadable(rejection.status(), rejection.body_text())
    }
}

fn unreadable(status: StatusCode, why: String) -> Problem {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        let rule =
            "it is larger than what is taken here: 64 MiB of a component, 1 MiB of a document";
        return Error::invalid("body", rule).with_status(413).into();
    }
    Error::invalid("body", why).into()
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Error::invalid("query", rejection.body_text()).into()
    }
}

/// A name in a path. A name that breaks the rules can't be there, so it is not found.
pub(crate) fn named<T: FromStr<Err = Error>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|e: Error| {
        Error {
            code: Code::NotFound,
            ..e
        }
        .into()
    })
}

/// The signature of an uploaded component: the base64 of a `.minisig` file, in a header.
pub(crate) fn signature(headers: &axum::http::HeaderMap) -> Result<Option<String>, Problem> {
    let Some(header) = headers.get("x-cairn-signature") else {
        return Ok(None);
    };
    let text = BASE64_STANDARD
        .decode(header.as_bytes())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| {
            Error::invalid(
                "x-cairn-signature",
                "it must be the base64 of a .minisig file",
            )
        })?;
    Ok(Some(text))
}

/// Every value of a repeated key of the query, decoded.
pub(crate) fn repeated(query: Option<&str>, key: &str) -> Vec<String> {
    let pairs = query
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(k, _)| *k == key)
        .map(|(_, value)| decoded(value))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let pair = |rest: &mut std::str::Bytes<'_>| {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        };
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => pair(&mut rest).unwrap_or(b'?'),
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_are_decoded() {
        let query = Some("grant=command%3Azfs&x=1&grant=files%3A%7Bconfig.path%7D");
        assert_eq!(
            repeated(query, "grant"),
            ["command:zfs", "files:{config.path}"]
        );
        assert_eq!(repeated(None, "grant"), Vec::<String>::new());
    }
}
