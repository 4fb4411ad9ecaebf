//! Short ways to make the contract's errors.

use crate::plugin::{Cause, Error, FieldProblem};

impl Error {
    /// An error from its cause and its sentence.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self {
            cause,
            message: message.into(),
        }
    }

    /// A field of a request or configuration breaks a rule.
    pub fn invalid(field: impl Into<String>, rule: impl Into<String>) -> Self {
        let (field, rule) = (field.into(), rule.into());
        let message = format!("{field}: {rule}");
        Self::new(Cause::Invalid(FieldProblem { field, rule }), message)
    }

    /// Something named isn't there.
    pub fn not_found(what: impl Into<String>) -> Self {
        let what = what.into();
        let message = format!("there is no {what}");
        Self::new(Cause::NotFound(what), message)
    }

    /// It is there and differs from what was asked, in what.
    pub fn already_exists(what: impl Into<String>) -> Self {
        let what = what.into();
        Self::new(Cause::AlreadyExists(what.clone()), what)
    }

    /// The effect would hit others, named in `by`.
    pub fn blocked(by: Vec<String>, message: impl Into<String>) -> Self {
        Self::new(Cause::Blocked(by), message)
    }

    /// Someone, named in `holders`, uses it.
    pub fn in_use(holders: Vec<String>, message: impl Into<String>) -> Self {
        Self::new(Cause::InUse(holders), message)
    }

    /// The given epoch is older than `newest`.
    pub fn stale_epoch(given: u64, newest: u64) -> Self {
        let message =
            format!("epoch {given} is over: the volume was started later, under epoch {newest}");
        Self::new(Cause::StaleEpoch(newest), message)
    }

    /// This backend can't do it.
    pub fn unsupported(why: impl Into<String>) -> Self {
        let why = why.into();
        Self::new(Cause::Unsupported(why.clone()), why)
    }

    /// The backend doesn't answer or isn't there.
    pub fn unavailable(why: impl Into<String>) -> Self {
        let why = why.into();
        Self::new(Cause::Unavailable(why.clone()), why)
    }

    /// Data or metadata fail a check.
    pub fn corrupt(why: impl Into<String>) -> Self {
        let why = why.into();
        Self::new(Cause::Corrupt(why.clone()), why)
    }

    /// A fault of the plugin itself.
    pub fn internal(why: impl Into<String>) -> Self {
        let why = why.into();
        Self::new(Cause::Internal(why.clone()), why)
    }
}
