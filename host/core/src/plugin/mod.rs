//! What a plugin says of itself, what it asks for, what it was granted, and what is recorded of it.

mod asks;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use asks::{Asks, CommandAsk, FileAccess, FileAsk, HttpAsk, SecretAsk};

use crate::names::PluginName;

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Keeps volumes.
    Storage,
    /// Takes power from nodes.
    Fencing,
    /// Decides with.
    Policy,
}

/// What a component is, read without granting it anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Inspection {
    /// The plugin's name.
    #[schema(value_type = String)]
    pub name: PluginName,
    /// Semantic version.
    pub version: String,
    /// What it is for.
    pub kind: Kind,
    /// What it is, in one sentence.
    pub summary: String,
    /// Who wrote it.
    pub author: String,
    /// SPDX expression.
    pub license: String,
    /// Where to read more; empty if nowhere.
    pub homepage: String,
    /// `sha256:` and 64 hex digits, of the component.
    pub digest: String,
    /// The component's size.
    pub size_bytes: u64,
    /// Interfaces whose functions it calls, sorted: `cairn:host/commands@1.0.0`.
    pub imports: Vec<String>,
    /// Interfaces it offers, sorted: `cairn:storage/volumes@1.0.0`.
    pub exports: Vec<String>,
    /// What it asks for.
    pub asks: Asks,
    /// One instance may serve many calls.
    pub reuse_instances: bool,
    /// Linear memory wanted, MiB.
    pub memory_mib: u32,
    /// The schema of an instance's configuration.
    #[schema(value_type = Object)]
    pub config_schema: serde_json::Value,
    /// What is known of its signature.
    pub signature: Signature,
}

impl Inspection {
    /// Does it offer this interface: `snapshots`?
    #[must_use]
    pub fn offers(&self, interface: &str) -> bool {
        self.exports.iter().any(|e| {
            e.split_once('/')
                .and_then(|(_, rest)| rest.split_once('@'))
                .map(|(name, _)| name)
                == Some(interface)
        })
    }
}

/// What is known of a component's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Signature {
    /// None was given.
    None,
    /// Good, by a key of the trust list.
    Trusted {
        /// The key's id, 16 hex digits.
        key: String,
        /// The name it has in the trust list.
        signer: String,
    },
}

/// One installed version of a plugin, as recorded in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// What it is.
    pub inspection: Inspection,
    /// What it was granted.
    pub granted: Asks,
}

/// An installed plugin, as recorded in the store under `plugins/NAME`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Installed {
    /// The version that serves calls.
    pub active: Version,
    /// The version before, for rollback.
    pub previous: Option<Version>,
}

/// Calls of one function of a plugin since the daemon started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallStatistics {
    /// Calls that ended.
    pub calls: u64,
    /// Errors by code.
    pub errors: BTreeMap<String, u64>,
    /// Median, microseconds.
    pub p50_us: u64,
    /// 99th percentile, microseconds.
    pub p99_us: u64,
    /// Host calls that run a program, together.
    pub commands: u64,
}

/// How a plugin fares since the daemon started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Statistics {
    /// By function: `volumes.create`.
    pub functions: BTreeMap<String, CallStatistics>,
    /// Calls that ended in a trap or passed their deadline.
    pub traps: u64,
    /// Most linear memory an instance had, bytes.
    pub memory_high_water_bytes: u64,
    /// Calls that wait or run now.
    pub in_flight: u64,
    /// `ok`, `backing-off` or `quarantined`, and why.
    pub state: String,
    /// The last failure, as a sentence.
    pub last_failure: Option<String>,
}
