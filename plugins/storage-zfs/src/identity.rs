//! Who the plugin is, what it asks for, and its configuration.

use cairn_sdk::plugin::{
    Asks, CommandAsk, Configuration, Description, Error, Finding, Identity, Kind, RunWish, Severity,
};

use crate::StorageZfs;
use crate::attached;
use crate::forms;
use crate::place::Place;
use crate::zfs::{Dialect, ask_dialect};

const POOL_PATTERN: &str = "^[A-Za-z][A-Za-z0-9_.:-]*(/[A-Za-z0-9_][A-Za-z0-9_.:-]*)*$";

fn ask(command: &str, forms: &[&str], why: &str, optional: bool) -> CommandAsk {
    CommandAsk {
        command: command.to_owned(),
        arguments: forms.iter().map(|form| (*form).to_owned()).collect(),
        why: why.to_owned(),
        optional,
    }
}

impl Identity for StorageZfs {
    fn describe() -> Description {
        Description {
            name: "storage-zfs".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: Kind::Storage,
            summary: "Volumes as datasets and zvols of a ZFS pool".to_owned(),
            author: "The Cairn developers".to_owned(),
            license: "Apache-2.0".to_owned(),
            homepage: String::new(),
            asks: Asks {
                commands: vec![
                    ask(
                        "zfs",
                        &forms::ZFS,
                        "to make, snapshot, send and remove datasets below the pool",
                        false,
                    ),
                    ask("zpool", &forms::ZPOOL, "to see how the pool is", false),
                    ask(
                        "install",
                        &forms::INSTALL,
                        "to make the file of a disk where ZFS has no zvols",
                        true,
                    ),
                    ask(
                        "truncate",
                        &forms::TRUNCATE,
                        "to give such a file its length",
                        true,
                    ),
                    ask(
                        "udevadm",
                        &forms::UDEVADM,
                        "to wait for the device of a new zvol",
                        true,
                    ),
                    ask(
                        "fuser",
                        &forms::FUSER,
                        "to see whether a zvol is still open when it is detached",
                        true,
                    ),
                ],
                files: Vec::new(),
                http: Vec::new(),
                secrets: Vec::new(),
            },
            run: RunWish {
                reuse_instances: true,
                memory_mib: 64,
            },
        }
    }

    fn config_schema() -> String {
        serde_json::json!({
            "type": "object",
            "required": ["pool"],
            "additionalProperties": false,
            "properties": {
                "pool": {
                    "type": "string", "title": "Pool", "minLength": 1, "maxLength": 120, "pattern": POOL_PATTERN,
                    "description": "an existing dataset for the volumes, best one that holds nothing else",
                    "examples": ["tank/vms"], "x-cairn-fixed": true, "x-cairn-order": 1
                },
                "thin": {
                    "type": "boolean", "default": true, "title": "Thin",
                    "description": "take space only as it is written; otherwise new disks reserve theirs",
                    "x-cairn-order": 2
                },
                "block-size": {
                    "type": "string", "enum": ["4K", "8K", "16K", "32K", "64K", "128K"], "default": "16K",
                    "title": "Block size", "description": "of new disks", "x-cairn-order": 3
                },
                "compression": {
                    "type": "string", "enum": ["inherit", "lz4", "zstd", "off"], "default": "inherit",
                    "title": "Compression", "description": "of new volumes; inherit takes the pool's",
                    "x-cairn-order": 4
                }
            }
        })
        .to_string()
    }
}

impl Configuration for StorageZfs {
    fn check() -> Result<Vec<Finding>, Error> {
        let place = Place::open()?;
        let dialect = ask_dialect()?;
        place.pool_guid()?;
        if dialect == Dialect::Fuse && ["lz4", "zstd"].contains(&place.config.compression.as_str())
        {
            return Err(Error::invalid(
                "compression",
                "zfs-fuse has neither lz4 nor zstd; take inherit or off",
            ));
        }
        let mut findings = Vec::new();
        if dialect == Dialect::Fuse {
            findings.push(note(
                Severity::Note,
                "zfs-fuse has no zvols: disks are files, and snapshots of several volumes are taken one by one",
            ));
        }
        let properties = "type,mountpoint,cairn:content";
        let datasets = place
            .get(&place.config.pool, Some("1"), properties)?
            .unwrap_or_default();
        let ours =
            |d: &&crate::dataset::Dataset| d.own("content").is_some() || d.path.contains("/cairn-");
        let below = datasets.iter().skip(1).filter(|d| !d.is_snapshot());
        let foreign = below.filter(|d| !ours(d)).count();
        if foreign > 0 {
            findings.push(note(
                Severity::Warning,
                &format!(
                    "{} holds {foreign} other datasets; they are left alone",
                    place.config.pool
                ),
            ));
        }
        let point = datasets.first().and_then(|d| d.native("mountpoint"));
        if !point.is_some_and(|p| p.starts_with('/')) {
            findings.push(note(
                Severity::Warning,
                "the dataset has no mount point: file trees and disks that are files can't be attached",
            ));
        }
        Ok(findings)
    }

    fn added() -> Result<(), Error> {
        Place::open()?.pool_guid().map(drop)
    }

    fn changed(_previous: String) -> Result<(), Error> {
        Ok(())
    }

    fn removed() -> Result<(), Error> {
        let place = Place::open()?;
        // A pool that is gone can't have anything attached, and mustn't keep its storage from going.
        let Ok(found) = place.get(&place.config.pool, Some("1"), "cairn:attached") else {
            return Ok(());
        };
        let mut attached = Vec::new();
        for dataset in found.unwrap_or_default() {
            let value = dataset.own("attached");
            if value.is_some() && !attached::parse(value)?.is_empty() {
                attached.extend(dataset.below(&place.config.pool).map(str::to_owned));
            }
        }
        if attached.is_empty() {
            return Ok(());
        }
        let message = format!(
            "attached volumes: {}; detach them first",
            attached.join(", ")
        );
        Err(Error::in_use(attached, message))
    }
}

fn note(severity: Severity, message: &str) -> Finding {
    Finding {
        severity,
        message: message.to_owned(),
    }
}
