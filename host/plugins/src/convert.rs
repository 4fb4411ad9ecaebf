//! Between the contract's types and core's, and from a plugin's failures to core's errors.

use cairn_core::{Code, Error, plugin, storage as core};

use crate::bindings::cairn::plugin::types as wit;
use crate::bindings::cairn::storage::{streams, types};
use crate::bindings::exports::cairn::plugin::identity;
use crate::bindings::exports::cairn::plugin::{configuration, health};
use crate::bindings::exports::cairn::storage::{backend, volumes};
use crate::limits::{NOTES_MAX_BYTES, PROPERTIES_MAX, TEXT_MAX_BYTES};
use crate::state::Binding;

/// A plugin's error as the API shows it; no secret of the instance is left in it.
pub(crate) fn error(binding: &Binding, error: wit::Error) -> Error {
    let clean = |text: &str| binding.shown(text, TEXT_MAX_BYTES);
    let names = |list: Vec<String>| list.iter().take(100).map(|n| clean(n)).collect::<Vec<_>>();
    let message = clean(&error.message);
    let with = |code| Error::new(code, message.clone());
    match error.cause {
        wit::Cause::Invalid(problem) => {
            let mut error = with(Code::Invalid);
            error.field = Some(clean(&problem.field));
            error.rule = Some(clean(&problem.rule));
            error
        }
        wit::Cause::NotFound(_) => with(Code::NotFound),
        wit::Cause::AlreadyExists(_) => with(Code::AlreadyExists),
        wit::Cause::InUse(by) => with(Code::InUse).with_by(names(by)),
        wit::Cause::Blocked(by) => with(Code::Blocked).with_by(names(by)),
        wit::Cause::StaleEpoch(newest) => with(Code::StaleEpoch).with_by(vec![newest.to_string()]),
        wit::Cause::NoSpace(_) => with(Code::NoSpace),
        wit::Cause::Unsupported(_) => with(Code::Unsupported),
        wit::Cause::Unavailable(_) | wit::Cause::Cancelled => with(Code::Unavailable),
        wit::Cause::TimedOut => with(Code::TimedOut),
        wit::Cause::Denied(_) => with(Code::Denied),
        wit::Cause::WrongBackend(_) => with(Code::WrongBackend),
        wit::Cause::Corrupt(_) => with(Code::Corrupt),
        wit::Cause::Internal(_) => with(Code::PluginFailed),
    }
}

/// Why a plugin's code ended, in one sentence.
pub(crate) fn trap(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::StackOverflow) => {
            "its stack overflowed (endless recursion?)".to_owned()
        }
        Some(wasmtime::Trap::UnreachableCodeReached) => {
            "it reached code that must not be reached (a panic, or an allocation that failed)"
                .to_owned()
        }
        Some(wasmtime::Trap::MemoryOutOfBounds) => {
            "it left its memory (its stack overflowed by endless recursion, or a wild pointer)"
                .to_owned()
        }
        Some(other) => format!("{other}"),
        None => format!("{error:#}"),
    }
}

pub(crate) fn asks(asks: identity::Asks) -> plugin::Asks {
    plugin::Asks {
        commands: asks
            .commands
            .into_iter()
            .map(|a| plugin::CommandAsk {
                command: a.command,
                arguments: a.arguments,
                why: a.why,
                optional: a.optional,
            })
            .collect(),
        files: asks
            .files
            .into_iter()
            .map(|a| plugin::FileAsk {
                directory: a.directory,
                access: match a.access {
                    identity::FileAccess::Read => plugin::FileAccess::Read,
                    identity::FileAccess::ReadWrite => plugin::FileAccess::ReadWrite,
                },
                why: a.why,
            })
            .collect(),
        http: asks
            .http
            .into_iter()
            .map(|a| plugin::HttpAsk {
                host: a.host,
                methods: a.methods,
                why: a.why,
            })
            .collect(),
        secrets: asks
            .secrets
            .into_iter()
            .map(|a| plugin::SecretAsk {
                name: a.name,
                why: a.why,
            })
            .collect(),
    }
}

pub(crate) fn kind(kind: identity::Kind) -> plugin::Kind {
    match kind {
        identity::Kind::Storage => plugin::Kind::Storage,
        identity::Kind::Fencing => plugin::Kind::Fencing,
        identity::Kind::Policy => plugin::Kind::Policy,
    }
}

/// The same enum on both sides, both ways.
macro_rules! enums {
    ($($wit:ty, $core:ty { $($variant:ident),+ };)+) => {$(
        impl From<$wit> for $core {
            fn from(value: $wit) -> Self {
                match value { $(<$wit>::$variant => <$core>::$variant,)+ }
            }
        }
        impl From<$core> for $wit {
            fn from(value: $core) -> Self {
                match value { $(<$core>::$variant => <$wit>::$variant,)+ }
            }
        }
    )+};
}

// A foreign type can't implement a foreign trait for another foreign type, but the generated types
// are this crate's own.
enums! {
    types::Content, core::Content { Images, Rootdir, Iso, Templates, Backup, Snippets };
    types::Format, core::Format { Raw, Qcow2, Vmdk, Directory };
    backend::Concurrency, core::Concurrency { OneNodeEnforced, OneNodeTrusted, SeveralNodes };
    backend::GroupSnapshot, core::GroupSnapshot { Atomic, OneByOne };
    volumes::Purpose, core::Purpose { Run, MigratingIn, Copy };
    health::Level, core::Level { Ok, Warning, Critical };
}

