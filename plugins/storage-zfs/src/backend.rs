//! What stands behind the storage: the pool.

use cairn_sdk::host;
use cairn_sdk::plugin::{Error, Fact, Health, Level};
use cairn_sdk::storage::{
    Backend, CapabilityReport, Concurrency, Content, Format, GroupSnapshot, Reach, State,
    StatusReport,
};

use crate::StorageZfs;
use crate::attached;
use crate::place::Place;
use crate::plan;
use crate::zfs::{self, ask_dialect};

/// ZFS takes 2^63 - 1 at most; a little below, so that rounding up can't pass it.
pub(crate) const VOLUME_MAX_BYTES: u64 = 1 << 62;
const WARN_PERCENT: u64 = 80;
const CRITICAL_PERCENT: u64 = 90;

/// The pool proper, by `zpool list`.
#[derive(Debug, PartialEq)]
struct Pool {
    guid: String,
    health: String,
    percent: u64,
}

fn pool(place: &Place) -> Result<Pool, Error> {
    let name = place.config.zpool();
    let line = plan::words(["list", "-H", "-o", "name,guid,health,capacity", name]);
    let text = zfs::tool("zpool", &format!("looking at pool {name}"), &line).map_err(|e| {
        Error::unavailable(format!(
            "pool {name} is not there; import it with `zpool import {name}` ({})",
            e.message
        ))
    })?;
    parse(&text).ok_or_else(|| Error::internal(format!("`zpool list` printed `{}`", text.trim())))
}

fn parse(text: &str) -> Option<Pool> {
    let mut fields = text.lines().next()?.split('\t').skip(1);
    Some(Pool {
        guid: fields.next()?.to_owned(),
        health: fields.next()?.to_owned(),
        percent: fields.next()?.trim_end_matches('%').parse().unwrap_or(0),
    })
}

impl Backend for StorageZfs {
    fn capabilities() -> Result<CapabilityReport, Error> {
        let place = Place::open()?;
        let dialect = ask_dialect()?;
        let open = dialect.is_open();
        Ok(CapabilityReport {
            contents: vec![
                Content::Images,
                Content::Rootdir,
                Content::Iso,
                Content::Templates,
                Content::Backup,
                Content::Snippets,
            ],
            formats: vec![Format::Raw, Format::Directory],
            reach: Reach::ThisNode,
            // A pool is imported on one node; the record of attachments and the epoch do the rest.
            concurrency: Concurrency::OneNodeTrusted,
            group_snapshot: if open {
                GroupSnapshot::Atomic
            } else {
                GroupSnapshot::OneByOne
            },
            size_step_bytes: place.config.block_bytes(),
            max_volume_bytes: VOLUME_MAX_BYTES,
            dialect: dialect.shown(),
        })
    }

    fn identity() -> Result<String, Error> {
        let place = Place::open()?;
        let dataset = place.pool_guid()?;
        Ok(format!("{}-{dataset}", pool(&place)?.guid))
    }

    fn activate() -> Result<(), Error> {
        ask_dialect()?;
        Place::open()?.pool_guid().map(drop)
    }

    fn deactivate() -> Result<(), Error> {
        let place = Place::open()?;
        let here = host::node();
        let found = place
            .get(&place.config.pool, Some("1"), "cairn:attached")?
            .unwrap_or_default();
        let mut held = Vec::new();
        for dataset in &found {
            let holders = attached::parse(dataset.own("attached"))?;
            if holders.iter().any(|h| h.node == here) {
                held.extend(dataset.below(&place.config.pool).map(str::to_owned));
            }
        }
        if held.is_empty() {
            return Ok(());
        }
        let message = format!("attached volumes: {}; detach them first", held.join(", "));
        Err(Error::in_use(held, message))
    }

    fn status() -> Result<StatusReport, Error> {
        let place = Place::open()?;
        let properties = "used,available,readonly";
        let found = place
            .get(&place.config.pool, None, properties)?
            .unwrap_or_default();
        let number = |property| found.first().and_then(|d| d.number(property)).unwrap_or(0);
        let (used, available) = (number("used"), number("available"));
        let health = pool(&place)?.health;
        let state = match health.as_str() {
            "ONLINE" if found.first().is_some_and(|d| d.on("readonly")) => {
                State::ReadOnly(format!("dataset {} is read-only", place.config.pool))
            }
            "ONLINE" => State::Active,
            other => State::Degraded(format!("pool {} is {other}", place.config.zpool())),
        };
        Ok(StatusReport {
            total_bytes: used.saturating_add(available),
            used_bytes: used,
            available_bytes: available,
            state,
        })
    }
}

impl Health for StorageZfs {
    fn report() -> Result<Vec<Fact>, Error> {
        let place = Place::open()?;
        let pool = pool(&place)?;
        let name = place.config.zpool();
        let capacity = match pool.percent {
            CRITICAL_PERCENT.. => Level::Critical,
            WARN_PERCENT.. => Level::Warning,
            _ => Level::Ok,
        };
        let health = match pool.health.as_str() {
            "ONLINE" => Level::Ok,
            "DEGRADED" => Level::Warning,
            _ => Level::Critical,
        };
        Ok(vec![
            fact("pool", health, format!("pool {name} is {}", pool.health)),
            fact(
                "capacity",
                capacity,
                format!("pool {name} is {} % full", pool.percent),
            ),
        ])
    }
}

fn fact(subject: &str, level: Level, message: String) -> Fact {
    Fact {
        subject: subject.to_owned(),
        level,
        message,
        since_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools() {
        let found = parse("tank\t5314044250148210321\tONLINE\t1%\n").unwrap();
        assert_eq!(found.guid, "5314044250148210321");
        assert_eq!((found.health.as_str(), found.percent), ("ONLINE", 1));
        assert!(parse("").is_none());
    }
}
