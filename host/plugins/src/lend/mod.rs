//! What the host lends to plugins: one module an interface of `cairn:host`. Whatever needs a grant
//! checks it here, at each call. And what is left of WASI.

mod commands;
mod files;
mod granted;
pub(crate) mod http;
mod small;
mod tree;
mod wasi;
#[cfg(test)]
mod wasi_tests;

pub(crate) use commands::{Group, beginning, permitted, program, secret_values};
pub(crate) use granted::{Opened, Stalled};
pub(crate) use wasi::{CallLog, context};