pub(crate) fn spec(spec: &core::VolumeSpec) -> Result<types::VolumeSpec, Error> {
    let format = spec.format.ok_or_else(|| {
        Error::internal("a volume's format must be chosen before the plugin is called")
    })?;
    Ok(types::VolumeSpec {
        name: spec.name.clone(),
        content: spec.content.into(),
        format: format.into(),
        size_bytes: spec.size_bytes,
        guest: spec.guest,
        hints: types::Hints {
            thin: spec.hints.thin,
            block_size: spec.hints.block_size,
            encrypted: spec.hints.encrypted,
            extra: spec.hints.extra.clone(),
        },
    })
}

/// Identifiers go through as they are: a name that is changed is another volume's. What is written for
/// people is cleaned.
pub(crate) fn volume(binding: &Binding, volume: types::Volume) -> core::Volume {
    core::Volume {
        name: volume.name,
        content: volume.content.into(),
        format: volume.format.into(),
        size_bytes: volume.size_bytes,
        used_bytes: volume.used_bytes,
        parent: volume.parent.map(|p| core::SnapshotRef {
            volume: p.volume,
            snapshot: p.snapshot,
        }),
        guest: volume.guest,
        created_ms: volume.created_ms,
        notes: binding.shown(&volume.notes, NOTES_MAX_BYTES),
        protected: volume.protected,
        template: volume.template,
        epoch: volume.epoch,
        properties: volume
            .properties
            .iter()
            .take(PROPERTIES_MAX)
            .map(|(key, value)| {
                (
                    binding.shown(key, TEXT_MAX_BYTES),
                    binding.shown(value, TEXT_MAX_BYTES),
                )
            })
            .collect(),
    }
}

pub(crate) fn snapshot(snapshot: types::Snapshot) -> core::Snapshot {
    core::Snapshot {
        volume: snapshot.volume,
        name: snapshot.name,
        guid: snapshot.guid,
        created_ms: snapshot.created_ms,
        order: snapshot.order,
        size_bytes: snapshot.size_bytes,
        used_bytes: snapshot.used_bytes,
        holds: snapshot.holds,
    }
}

pub(crate) fn capabilities(
    binding: &Binding,
    report: backend::CapabilityReport,
) -> core::Capabilities {
    core::Capabilities {
        contents: report.contents.into_iter().map(Into::into).collect(),
        formats: report.formats.into_iter().map(Into::into).collect(),
        reach: match report.reach {
            backend::Reach::ThisNode => core::Reach::ThisNode,
            backend::Reach::AllNodes => core::Reach::AllNodes,
            backend::Reach::Nodes(nodes) => core::Reach::Nodes(nodes),
        },
        concurrency: report.concurrency.into(),
        group_snapshot: report.group_snapshot.into(),
        size_step_bytes: report.size_step_bytes,
        max_volume_bytes: report.max_volume_bytes,
        dialect: binding.shown(&report.dialect, TEXT_MAX_BYTES),
    }
}

pub(crate) fn status(binding: &Binding, report: backend::StatusReport) -> core::StorageStatus {
    let clean = |why: &str| binding.shown(why, TEXT_MAX_BYTES);
    core::StorageStatus {
        total_bytes: report.total_bytes,
        used_bytes: report.used_bytes,
        available_bytes: report.available_bytes,
        state: match report.state {
            backend::State::Active => core::StorageState::Active,
            backend::State::ReadOnly(why) => core::StorageState::ReadOnly(clean(&why)),
            backend::State::Degraded(why) => core::StorageState::Degraded(clean(&why)),
        },
        age_ms: 0,
    }
}

pub(crate) fn attach_request(request: &core::AttachRequest) -> volumes::AttachRequest {
    volumes::AttachRequest {
        node: request.node.clone(),
        epoch: request.epoch,
        read_only: request.read_only,
        snapshot: request.snapshot.clone(),
        purpose: request.purpose.into(),
    }
}

pub(crate) fn attachment(attachment: volumes::Attachment) -> core::Attachment {
    match attachment {
        volumes::Attachment::BlockDevice(path) => core::Attachment::BlockDevice(path),
        volumes::Attachment::File(path) => core::Attachment::File(path),
        volumes::Attachment::Uri(uri) => core::Attachment::Uri(uri),
        volumes::Attachment::Directory(path) => core::Attachment::Directory(path),
    }
}

pub(crate) fn holder(holder: volumes::Holder) -> core::Holder {
    core::Holder {
        node: holder.node,
        epoch: holder.epoch,
        read_only: holder.read_only,
        snapshot: holder.snapshot,
    }
}

pub(crate) fn fact(binding: &Binding, fact: health::Fact) -> core::HealthFact {
    core::HealthFact {
        subject: binding.shown(&fact.subject, TEXT_MAX_BYTES),
        level: fact.level.into(),
        message: binding.shown(&fact.message, TEXT_MAX_BYTES),
        since_ms: fact.since_ms,
    }
}

pub(crate) fn finding(binding: &Binding, finding: configuration::Finding) -> core::Finding {
    core::Finding {
        level: match finding.severity {
            configuration::Severity::Note => core::Level::Ok,
            configuration::Severity::Warning => core::Level::Warning,
        },
        message: binding.shown(&finding.message, TEXT_MAX_BYTES),
    }
}

pub(crate) fn stream(stream: streams::StreamEnd) -> core::StreamEnd {
    match stream {
        streams::StreamEnd::Process(process) => core::StreamEnd::Process {
            command: process.command,
            arguments: process.arguments,
            secret_environment: process.secret_environment,
        },
        streams::StreamEnd::Bytes(range) => core::StreamEnd::Bytes {
            path: range.path,
            offset: range.offset,
            length: range.length,
        },
        streams::StreamEnd::Plugin(number) => core::StreamEnd::Plugin(number),
    }
}
