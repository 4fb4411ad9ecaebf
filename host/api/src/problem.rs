//! Errors as problem documents (RFC 9457) with a stable `code`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cairn_core::{Code, Error, QuorumGap};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error as it is sent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the code says what it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// For programs.
    pub code: Code,
    /// For people: what, why, what to do.
    pub detail: String,
    /// The field that breaks a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The rule it breaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Who or what stands in the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
    /// The command to run next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Votes that are here, votes that are needed, and who is missing, where that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<Box<QuorumGap>>,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: error.code.as_str().replace('-', " "),
            status: error.http_status(),
            code: error.code,
            detail: error.message,
            field: error.field,
            rule: error.rule,
            by: error.by,
            command: error.command,
            quorum: error.quorum,
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let mut error = Self::new(problem.code, problem.detail).with_status(problem.status);
        error.field = problem.field;
        error.rule = problem.rule;
        error.by = problem.by;
        error.command = problem.command;
        error.quorum = problem.quorum;
        error
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

/// What a handler answers.
pub(crate) type Answer<T> = Result<T, Problem>;
