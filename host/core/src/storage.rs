//! Storages, volumes and snapshots as API and CLI show them. Sizes are bytes; points in time are
//! milliseconds since the Unix epoch, UTC.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a volume holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Content {
    Images,
    Rootdir,
    Iso,
    Templates,
    Backup,
    Snippets,
}

/// How a volume's bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A block device or a plain file.
    Raw,
    /// QEMU's format.
    Qcow2,
    /// VMware's format.
    Vmdk,
    /// A file tree.
    Directory,
}

/// Wishes that a backend may meet or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hints {
    /// Take space only as it is written.
    pub thin: Option<bool>,
    /// Bytes; a power of two.
    pub block_size: Option<u32>,
    /// Encrypted by the backend.
    pub encrypted: Option<bool>,
    /// Backend-specific settings.
    pub extra: Vec<(String, String)>,
}

/// A volume as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeSpec {
    /// Its name on the storage.
    pub name: String,
    /// What it holds.
    #[serde(default = "images")]
    pub content: Content,
    /// Absent: the storage's default.
    #[serde(default)]
    pub format: Option<Format>,
    /// What a guest sees; for `directory` the quota, 0 for none.
    pub size_bytes: u64,
    /// The guest's VMID.
    #[serde(default)]
    pub guest: Option<u32>,
    /// Wishes.
    #[serde(default)]
    pub hints: Hints,
}

fn images() -> Content {
    Content::Images
}

/// A snapshot of a volume, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotRef {
    /// The volume.
    pub volume: String,
    /// The snapshot's name.
    pub snapshot: String,
}

/// A volume as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Volume {
    /// Its name on the storage.
    pub name: String,
    /// What it holds.
    pub content: Content,
    /// How its bytes lie.
    pub format: Format,
    /// What a guest sees.
    pub size_bytes: u64,
    /// What deleting it would free, where known.
    pub used_bytes: Option<u64>,
    /// The snapshot it is a linked clone of.
    pub parent: Option<SnapshotRef>,
    /// The guest's VMID.
    pub guest: Option<u32>,
    /// When it was made, where known.
    pub created_ms: Option<u64>,
    /// Free text.
    pub notes: String,
    /// Can't be deleted.
    pub protected: bool,
    /// A source for clones only.
    pub template: bool,
    /// The highest epoch seen; 0 if never attached.
    pub epoch: u64,
    /// Facts to show.
    pub properties: Vec<(String, String)>,
}

/// A point in time of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// The volume.
    pub volume: String,
    /// Its name.
    pub name: String,
    /// Its identity: equal on source and replica, and never another's.
    pub guid: String,
    /// When it was taken.
    pub created_ms: u64,
    /// Rises with each snapshot of a volume.
    pub order: u64,
    /// The volume's size then.
    pub size_bytes: u64,
    /// What deleting it would free, where known.
    pub used_bytes: Option<u64>,
    /// Tags that keep it from being deleted.
    pub holds: Vec<String>,
}

/// From where the same volumes can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Each node has volumes of its own.
    ThisNode,
    /// Every node on which the storage is active.
    AllNodes,
    /// These nodes.
    Nodes(Vec<String>),
}

/// Who may have one volume attached for writing at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Concurrency {
    /// One node; the backend refuses a second.
    OneNodeEnforced,
    /// One node; nobody but the epoch keeps to it.
    OneNodeTrusted,
    /// Several, for live migration.
    SeveralNodes,
}

/// How snapshots of several volumes in one call relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GroupSnapshot {
    /// All at the same moment.
    Atomic,
    /// One after another.
    OneByOne,
}

/// What a storage can hold with its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Capabilities {
    /// What its volumes may hold.
    pub contents: Vec<Content>,
    /// Formats; the first is the default.
    pub formats: Vec<Format>,
    /// From where the same volumes can be reached.
    pub reach: Reach,
    /// Who may write at a time.
    pub concurrency: Concurrency,
    /// How a group of snapshots relates.
    pub group_snapshot: GroupSnapshot,
    /// Sizes are multiples of this.
    pub size_step_bytes: u64,
    /// 0 for no limit.
    pub max_volume_bytes: u64,
    /// The tools behind it, for people.
    pub dialect: String,
}

/// Why a storage is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", content = "cause", rename_all = "kebab-case")]
pub enum StorageState {
    /// All is well.
    Active,
    /// Can't be written; why.
    ReadOnly(String),
    /// Works, but something is wrong; what.
    Degraded(String),
    /// Can't be used; why.
    Unavailable(String),
}

