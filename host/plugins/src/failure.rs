//! How a call fails that its plugin doesn't answer, and what is said of it.

use std::time::Duration;

use cairn_core::{Code, Error};
use wasmtime::PoolConcurrencyLimitError;

use crate::bindings::cairn::plugin::types as wit;
use crate::convert;
use crate::limits::DEADLINE_GRACE;

/// What came of a typed call: an answer or a refusal of the plugin, or its failure.
pub(crate) type Outcome<T> = Result<Result<T, wit::Error>, Failure>;

/// How a call fails.
pub(crate) enum Failure {
    /// It took too long.
    Deadline,
    /// The plugin's code broke down.
    Trap(wasmtime::Error),
    /// There was no place for an instance, which is no fault of the plugin.
    NoPlace,
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        if error.is::<DeadlinePassed>() {
            Self::Deadline
        } else if error.is::<PoolConcurrencyLimitError>() {
            Self::NoPlace
        } else {
            Self::Trap(error)
        }
    }
}

impl Failure {
    /// The error that the caller gets; it may hold secrets.
    pub(crate) fn error(&self, function: &str, plugin: &str, limit: Duration) -> Error {
        match self {
            Self::Deadline => Error::new(
                Code::TimedOut,
                format!(
                    "{function} of {plugin} passed its limit of {} s and was ended; its effect may have \
                     happened",
                    limit.as_secs()
                ),
            ),
            Self::Trap(trap) => Error::new(
                Code::PluginFailed,
                format!("{function} of {plugin} broke down: {}", convert::trap(trap)),
            ),
            Self::NoPlace => Error::new(
                Code::Overloaded,
                format!(
                    "{function} found no free instance: too many calls of all plugins run; try again"
                ),
            ),
        }
    }
}

/// Runs a part of a call until the call's deadline and a little longer: what waits in the host isn't
/// seen by the epoch.
pub(crate) async fn bounded<T>(
    left: Duration,
    part: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(left + DEADLINE_GRACE, part).await {
        Ok(ended) => ended.map_err(Failure::from),
        Err(_) => Err(Failure::Deadline),
    }
}

/// What the epoch callback ends a call with.
#[derive(Debug, thiserror::Error)]
#[error("the call's deadline has passed")]
pub(crate) struct DeadlinePassed;
