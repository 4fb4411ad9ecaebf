//! Turns a plugin's core module, as `cargo build --target wasm32-unknown-unknown` leaves it, into
//! a component that exports exactly the interfaces the plugin implements.
//!
//! Rust's component tooling describes a component by the world its bindings were generated for.
//! The SDK's bindings know every interface there is, so that world would claim abilities a plugin
//! doesn't have. Here the world is read off the module instead:
//!
//! ```text
//! module --surface--> names of exports and imports --world--> checked against the contracts
//!        --without component-type sections, with the new world's--> wit-component --> component
//! ```
//!
//! The result imports nothing but what the module imports and the types its exports mention.
//! Costs about a tenth of a second a module; the output is validated before it is handed out.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod contracts;
mod encode;
mod error;
mod surface;
mod world;

pub use contracts::load_contracts;
pub use encode::componentize;
pub use error::Error;
pub use wit_parser;
