//! What a plugin says of itself, what it asks for, what it was granted, and what is recorded of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

/// A program a plugin wants to run, and the forms of its argument list (see [`crate::grant`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandAsk {
    /// The program's name.
    pub command: String,
    /// Allowed forms of the argument list.
    pub arguments: Vec<String>,
    /// Why, for the operator.
    pub why: String,
    /// The plugin also works without it.
    pub optional: bool,
}

/// What may be done with files under a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileAccess {
    /// Reading only.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// A directory a plugin wants to use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileAsk {
    /// An absolute path, or `{config.KEY}`.
    pub directory: String,
    /// What it wants to do there.
    pub access: FileAccess,
    /// Why, for the operator.
    pub why: String,
}

/// A server a plugin wants to reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HttpAsk {
    /// `host` or `host:port`, or `{config.KEY}` for either part; `http://` before it allows plain HTTP.
    pub host: String,
    /// Methods, upper case.
    pub methods: Vec<String>,
    /// Why, for the operator.
    pub why: String,
}

/// A secret field of the configuration a plugin wants to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretAsk {
    /// The field in the configuration schema.
    pub name: String,
    /// Why, for the operator.
    pub why: String,
}

/// What a plugin asks for, or the part of it that was granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Asks {
    /// Programs.
    pub commands: Vec<CommandAsk>,
    /// Directories.
    pub files: Vec<FileAsk>,
    /// Servers.
    pub http: Vec<HttpAsk>,
    /// Secrets.
    pub secrets: Vec<SecretAsk>,
}

impl Asks {
    /// The name of each ask as `--grant` takes it: `command:zfs`, `files:{config.path}`,
    /// `http:HOST`, `secret:NAME`, in this order.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let commands = self
            .commands
            .iter()
            .map(|a| format!("command:{}", a.command));
        let files = self.files.iter().map(|a| format!("files:{}", a.directory));
        let http = self.http.iter().map(|a| format!("http:{}", a.host));
        let secrets = self.secrets.iter().map(|a| format!("secret:{}", a.name));
        commands.chain(files).chain(http).chain(secrets).collect()
    }

    /// The part of it whose ids are among `ids`.
    #[must_use]
    pub fn select(&self, ids: &[String]) -> Self {
        let has = |id: String| ids.contains(&id);
        Self {
            commands: keep(&self.commands, |a| has(format!("command:{}", a.command))),
            files: keep(&self.files, |a| has(format!("files:{}", a.directory))),
            http: keep(&self.http, |a| has(format!("http:{}", a.host))),
            secrets: keep(&self.secrets, |a| has(format!("secret:{}", a.name))),
        }
    }

    /// Ids of what it can't work without: everything but commands said to be optional.
    #[must_use]
    pub fn required_ids(&self) -> Vec<String> {
        let mut needed = self.clone();
        needed.commands.retain(|a| !a.optional);
        needed.ids()
    }

    /// What of this goes beyond `granted`, word for word: a new program, a new form of arguments,
    /// a directory for writing that was for reading, a new method. Reasons don't count.
    #[must_use]
    pub fn beyond(&self, granted: &Self) -> Vec<String> {
        let mut more = Vec::new();
        for ask in &self.commands {
            let had = granted.commands.iter().find(|g| g.command == ask.command);
            for form in &ask.arguments {
                if !had.is_some_and(|g| g.arguments.contains(form)) {
                    more.push(format!("command:{} {form}", ask.command));
                }
            }
        }
        for ask in &self.files {
            let had = granted.files.iter().find(|g| g.directory == ask.directory);
            if !had.is_some_and(|g| g.access == ask.access || g.access == FileAccess::ReadWrite) {
                let how = match ask.access {
                    FileAccess::Read => "read",
                    FileAccess::ReadWrite => "read-write",
                };
                more.push(format!("files:{} {how}", ask.directory));
            }
        }
        for ask in &self.http {
            let had = granted.http.iter().find(|g| g.host == ask.host);
            for method in &ask.methods {
                if !had.is_some_and(|g| g.methods.contains(method)) {
                    more.push(format!("http:{} {method}", ask.host));
                }
            }
        }
        for ask in &self.secrets {
            if !granted.secrets.iter().any(|g| g.name == ask.name) {
                more.push(format!("secret:{}", ask.name));
            }
        }
        more
    }
}

fn keep<T: Clone>(asks: &[T], wanted: impl Fn(&T) -> bool) -> Vec<T> {
    asks.iter().filter(|a| wanted(a)).cloned().collect()
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
