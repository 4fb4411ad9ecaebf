//! What the command line can say.

use std::net::IpAddr;
use std::path::PathBuf;

use cairn_core::names::{PluginName, SnapshotName, StorageName, VolumeId, VolumeName};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::size::size;

const GLOBAL: &str = "Global options";

/// Keeps virtual machines and containers running on a few Linux machines.
#[derive(Parser)]
#[command(
    name = "cairn",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 no quorum, 4 denied, 5 not found, \
                  6 conflict."
)]
pub(crate) struct Arguments {
    /// Data folder of the daemon; commands reach it by the socket there
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "CAIRN_DATA",
        default_value = "/var/lib/cairn",
        value_name = "DIR"
    )]
    pub(crate) data: PathBuf,
    /// Speak to this daemon over HTTPS instead: https://HOST:8006
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "CAIRN_SERVER",
        value_name = "URL"
    )]
    pub(crate) server: Option<String>,
    /// Token for --server (the file `token` of its data folder)
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "CAIRN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// Authority of --server's certificate, as PEM (`ca.pem` of its data folder)
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "CAIRN_CA",
        value_name = "FILE"
    )]
    pub(crate) ca: Option<PathBuf>,
    /// Print one JSON document and nothing else
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the daemon on this machine
    #[command(
        after_help = "Example: cairn serve --data /var/lib/cairn --address 0.0.0.0 --node n1"
    )]
    Serve(Serve),
    /// Form a cluster: let nodes in, look at votes and links, take nodes out
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Look at the nodes of the cluster
    #[command(subcommand)]
    Node(NodeCommand),
    /// Read and change the cluster's configuration as a tree of records
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Run a witness: a machine that only votes, for many clusters, and can read none
    #[command(subcommand)]
    Witness(WitnessCommand),
    /// Install plugins, and say what they may do
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Configure storages
    #[command(subcommand)]
    Storage(StorageCommand),
    /// Make and keep volumes: disks and file trees on a storage
    #[command(subcommand)]
    Volume(VolumeCommand),
}

#[derive(Args)]
pub(crate) struct Serve {
    /// Address to serve HTTPS on, for clients and the other nodes (repeat it: each is a link)
    #[arg(long = "address", default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub(crate) addresses: Vec<IpAddr>,
    /// Port to serve HTTPS on; 0 for any that is free (then see the file `listen`)
    #[arg(long, default_value_t = 8006, value_name = "PORT")]
    pub(crate) port: u16,
    /// Name of this node; the machine's host name if not given
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// What to log: error, warn, info, debug or trace
    #[arg(long, env = "CAIRN_LOG", default_value = "info", value_name = "LEVEL")]
    pub(crate) log: String,
}

#[derive(Subcommand)]
pub(crate) enum ClusterCommand {
    /// Name this node's cluster, which then takes other nodes in
    Create {
        /// 1 to 32 letters, digits and dashes
        name: String,
    },
    /// Print a token that lets in one node within the hour
    Token,
    /// Take this node into the cluster that a token names
    #[command(
        after_help = "The token comes from `cairn cluster token` on a node of that cluster. `-` reads it from \
                            standard input, where no other user sees it."
    )]
    Join {
        /// The token, or `-`
        token: String,
    },
    /// Show votes, nodes, links and what is wrong, as this node sees it
    Status,
    /// Take this node out of its cluster; then it is a cluster of one
    Leave {
        /// Also where the rest loses its quorum
        #[arg(long)]
        force: bool,
    },
    /// Take another node out, dead or alive
    Remove {
        /// The node
        node: String,
        /// Also where the rest loses its quorum
        #[arg(long)]
        force: bool,
    },
    /// Go on with this node alone after the majority is lost for good
    #[command(
        name = "force-quorum",
        after_help = "What the other nodes have committed and this one hasn't is lost. \
        Make sure that they are off and stay off, or their changes and this node's go different ways. They come back \
        by joining anew."
    )]
    ForceQuorum {
        /// The cluster's name, typed in full, as the sign that you mean it
        #[arg(long, value_name = "NAME")]
        cluster: String,
    },
    /// The witnesses of this cluster
    #[command(subcommand)]
    Witness(ClusterWitnessCommand),
}

#[derive(Subcommand)]
pub(crate) enum ClusterWitnessCommand {
    /// Add the witness that printed a token
    #[command(
        after_help = "The token comes from `cairn witness token` on the witness. `-` reads it from standard input."
    )]
    Add {
        /// The token, or `-`
        token: String,
    },
    /// Remove a witness
    Remove {
        /// Its name
        name: String,
    },
    /// Show the witnesses
    Status,
}

