//! For which instance, on which node and with which configuration a call runs.

use serde::de::DeserializeOwned;

use crate::bindings::cairn::host::context;
use crate::plugin::Error;

/// The instance's configuration. The host has validated it against the schema and filled in the
/// defaults; secret fields are left out.
///
/// # Errors
/// `invalid` where the schema and `T` disagree.
pub fn config<T: DeserializeOwned>() -> Result<T, Error> {
    serde_json::from_str(&context::get().config)
        .map_err(|e| Error::invalid("config", format!("the plugin can't read it: {e}")))
}

/// The instance's name: a storage's or device's.
#[must_use]
pub fn instance() -> String {
    context::get().instance
}

/// The node this call runs on.
#[must_use]
pub fn node() -> String {
    context::get().node
}
