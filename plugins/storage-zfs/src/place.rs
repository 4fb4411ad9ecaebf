//! The configured pool: where its volumes lie, and loading them.

use cairn_sdk::host;
use cairn_sdk::plugin::Error;
use serde::Deserialize;

use crate::dataset::{self, Dataset};
use crate::loaded::Loaded;
use crate::plan;
use crate::record::{LIST_PROPERTIES, MORE_PROPERTIES, NONE, Record};
use crate::refusal::{self, Refusal};
use crate::words::check_volume_name;
use crate::zfs::{self, Dialect};

/// What is being received.
pub(crate) const INCOMING: &str = "cairn-incoming";
/// Clones through which snapshots are read.
pub(crate) const VIEWS: &str = "cairn-views";
/// What keeps the snapshots of volumes that are being removed.
pub(crate) const REMOVED: &str = "cairn-removed";
const COLUMNS: &str = "name,property,value,source";

/// As the schema in `identity` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Config {
    pub(crate) pool: String,
    pub(crate) thin: bool,
    pub(crate) block_size: String,
    pub(crate) compression: String,
}

impl Config {
    /// `16K` as bytes.
    pub(crate) fn block_bytes(&self) -> u64 {
        let kib = self
            .block_size
            .strip_suffix('K')
            .and_then(|n| n.parse::<u64>().ok());
        kib.unwrap_or(16) << 10
    }

    /// The pool proper: what comes before the first `/`.
    pub(crate) fn zpool(&self) -> &str {
        self.pool.split('/').next().unwrap_or(&self.pool)
    }
}

/// What stands under a volume's name.
pub(crate) enum Found {
    Nothing,
    /// Half made or half removed by this plugin.
    Leftover,
    /// A dataset that isn't this plugin's.
    Foreign,
    Volume(Box<Loaded>),
}

/// The pool.
pub(crate) struct Place {
    pub(crate) config: Config,
}

impl Place {
    pub(crate) fn open() -> Result<Self, Error> {
        Ok(Self {
            config: host::config()?,
        })
    }

    pub(crate) fn dialect(&self) -> Result<Dialect, Error> {
        zfs::dialect()
    }

    pub(crate) fn path(&self, volume: &str) -> String {
        format!("{}/{volume}", self.config.pool)
    }

    pub(crate) fn incoming(&self, volume: &str) -> String {
        format!("{}/{INCOMING}/{volume}", self.config.pool)
    }

    pub(crate) fn removed(&self, volume: &str) -> String {
        format!("{}/{REMOVED}/{volume}", self.config.pool)
    }

    pub(crate) fn view(&self, volume: &str, snapshot: &str) -> String {
        format!("{}/{VIEWS}/{volume}:{snapshot}", self.config.pool)
    }

    /// Properties of a dataset and, with a depth, of what is below it; `None` where it isn't there.
    pub(crate) fn get(
        &self,
        path: &str,
        depth: Option<&str>,
        properties: &str,
    ) -> Result<Option<Vec<Dataset>>, Error> {
        let mut line = plan::words(["get", "-H", "-p"]);
        if let Some(depth) = depth {
            line.extend(plan::words(["-r", "-d", depth]));
        }
        line.extend(plan::words(["-o", COLUMNS, properties, path]));
        let what = format!("looking at {path}");
        match zfs::tolerate(&what, &line, &[Refusal::NotThere])? {
            (text, None) => Ok(Some(dataset::parse(&text))),
            (_, Some(_)) if path == self.config.pool => Err(self.gone()),
            (_, Some(_)) => {
                // A pool that isn't imported has no volumes either, and that is another matter.
                self.pool_guid()?;
                Ok(None)
            }
        }
    }

    fn gone(&self) -> Error {
        let pool = &self.config.pool;
        Error::unavailable(format!(
            "there is no dataset {pool} on this node: import its pool with `zpool import {}`, or make it with \
             `zfs create {pool}`",
            self.config.zpool()
        ))
    }

    /// The guid of the pool's dataset; `unavailable` where that isn't there.
    pub(crate) fn pool_guid(&self) -> Result<String, Error> {
        let found = self
            .get(&self.config.pool, None, "guid")?
            .unwrap_or_default();
        let guid = found.first().and_then(|d| d.native("guid"));
        guid.map(str::to_owned).ok_or_else(|| self.gone())
    }

    /// What is under this name.
    pub(crate) fn find(&self, name: &str) -> Result<Found, Error> {
        check_volume_name(name)?;
        let properties = format!("{LIST_PROPERTIES},{MORE_PROPERTIES}");
        let Some(datasets) = self.get(&self.path(name), Some("1"), &properties)? else {
            return Ok(Found::Nothing);
        };
        if let Some(loaded) = Loaded::of(&datasets, &self.config.pool)? {
            return Ok(Found::Volume(Box::new(loaded)));
        }
        let ours = datasets.first().is_some_and(|d| d.own("format").is_some());
        Ok(if ours {
            Found::Leftover
        } else {
            Found::Foreign
        })
    }