/// Space and state of a storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageStatus {
    /// All of it; 0 if never known.
    pub total_bytes: u64,
    /// What is taken.
    pub used_bytes: u64,
    /// What new volumes may take.
    pub available_bytes: u64,
    /// Is it as it should be?
    #[serde(flatten)]
    pub state: StorageState,
    /// How old the figures are.
    pub age_ms: u64,
}

/// What a guest opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", content = "path", rename_all = "kebab-case")]
pub enum Attachment {
    /// Path of a block device.
    BlockDevice(String),
    /// Path of a file in the volume's format.
    File(String),
    /// What QEMU opens: `rbd:…`.
    Uri(String),
    /// Path of a file tree.
    Directory(String),
}

/// Why a volume is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A guest starts from it.
    Run,
    /// A guest's memory is on its way here.
    MigratingIn,
    /// Read for a backup or a copy.
    Copy,
}

/// How to attach a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttachRequest {
    /// The node that attaches.
    pub node: String,
    /// The number under which the guest starts.
    pub epoch: u64,
    /// For reading only.
    pub read_only: bool,
    /// A snapshot of it, read-only.
    pub snapshot: Option<String>,
    /// Why.
    pub purpose: Purpose,
}

/// Who has a volume attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Holder {
    /// The node.
    pub node: String,
    /// Its epoch.
    pub epoch: u64,
    /// For reading only.
    pub read_only: bool,
    /// The snapshot, if not the volume itself.
    pub snapshot: Option<String>,
}

/// What to change in a volume; absent fields stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VolumeChanges {
    /// Free text.
    pub notes: Option<String>,
    /// Can't be deleted.
    pub protected: Option<bool>,
    /// Hand over to this guest; 0 for none.
    pub guest: Option<u32>,
}

/// How bad a fact or finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// To be looked at.
    Warning,
    /// To be mended now.
    Critical,
}

/// A fact about the well-being of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthFact {
    /// A stable key: `scrub`.
    pub subject: String,
    /// How bad.
    pub level: Level,
    /// For people.
    pub message: String,
    /// When it was found, where known.
    pub since_ms: Option<u64>,
}

/// Something the operator should know though a configuration works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// `ok` is a note.
    pub level: Level,
    /// For people.
    pub message: String,
}

/// A process whose output or input is a stream, or bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamEnd {
    /// A granted program.
    Process {
        /// Its name.
        command: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// (variable, secret's name).
        secret_environment: Vec<(String, String)>,
    },
    /// A part of a file or device.
    Bytes {
        /// Absolute.
        path: String,
        /// Where it begins.
        offset: u64,
        /// 0: to the end.
        length: u64,
    },
    /// The plugin's own stream, by number.
    Plugin(u64),
}

/// Stream formats a storage can make and take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransferFormats {
    /// What `send` makes, best first.
    pub offered: Vec<String>,
    /// What `receive` takes.
    pub accepted: Vec<String>,
    /// An interrupted stream can go on.
    pub resumable: bool,
}

/// A stream to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendRequest {
    /// The volume.
    pub volume: String,
    /// The snapshot that is sent.
    pub snapshot: String,
    /// The guid of an older snapshot that the target has.
    pub base: Option<String>,
    /// The stream format.
    pub format: String,
    /// From `pending` of the target.
    pub resume_token: Option<String>,
}

/// How a stream is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendPlan {
    /// Where the bytes come from.
    pub stream: StreamEnd,
    /// Of the stream, where known.
    pub estimated_bytes: Option<u64>,
}

/// A stream to receive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveRequest {
    /// The volume to be.
    pub spec: VolumeSpec,
    /// The snapshot that arrives.
    pub snapshot: String,
    /// Its guid at the source.
    pub guid: String,
    /// The guid of the base, for an increment.
    pub base: Option<String>,
    /// The stream format.
    pub format: String,
    /// The guest's epoch.
    pub epoch: u64,
    /// Go on with what an interrupted one left.
    pub resume: bool,
}

/// How a stream is received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivePlan {
    /// Where the bytes go.
    pub stream: StreamEnd,
    /// For publish and abandon.
    pub ticket: String,
}

/// What an interrupted transfer left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Partial {
    /// For publish and abandon.
    pub ticket: String,
    /// The volume to be.
    pub volume: String,
    /// For the sender.
    pub resume_token: Option<String>,
    /// How far it came.
    pub received_bytes: Option<u64>,
}