#[derive(Subcommand)]
pub(crate) enum NodeCommand {
    /// List the nodes
    List,
    /// Show one node with its links
    Show {
        /// Its name
        node: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// List the records below a path
    Ls {
        /// Such as `storage`; everything if not given
        #[arg(default_value = "")]
        path: String,
    },
    /// Show one record
    Get {
        /// Such as `storage/vmstore`
        path: String,
        /// As known on this node, without asking the others
        #[arg(long)]
        local: bool,
    },
    /// Set a record to a JSON value
    Set {
        /// Such as `notes/maintenance`
        path: String,
        /// JSON; what isn't JSON is taken as text. `-` reads standard input
        value: String,
        /// Only if the record has this revision (0: only if there is none)
        #[arg(long, value_name = "REVISION")]
        revision: Option<u64>,
    },
    /// Remove a record
    Rm {
        /// Such as `notes/maintenance`
        path: String,
        /// Only if the record has this revision
        #[arg(long, value_name = "REVISION")]
        revision: Option<u64>,
    },
    /// Change a record in $EDITOR
    Edit {
        /// Such as `storage/vmstore`
        path: String,
    },
    /// Print changes as they are made, one JSON document a line
    Watch {
        /// Below this path; everything if not given
        #[arg(default_value = "")]
        path: String,
        /// Begin after this revision
        #[arg(long, value_name = "REVISION")]
        after: Option<u64>,
    },
    /// Print all records as one JSON document, without secrets
    Export {
        /// Below this path; everything if not given
        #[arg(default_value = "")]
        path: String,
    },
    /// Set the records of an exported document; those that fit no tree that may be set are refused first
    Import {
        /// The file, or `-`
        file: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum WitnessCommand {
    /// Run the witness on this machine
    #[command(
        after_help = "Example: cairn witness serve --data /var/lib/cairn-witness --address 192.0.2.9"
    )]
    Serve(WitnessServe),
    /// Print a token that lets in one cluster within the hour
    Token,
    /// Show the clusters that this witness serves
    Status,
}

#[derive(Args)]
pub(crate) struct WitnessServe {
    /// Address to serve on (repeat it: each is a link)
    #[arg(long = "address", default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub(crate) addresses: Vec<IpAddr>,
    /// Port to serve on; 0 for any that is free
    #[arg(long, default_value_t = 8006, value_name = "PORT")]
    pub(crate) port: u16,
    /// Name of this witness; the machine's host name if not given
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// What to log: error, warn, info, debug or trace
    #[arg(long, env = "CAIRN_LOG", default_value = "info", value_name = "LEVEL")]
    pub(crate) log: String,
}

#[derive(Args)]
pub(crate) struct Component {
    /// The plugin's .wasm file
    pub(crate) file: PathBuf,
    /// Its signature; FILE.minisig is used by itself if it is there
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Grant {
    /// Grant this of what it asks for: `command:zfs`, `files:{config.path}`… (repeat it)
    #[arg(long = "grant", value_name = "ID")]
    pub(crate) grants: Vec<String>,
}

#[derive(Subcommand)]
pub(crate) enum PluginCommand {
    /// Show what a file is and asks for; installs nothing, needs no daemon
    #[command(
        after_help = "A signature is checked against the daemon's trust list, so --signature needs a daemon."
    )]
    Inspect {
        /// The plugin's .wasm file
        file: PathBuf,
        /// Its signature, to be checked
        #[arg(long, value_name = "FILE")]
        signature: Option<PathBuf>,
    },
    /// Install a plugin, granting what it needs
    #[command(
        after_help = "On a terminal you are shown what it asks for, and asked. Without one, nothing is \
                            granted that --grant doesn't name: the command stops with exit code 4 and prints \
                            the command that grants.\n\n\
                            Example: cairn plugin install storage_zfs.wasm --grant command:zfs --grant command:zpool"
    )]
    Install {
        #[command(flatten)]
        component: Component,
        #[command(flatten)]
        grant: Grant,
    },
    /// List installed plugins
    List,
    /// Show a plugin: what it is, what it was granted, how it fares
    Show {
        /// The plugin's name
        name: PluginName,
    },
    /// Replace what a plugin is granted
    Grant {
        /// The plugin's name
        name: PluginName,
        /// All that is granted from now on: `command:zfs`…; or --nothing
        #[arg(value_name = "ID", required_unless_present = "nothing")]
        grants: Vec<String>,
        /// Take all grants away
        #[arg(long, conflicts_with = "grants")]
        nothing: bool,
    },
    /// Replace a plugin by another version; what was granted stays, and nothing more is granted
    Upgrade {
        #[command(flatten)]
        component: Component,
        #[command(flatten)]
        grant: Grant,
    },
    /// Go back to the version before the last upgrade
    Rollback {
        /// The plugin's name
        name: PluginName,
    },
    /// Call a plugin again that was set aside after failures
    Release {
        /// The plugin's name
        name: PluginName,
    },
    /// Remove a plugin that no storage uses
    Remove {
        /// The plugin's name
        name: PluginName,
    },
    /// Whose signatures are taken
    #[command(subcommand)]
    Trust(TrustCommand),
}

