//! The one error type that API and CLI show: a code for programs, a sentence for people.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong, for programs. A code means the same thing as an HTTP status and an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request breaks a rule; `field` and `rule` say which.
    Invalid,
    /// The caller has no right to this, or did not grant what it needs.
    Denied,
    /// It isn't there.
    NotFound,
    /// It is there and differs from what was asked.
    AlreadyExists,
    /// Someone uses it; `by` says who.
    InUse,
    /// Others stand in the way; `by` says which.
    Blocked,
    /// A guest was started later elsewhere.
    StaleEpoch,
    /// The record changed since it was read.
    Revision,
    /// Too few votes to change anything.
    NoQuorum,
    /// No room left.
    NoSpace,
    /// The backend or node does not answer; may pass.
    Unavailable,
    /// A time limit ran out; the effect may have happened.
    TimedOut,
    /// This backend or plugin can't do it.
    Unsupported,
    /// The backend is another one than recorded.
    WrongBackend,
    /// Data or metadata fail a check.
    Corrupt,
    /// The plugin trapped or broke its contract.
    PluginFailed,
    /// The plugin failed too often and is set aside.
    Quarantined,
    /// Too many calls wait already.
    Overloaded,
    /// A fault of Cairn.
    Internal,
}

impl Code {
    /// The HTTP status of a response with this code.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::Invalid | Self::Unsupported => 422,
            Self::Denied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::InUse | Self::Blocked | Self::StaleEpoch => 409,
            Self::Revision => 412,
            Self::NoQuorum | Self::Unavailable | Self::Quarantined => 503,
            Self::NoSpace => 507,
            Self::TimedOut => 504,
            Self::WrongBackend | Self::Corrupt | Self::Internal => 500,
            Self::PluginFailed => 502,
            Self::Overloaded => 429,
        }
    }

    /// The exit code of a command that ends with this code.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Invalid => 2,
            Self::NoQuorum => 3,
            Self::Denied => 4,
            Self::NotFound => 5,
            Self::AlreadyExists
            | Self::InUse
            | Self::Blocked
            | Self::StaleEpoch
            | Self::Revision => 6,
            _ => 1,
        }
    }

    /// As written in documents: `not-found`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::InUse => "in-use",
            Self::Blocked => "blocked",
            Self::StaleEpoch => "stale-epoch",
            Self::Revision => "revision",
            Self::NoQuorum => "no-quorum",
            Self::NoSpace => "no-space",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed-out",
            Self::Unsupported => "unsupported",
            Self::WrongBackend => "wrong-backend",
            Self::Corrupt => "corrupt",
            Self::PluginFailed => "plugin-failed",
            Self::Quarantined => "quarantined",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }
}

/// An error as API and CLI show it. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub struct Error {
    /// For programs.
    pub code: Code,
    /// For people: what, why, what to do.
    pub message: String,
    /// The field that breaks a rule, as a path.
    pub field: Option<String>,
    /// The rule it breaks.
    pub rule: Option<String>,
    /// Who or what stands in the way.
    pub by: Vec<String>,
    /// The command to run next, whole and ready to copy.
    pub command: Option<String>,
    /// The HTTP status where it isn't the code's own: 401 for `denied` without a token.
    pub status: Option<u16>,
    /// The votes that are missing, where that is why.
    pub quorum: Option<Box<QuorumGap>>,
}

/// Too few votes: what there are, what is needed, who is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuorumGap {
    /// Votes within reach.
    pub votes: usize,
    /// Votes of all voters.
    pub expected: usize,
    /// The least number for a change.
    pub needed: usize,
    /// Names of the voters that aren't reached.
    pub missing: Vec<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error {
    /// An error with nothing but a code and a sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            rule: None,
            by: Vec::new(),
            command: None,
            status: None,
            quorum: None,
        }
    }

    /// A field that breaks a rule.
    pub fn invalid(field: impl Into<String>, rule: impl Into<String>) -> Self {
        let (field, rule) = (field.into(), rule.into());
        let mut error = Self::new(Code::Invalid, format!("{field}: {rule}"));
        error.field = Some(field);
        error.rule = Some(rule);
        error
    }

    /// Something named isn't there: `volume tank:vm-100-disk-0`.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {what}"))
    }

    /// A fault of Cairn.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// Says at which record it is wrong.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Adds who or what stands in the way.
    #[must_use]
    pub fn with_by(mut self, by: Vec<String>) -> Self {
        self.by = by;
        self
    }

    /// Says it with another HTTP status than the code's own. Code and exit code stay.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// The HTTP status it is answered with.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        self.status.unwrap_or_else(|| self.code.http_status())
    }

    /// Adds the command to run next.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }
}
