//! The REST API of a node: what the CLI and the dashboard are clients of.
//!
//! It is served on a unix socket in the data folder, which only its owner can open, and over HTTPS,
//! where each request needs the bearer token of the data folder. The document that describes it is
//! generated from the handlers ([`document`]), committed as `openapi.json`, and served at
//! `/api/openapi.json`.
//!
//! | module | what |
//! |---|---|
//! | `routes` | handlers, one file a resource |
//! | `problem` | errors as problem documents (RFC 9457) |
//! | `extract` | bodies, queries and paths whose errors name the field |
//! | `access` | the bearer token |
//! | `serve` | the two listeners |
//! | `witness` | a witness's own, small API |

mod access;
mod extract;
mod problem;
mod routes;
mod serve;
mod witness;

pub use problem::Problem;
pub use routes::document;
pub use serve::{Listening, ServeOptions, serve};
pub use witness::serve_witness;