#[derive(Subcommand)]
pub(crate) enum TrustCommand {
    /// Take a signer's signatures from now on
    Add {
        /// A name for the signer
        name: PluginName,
        /// The minisign public key: its base64 line, or its file
        key: String,
    },
    /// List the signers
    List,
    /// Take a signer's signatures no more
    Remove {
        /// The signer's name
        name: PluginName,
    },
}

#[derive(Subcommand)]
pub(crate) enum StorageCommand {
    /// List the types of storage that installed plugins offer
    Types,
    /// Add a storage; `cairn storage add TYPE NAME --help` shows the options of its type
    #[command(disable_help_flag = true)]
    Add {
        /// TYPE NAME and the options of the type
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "TYPE NAME [OPTIONS]"
        )]
        rest: Vec<String>,
    },
    /// List storages with their state and space
    List,
    /// Show a storage
    Show {
        /// The storage's name
        name: StorageName,
    },
    /// Show a storage's space, state and health
    Status {
        /// The storage's name
        name: StorageName,
    },
    /// Change a storage's options; `cairn storage set NAME --help` shows them
    #[command(disable_help_flag = true)]
    Set {
        /// NAME and the options to change
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "NAME [OPTIONS]"
        )]
        rest: Vec<String>,
    },
    /// List what interrupted transfers left on a storage
    Transfers {
        /// The storage's name
        name: StorageName,
    },
    /// Remove what an interrupted transfer left
    Abandon {
        /// The storage's name
        name: StorageName,
        /// Its ticket, as `transfers` shows it
        ticket: String,
    },
    /// Forget a storage; its data stays where it is
    Remove {
        /// The storage's name
        name: StorageName,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum FormatName {
    Raw,
    Qcow2,
    Vmdk,
    Directory,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ContentName {
    Images,
    Rootdir,
    Iso,
    Templates,
    Backup,
    Snippets,
}

#[derive(Subcommand)]
pub(crate) enum VolumeCommand {
    /// Make an empty volume
    #[command(
        after_help = "Example: cairn volume create vmstore:vm-100-disk-0 --size 32G --guest 100"
    )]
    Create {
        /// STORAGE:NAME
        volume: VolumeId,
        /// Size, binary units: 512M, 32G
        #[arg(long, value_parser = size, value_name = "SIZE")]
        size: u64,
        /// Format; the storage's default if not given
        #[arg(long)]
        format: Option<FormatName>,
        /// What it will hold
        #[arg(long, default_value = "images")]
        content: ContentName,
        /// The guest it belongs to, by VMID
        #[arg(long, value_name = "VMID", value_parser = clap::value_parser!(u32).range(100..))]
        guest: Option<u32>,
    },
    /// List a storage's volumes
    List {
        /// The storage
        storage: StorageName,
        /// Only this guest's
        #[arg(long, value_name = "VMID")]
        guest: Option<u32>,
        /// Only what holds this
        #[arg(long)]
        content: Option<ContentName>,
    },
    /// Show a volume and who has it attached
    Show {
        /// STORAGE:NAME
        volume: VolumeId,
    },
    /// Change a volume's notes, protection or owner
    #[command(group = ArgGroup::new("change").required(true).multiple(true))]
    Set {
        /// STORAGE:NAME
        volume: VolumeId,
        /// Free text
        #[arg(long, group = "change")]
        notes: Option<String>,
        /// Refuse to remove it
        #[arg(long, group = "change", value_name = "true|false")]
        protected: Option<bool>,
        /// Hand it over to this guest; 0 for none
        #[arg(long, group = "change", value_name = "VMID")]
        guest: Option<u32>,
    },
    /// Make a volume larger
    Resize {
        /// STORAGE:NAME
        volume: VolumeId,
        /// The new size, binary units: 64G
        #[arg(value_parser = size)]
        size: u64,
        /// It becomes smaller, and what lies past the new size is lost
        #[arg(long)]
        shrink: bool,
    },
    /// Give a volume another name
    Rename {
        /// STORAGE:NAME
        volume: VolumeId,
        /// The new name
        name: VolumeName,
    },
    /// Remove a volume and its snapshots
    Remove {
        /// STORAGE:NAME
        volume: VolumeId,
    },
    /// Take a snapshot; of several volumes of one storage, all at once
    #[command(
        after_help = "Example: cairn volume snapshot vmstore:vm-100-disk-0 vmstore:vm-100-disk-1 before-upgrade"
    )]
    Snapshot {
        /// STORAGE:NAME, one or more
        #[arg(required = true)]
        volumes: Vec<VolumeId>,
        /// The snapshot's name
        name: SnapshotName,
    },
    /// List a volume's snapshots, oldest first
    Snapshots {
        /// STORAGE:NAME
        volume: VolumeId,
    },
    /// Remove a snapshot
    RemoveSnapshot {
        /// STORAGE:NAME
        volume: VolumeId,
        /// The snapshot's name
        name: SnapshotName,
    },
    /// Keep a snapshot from being removed, under a tag
    Hold {
        /// STORAGE:NAME
        volume: VolumeId,
        /// The snapshot's name
        name: SnapshotName,
        /// The tag
        tag: String,
    },
    /// Take a tag away from a snapshot
    Release {
        /// STORAGE:NAME
        volume: VolumeId,
        /// The snapshot's name
        name: SnapshotName,
        /// The tag
        tag: String,
    },
    /// Make a volume what it was at a snapshot
    Rollback {
        /// STORAGE:NAME
        volume: VolumeId,
        /// The snapshot's name
        name: SnapshotName,
    },
    /// Make a linked clone of a snapshot, on the same storage
    #[command(
        after_help = "Example: cairn volume clone vmstore:vm-100-disk-0 golden vm-101-disk-0 --guest 101"
    )]
    Clone {
        /// STORAGE:NAME
        volume: VolumeId,
        /// The snapshot it begins as
        snapshot: SnapshotName,
        /// The clone's name
        name: VolumeName,
        /// The guest it belongs to, by VMID
        #[arg(long, value_name = "VMID", value_parser = clap::value_parser!(u32).range(100..))]
        guest: Option<u32>,
        /// A larger size than its source's
        #[arg(long, value_parser = size, value_name = "SIZE")]
        size: Option<u64>,
    },
    /// List the volumes that stand on a volume: its linked clones
    Dependants {
        /// STORAGE:NAME
        volume: VolumeId,
        /// Only of this snapshot
        #[arg(long, value_name = "NAME")]
        snapshot: Option<SnapshotName>,
    },
    /// Make a linked clone independent of its source
    Flatten {
        /// STORAGE:NAME
        volume: VolumeId,
    },
    /// Make a volume a source for clones only
    Template {
        /// STORAGE:NAME
        volume: VolumeId,
        /// Make it an ordinary volume again
        #[arg(long)]
        undo: bool,
    },
    /// Attach a volume to the daemon's node and print what to open
    Attach {
        /// STORAGE:NAME
        volume: VolumeId,
        /// The number of the start; the next one if not given
        #[arg(long)]
        epoch: Option<u64>,
        /// For reading only
        #[arg(long)]
        read_only: bool,
        /// This snapshot of it, for reading
        #[arg(long, value_name = "NAME")]
        snapshot: Option<SnapshotName>,
    },
    /// Detach a volume from the daemon's node
    Detach {
        /// STORAGE:NAME
        volume: VolumeId,
        /// The number it was attached under; the last one if not given
        #[arg(long)]
        epoch: Option<u64>,
        /// Detach it though its node doesn't answer: that node must be known to be dead
        #[arg(long)]
        force: bool,
    },
    /// Copy a snapshot to another storage, whole or since a base both have
    #[command(
        after_help = "Example: cairn volume copy vmstore:vm-100-disk-0 monday backup:vm-100-disk-0"
    )]
    Copy {
        /// STORAGE:NAME
        volume: VolumeId,
        /// The snapshot that is copied
        snapshot: SnapshotName,
        /// STORAGE:NAME it becomes
        to: VolumeId,
        /// Guid of a snapshot both have: send only what changed since
        #[arg(long, value_name = "GUID")]
        base: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
