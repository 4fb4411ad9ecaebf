//! What the host lends to plugins: one module an interface of `cairn:host`. Whatever needs a grant
//! checks it here, at each call.

mod commands;
mod files;
pub(crate) mod http;
mod small;

pub(crate) use commands::{Group, beginning, permitted, program, secret_values};
