//! Why a module can't become a plugin, each as a sentence that says what to do.

use std::path::PathBuf;

/// What stands between a core module and a component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder of contracts can't be read or doesn't hold together.
    #[error("the contracts in {} can't be used: {reason}", folder.display())]
    Contracts {
        /// The folder that was loaded.
        folder: PathBuf,
        /// The parser's words, with file and line where it has them.
        reason: String,
    },

    /// The bytes are no WebAssembly, or broken.
    #[error(
        "this is no WebAssembly module ({0}): hand in the .wasm file that \
         `cargo build --target wasm32-unknown-unknown` leaves"
    )]
    NotAModule(String),

    /// The bytes are a component: there is nothing to do.
    #[error(
        "this is a component already, as the wasm32-wasip2 target makes it: use it as it is, or \
         build with `--target wasm32-unknown-unknown`"
    )]
    AlreadyAComponent,

    /// The module implements nothing.
    #[error(
        "the module exports no interface of the contracts: implement the SDK's traits, call its \
         export macro for each, and build with crate-type = [\"cdylib\"]"
    )]
    NoInterfaces,

    /// An interface that the contracts don't have, or not in this version.
    #[error("the module {direction} `{interface}`, but {known}")]
    UnknownInterface {
        /// `exports` or `imports`.
        direction: &'static str,
        /// As the module names it, with its version.
        interface: String,
        /// What there is instead and what to do.
        known: String,
    },

    /// A function that the interface doesn't have.
    #[error(
        "the module {direction} `{function}` of `{interface}`, which has no such function: \
         build against the SDK that belongs to these contracts"
    )]
    UnknownFunction {
        /// `exports` or `imports`.
        direction: &'static str,
        /// The interface, with its version.
        interface: String,
        /// The function's name in the module.
        function: String,
    },

    /// An exported interface is not whole.
    #[error(
        "the module exports `{interface}` without {functions}: an interface is exported whole or \
         not at all, so implement what is missing or don't export it"
    )]
    MissingFunctions {
        /// The interface, with its version.
        interface: String,
        /// The missing functions, quoted and separated by commas.
        functions: String,
    },

    /// An import that is no interface at all.
    #[error("the module imports `{name}` from `{module}`, which no plugin gets: {advice}")]
    ForeignImport {
        /// The import's module name.
        module: String,
        /// The import's field name.
        name: String,
        /// Where such an import comes from and what to do.
        advice: &'static str,
    },

    /// wit-component refused, for instance for a function of the wrong type.
    #[error(
        "the module doesn't fit the contracts: {0}. Build against the SDK that belongs to them"
    )]
    Encode(String),
}
