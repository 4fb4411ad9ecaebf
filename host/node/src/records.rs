//! What is recorded of storages, and what the API shows of plugins and storages.

use std::collections::BTreeMap;

use cairn_core::plugin::{Installed, Kind, Statistics};
use cairn_core::storage::{
    Attachment, Capabilities, Finding, HealthFact, Holder, Snapshot, StorageStatus, Volume,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A storage as recorded under `storage/NAME`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StorageRecord {
    /// The plugin's name.
    pub plugin: String,
    /// The configuration with defaults, without secrets.
    pub config: Value,
    /// The secret fields. Only the store holds them.
    pub secrets: BTreeMap<String, String>,
}

/// A plugin in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PluginSummary {
    /// Its name.
    pub name: String,
    /// The version that serves calls.
    pub version: String,
    /// What it is for.
    pub kind: Kind,
    /// Of the component.
    pub digest: String,
    /// `ok`, or what is wrong.
    pub state: String,
    /// Storages that use it.
    pub used_by: Vec<String>,
}

/// Everything of one plugin.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PluginDetail {
    /// What is recorded.
    pub installed: Installed,
    /// What the active version asks for and isn't granted: `command:mount`, or of an ask that is granted
    /// in part what is missing: `command:zfs destroy {name}`.
    pub not_granted: Vec<String>,
    /// How it fares since it was loaded.
    pub statistics: Statistics,
    /// Why it can't be called, if so.
    pub failure: Option<String>,
    /// Storages that use it.
    pub used_by: Vec<String>,
}

/// A key of the trust list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TrustedSigner {
    /// Whose it is.
    #[serde(default)]
    pub name: String,
    /// The minisign public key.
    pub public_key: String,
    /// The key's id.
    #[serde(default)]
    pub id: String,
}

/// A kind of storage that can be added.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StorageType {
    /// As `storage add` takes it: `zfs`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The plugin behind it.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// What it is, in one sentence.
    pub summary: String,
    /// The schema of its configuration.
    #[schema(value_type = Object)]
    pub schema: Value,
}

/// A storage as the API shows it. Secrets never are.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Storage {
    /// Its name.
    pub name: String,
    /// As `storage add` took it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The plugin behind it.
    pub plugin: String,
    /// The configuration, without secrets.
    #[schema(value_type = Object)]
    pub config: Value,
    /// Names of the secret fields that are set.
    pub secrets_set: Vec<String>,
    /// What makes its backend this one.
    pub identity: Option<String>,
    /// Interfaces its plugin offers.
    pub abilities: Vec<String>,
    /// What it can hold, where known.
    pub capabilities: Option<Capabilities>,
    /// Space and state.
    pub status: StorageStatus,
    /// The store's revision when it was last changed.
    pub revision: u64,
    /// What the operator should know; only when it was just added or changed.
    pub findings: Vec<Finding>,
}

/// Space, state and health of a storage.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StorageReport {
    /// Space and state.
    #[serde(flatten)]
    pub status: StorageStatus,
    /// Facts about its well-being.
    pub health: Vec<HealthFact>,
}

/// A page of volumes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VolumePage {
    /// Sorted by name.
    pub volumes: Vec<Volume>,
    /// Where to go on; absent at the end.
    pub next: Option<String>,
}

/// A volume and who has it attached.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VolumeDetail {
    /// The volume.
    #[serde(flatten)]
    pub volume: Volume,
    /// Who has it attached.
    pub holders: Vec<Holder>,
}

/// An attached volume.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Attached {
    /// What to open.
    pub attachment: Attachment,
    /// The epoch it was attached under.
    pub epoch: u64,
}

/// A copy to make.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyRequest {
    /// The storage it goes to.
    pub to_storage: String,
    /// The volume's name there.
    pub to_name: String,
    /// The snapshot that is copied.
    pub snapshot: String,
    /// The guid of a snapshot both sides have: only what changed since is sent.
    #[serde(default)]
    pub base: Option<String>,
}

/// A copy that was made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Copied {
    /// What went through the stream.
    pub bytes: u64,
    /// The stream's format.
    pub format: String,
    /// The snapshot as it is on the target.
    pub snapshot: Snapshot,
}
