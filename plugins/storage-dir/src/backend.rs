//! What stands behind the storage: the directory's file system.

use cairn_sdk::plugin::{Error, Fact, Health, Level};
use cairn_sdk::storage::{
    Backend, CapabilityReport, Concurrency, Content, Format, GroupSnapshot, Reach, State,
    StatusReport,
};

use crate::StorageDir;
use crate::identity::version;
use crate::meta::readable;
use crate::place::{Place, TRANSFER, VOLUMES};

/// Sizes are multiples of a sector.
pub(crate) const STEP_BYTES: u64 = 512;
/// QEMU's limit of an image, near enough.
const VOLUME_MAX_BYTES: u64 = 1 << 62;
const WARN_PERCENT: u64 = 85;
const CRITICAL_PERCENT: u64 = 95;

impl Backend for StorageDir {
    fn capabilities() -> Result<CapabilityReport, Error> {
        let place = Place::unchecked()?;
        let mut formats = vec![Format::Qcow2, Format::Raw, Format::Directory];
        formats.sort_by_key(|f| *f != place.default_format());
        Ok(CapabilityReport {
            contents: vec![
                Content::Images,
                Content::Rootdir,
                Content::Iso,
                Content::Templates,
                Content::Backup,
                Content::Snippets,
            ],
            formats,
            reach: if place.config.shared {
                Reach::AllNodes
            } else {
                Reach::ThisNode
            },
            // QEMU locks an image it writes, so a second writer on one node fails; the epoch and the
            // record of attachments keep a second node away.
            concurrency: Concurrency::OneNodeTrusted,
            group_snapshot: GroupSnapshot::OneByOne,
            size_step_bytes: STEP_BYTES,
            max_volume_bytes: VOLUME_MAX_BYTES,
            dialect: format!("qemu-img {}", version()?),
        })
    }

    fn identity() -> Result<String, Error> {
        let place = Place::open()?;
        Ok(place.marker()?.unwrap_or_default())
    }

    fn activate() -> Result<(), Error> {
        let place = Place::open()?;
        place.dir.make_directory(VOLUMES)?;
        place.dir.make_directory(TRANSFER)?;
        // What was made for sending has no use after the daemon that sent it.
        for entry in place
            .dir
            .list(TRANSFER)?
            .iter()
            .filter(|e| e.name.starts_with("send-"))
        {
            place.dir.remove(&format!("{TRANSFER}/{}", entry.name))?;
        }
        Ok(())
    }

    fn deactivate() -> Result<(), Error> {
        Ok(())
    }

    fn status() -> Result<StatusReport, Error> {
        let place = Place::open()?;
        let space = place.dir.space()?;
        let state = if space.read_only {
            State::ReadOnly("the file system is mounted read-only".to_owned())
        } else {
            State::Active
        };
        Ok(StatusReport {
            total_bytes: space.total_bytes,
            used_bytes: space.total_bytes.saturating_sub(space.available_bytes),
            available_bytes: space.available_bytes,
            state,
        })
    }
}

impl Health for StorageDir {
    fn report() -> Result<Vec<Fact>, Error> {
        let place = Place::open()?;
        let space = place.dir.space()?;
        let used = space.total_bytes.saturating_sub(space.available_bytes);
        let percent = used
            .saturating_mul(100)
            .checked_div(space.total_bytes)
            .unwrap_or(0);
        let level = match percent {
            CRITICAL_PERCENT.. => Level::Critical,
            WARN_PERCENT.. => Level::Warning,
            _ => Level::Ok,
        };
        let mut facts = vec![Fact {
            subject: "capacity".to_owned(),
            level,
            message: format!("the file system is {percent} % full"),
            since_ms: None,
        }];
        let (_, damaged) = readable(&place)?;
        facts.extend(damaged.into_iter().map(|damage| Fact {
            subject: format!("volume {}", damage.volume),
            level: Level::Critical,
            message: damage.error.message,
            since_ms: None,
        }));
        Ok(facts)
    }
}