    /// The volume, if there is one.
    pub(crate) fn load(&self, name: &str) -> Result<Option<Loaded>, Error> {
        Ok(match self.find(name)? {
            Found::Volume(loaded) => Some(*loaded),
            _ => None,
        })
    }

    /// The volume, or `not-found`.
    pub(crate) fn need(&self, name: &str) -> Result<Loaded, Error> {
        self.load(name)?
            .ok_or_else(|| Error::not_found(format!("volume {name}")))
    }

    /// All volumes, sorted by name, by one command.
    pub(crate) fn all(&self) -> Result<Vec<Record>, Error> {
        let datasets = self
            .get(&self.config.pool, Some("1"), LIST_PROPERTIES)?
            .unwrap_or_default();
        let mut records = Vec::new();
        for dataset in datasets.iter().filter(|d| !d.is_snapshot()) {
            records.extend(Record::of(dataset, &self.config.pool)?);
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    /// Sets properties in this order, at once where the dialect can.
    pub(crate) fn set(&self, path: &str, properties: &[(&str, String)]) -> Result<(), Error> {
        for line in plan::set(&self.dialect()?, path, properties) {
            zfs::run(&format!("recording a change of {path}"), &line)?;
        }
        Ok(())
    }

    /// Makes a dataset that only holds others; there already is success.
    pub(crate) fn make_holder(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name);
        let line = plan::create_holder(&path, &[]);
        zfs::tolerate(&format!("making {path}"), &line, &[Refusal::Exists]).map(drop)
    }

    /// Removes a dataset with all its snapshots and children; gone already is success.
    pub(crate) fn destroy_tree(&self, path: &str) -> Result<(), Error> {
        // A busy mount stops a removal only after the snapshots are gone, so it is asked first.
        self.unmount(path)?;
        let line = plan::words(["destroy", "-r", path]);
        zfs::tolerate(&format!("removing {path}"), &line, &[Refusal::NotThere]).map(drop)
    }

    /// Mounts a filesystem and says where; mounted already is success.
    pub(crate) fn mount(&self, path: &str) -> Result<String, Error> {
        let found = self.get(path, None, "mountpoint")?.unwrap_or_default();
        let point = found.first().and_then(|d| d.native("mountpoint"));
        let Some(point) = point.filter(|p| p.starts_with('/')) else {
            return Err(Error::invalid(
                "pool",
                format!(
                    "{path} has no mount point; give one with `zfs set mountpoint=/… {}`",
                    self.config.pool
                ),
            ));
        };
        if found.iter().any(|d| d.received("mountpoint")) {
            return Err(Error::corrupt(format!(
                "the mount point {point} of {path} came in a stream, so it isn't mounted there; see whether \
                 the volume is what it should be, then run `zfs inherit mountpoint {path}`"
            )));
        }
        let line = plan::words(["mount", path]);
        zfs::tolerate(&format!("mounting {path}"), &line, &[Refusal::Mounted])?;
        Ok(point.to_owned())
    }

    /// Unmounts a filesystem; `in-use` where it is open. What isn't mounted, isn't there or is a zvol is
    /// success.
    pub(crate) fn unmount(&self, path: &str) -> Result<(), Error> {
        let line = plan::words(["unmount", path]);
        let output = zfs::output(&line)?;
        let refusal = refusal::recognise(&output.stderr);
        if output.success() || refusal != Refusal::Busy {
            return Ok(());
        }
        Err(refusal::error(
            &format!("unmounting {path}"),
            &output.stderr,
        ))
    }

    /// Sets the length of a raw disk's file, making it where `new`. Mounts its dataset for this.
    pub(crate) fn set_disk_length(
        &self,
        path: &str,
        size_bytes: u64,
        new: bool,
    ) -> Result<(), Error> {
        let file = format!("{}/disk.raw", self.mount(path)?);
        let what = format!("making the disk of {path}");
        if new {
            zfs::tool(
                "install",
                &what,
                &plan::words(["-m", "0600", "/dev/null", &file]),
            )?;
        }
        let size = size_bytes.to_string();
        zfs::tool("truncate", &what, &plan::words(["-c", "-s", &size, &file])).map(drop)
    }

    /// Volumes that stand on a volume, or on one snapshot of it.
    pub(crate) fn dependants(
        &self,
        volume: &str,
        snapshot: Option<&str>,
    ) -> Result<Vec<String>, Error> {
        let datasets = self
            .get(&self.config.pool, Some("1"), "origin")?
            .unwrap_or_default();
        let path = self.path(volume);
        let stands = |dataset: &&Dataset| {
            let origin = dataset.native("origin").and_then(|o| o.split_once('@'));
            origin.is_some_and(|(on, at)| on == path && snapshot.is_none_or(|s| s == at))
        };
        let found = datasets.iter().filter(stands);
        Ok(found
            .filter_map(|d| d.below(&self.config.pool).map(str::to_owned))
            .collect())
    }
}

/// The guest as a property's value.
pub(crate) fn guest_value(guest: Option<u32>) -> String {
    guest.unwrap_or(0).to_string()
}

/// A property of ours that says nothing.
pub(crate) fn nothing() -> String {
    NONE.to_owned()
}
