//! Attaching and detaching. A dataset is mounted only while someone has it attached, so a volume that is
//! still open shows when it is unmounted; a snapshot is read through a clone that goes with its last reader.

use cairn_sdk::host::Command;
use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{AttachRequest, Attachment, DetachRequest, Format, Holder};

use crate::attached;
use crate::loaded::Loaded;
use crate::place::{Place, VIEWS, nothing};
use crate::plan;
use crate::record::Record;
use crate::refusal::Refusal;
use crate::zfs;

/// A property's value must fit the smaller of the dialects' limits.
const HOLDERS_MAX_BYTES: usize = 1_000;
/// How often a device must be seen open before that is believed.
const OPEN_LOOKS: u32 = 3;

/// As `volumes.attach` of the contract.
pub(crate) fn attach(name: &str, request: &AttachRequest) -> Result<Attachment, Error> {
    let place = Place::open()?;
    let loaded = place.need(name)?;
    let record = &loaded.record;
    record.refuse_stale(request.epoch)?;
    refuse_writing(&loaded, request)?;
    let holders = attached::granted(name, &record.holders, request)?;
    let value = attached::value(&holders);
    if value.len() > HOLDERS_MAX_BYTES {
        return Err(Error::in_use(
            attached::names(&record.holders),
            format!("volume {name} is attached too often to record once more; detach it somewhere"),
        ));
    }
    let attachment = ready(&place, record, request.snapshot.as_deref())?;
    if record.holders != holders || record.epoch < request.epoch {
        let epoch = record.epoch.max(request.epoch);
        let mut properties = Vec::new();
        let writable = !request.read_only && (record.read_only || record.clean.is_some());
        if writable {
            properties.push(("cairn:clean", nothing()));
        }
        properties.push(("cairn:epoch", epoch.to_string()));
        properties.push(("cairn:attached", value));
        if writable && record.read_only {
            properties.push(("readonly", "off".to_owned()));
        }
        place.set(&record.path, &properties)?;
    }
    Ok(attachment)
}

fn refuse_writing(loaded: &Loaded, request: &AttachRequest) -> Result<(), Error> {
    let record = &loaded.record;
    if let Some(snapshot) = &request.snapshot {
        loaded.point(snapshot)?;
    }
    if request.read_only {
        return Ok(());
    }
    let rule = match &request.snapshot {
        Some(snapshot) => format!("snapshot {snapshot} can only be read"),
        None if record.template => {
            format!("volume {} is a template: it can only be read", record.name)
        }
        None => {
            let Some(receiving) = &record.receiving else {
                return Ok(());
            };
            let holder = format!("transfer of snapshot {}", receiving.snapshot);
            let message = format!(
                "volume {} is receiving; publish or abandon it first",
                record.name
            );
            return Err(Error::in_use(vec![holder], message));
        }
    };
    Err(Error::invalid("read-only", rule))
}

/// Makes what is to be opened openable.
fn ready(place: &Place, record: &Record, snapshot: Option<&str>) -> Result<Attachment, Error> {
    let path = match snapshot {
        Some(snapshot) => make_view(place, record, snapshot)?,
        None => record.path.clone(),
    };
    if record.zvol {
        let device = format!("/dev/zvol/{path}");
        wait_for(&device);
        return Ok(Attachment::BlockDevice(device));
    }
    let point = match &record.mountpoint {
        Some(point) if record.mounted && snapshot.is_none() => point.clone(),
        _ => place.mount(&path)?,
    };
    Ok(match record.format {
        Format::Directory => Attachment::Directory(point),
        _ => Attachment::File(format!("{point}/disk.raw")),
    })
}

fn make_view(place: &Place, record: &Record, snapshot: &str) -> Result<String, Error> {
    place.make_holder(VIEWS)?;
    let path = place.view(&record.name, snapshot);
    let origin = format!("{}@{snapshot}", record.path);
    let line = plan::clone(
        &origin,
        &path,
        record.zvol,
        &[("readonly", "on".to_owned())],
    );
    let what = format!("opening snapshot {}@{snapshot}", record.name);
    zfs::tolerate(&what, &line, &[Refusal::Exists])?;
    Ok(path)
}

/// Refuses while a process has a zvol's device open. udev opens devices for a moment, so it is waited for and
/// a process must be there more than once. Where `fuser` isn't installed or granted, nobody can tell.
fn refuse_open(path: &str) -> Result<(), Error> {
    let device = format!("/dev/zvol/{path}");
    let mut left = Vec::new();
    for look in 0..OPEN_LOOKS {
        if look == 1 {
            let line = plan::words(["settle", "--timeout=10"]);
            let _ = Command::new("udevadm").args(line).output();
        }
        let Ok(output) = Command::new("fuser").arg(&device).output() else {
            return Ok(());
        };
        left = processes(&output.stdout);
        if left.is_empty() {
            return Ok(());
        }
    }
    let message = format!(
        "{device} is still open by {}; end what uses it, then detach it",
        left.join(", ")
    );
    Err(Error::in_use(left, message))
}

/// What `fuser` lists, for people: `process 328`.
fn processes(text: &str) -> Vec<String> {
    let numbers = text.split_whitespace();
    numbers.map(|pid| format!("process {pid}")).collect()
}

/// A zvol's device is made by udev, a moment after the zvol. Where udev can't be asked, who opens the
/// device finds out.
fn wait_for(device: &str) {
    let line = plan::words([
        "settle",
        "--timeout=10",
        &format!("--exit-if-exists={device}"),
    ]);
    let _ = Command::new("udevadm").args(line).output();
}

/// As `volumes.detach` of the contract.
pub(crate) fn detach(name: &str, request: &DetachRequest) -> Result<(), Error> {
    let place = Place::open()?;
    let Some(loaded) = place.load(name)? else {
        return Ok(());
    };
    let record = &loaded.record;
    let (gone, left): (Vec<Holder>, Vec<Holder>) = record
        .holders
        .iter()
        .cloned()
        .partition(|h| h.node == request.node);
    let newest = gone.iter().map(|h| h.epoch).max();
    if let Some(newest) = newest.filter(|epoch| !request.force && *epoch > request.epoch) {
        return Err(Error::stale_epoch(request.epoch, newest));
    }
    if gone.is_empty() {
        return Ok(());
    }
    close(&place, record, &gone, &left, request.force)?;
    place.set(&record.path, &[("cairn:attached", attached::value(&left))])
}

/// Unmounts what nobody who is left needs, and removes views.
fn close(
    place: &Place,
    record: &Record,
    gone: &[Holder],
    left: &[Holder],
    force: bool,
) -> Result<(), Error> {
    for holder in gone {
        if left.iter().any(|h| h.snapshot == holder.snapshot) {
            continue;
        }
        let closed = match &holder.snapshot {
            Some(snapshot) => place.destroy_tree(&place.view(&record.name, snapshot)),
            None if record.zvol => refuse_open(&record.path),
            None => place.unmount(&record.path),
        };
        if !force {
            closed?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_fuser() {
        assert_eq!(processes("   328  412"), ["process 328", "process 412"]);
        assert!(processes("").is_empty());
    }
}
