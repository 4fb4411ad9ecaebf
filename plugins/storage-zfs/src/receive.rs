//! Receiving. A new volume arrives as `cairn-incoming/NAME/data` and becomes one by its renaming. An
//! increment goes straight into the replica, which is read-only and hides its newest snapshot until that is
//! published.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{Format, Partial, ReceivePlan, ReceiveRequest, Snapshot};
use serde::{Deserialize, Serialize};

use crate::arrived::{disregard, refuse_more};
use crate::create::foreign;
use crate::dataset::Dataset;
use crate::loaded::Loaded;
use crate::place::{Found, INCOMING, Place, guest_value, nothing};
use crate::plan::{self, NOT_FROM_STREAMS};
use crate::record::{LIST_PROPERTIES, Receiving};
use crate::send::process;
use crate::ticket::{Kind, Ticket};
use crate::words::{self, check_snapshot_name, check_volume_name, content_word, format_word};
use crate::{remove, snapshots, zfs};

/// What is noted of a volume to be, encoded as `cairn:incoming` of the dataset it arrives in.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    content: String,
    format: String,
    size_bytes: u64,
    guest: Option<u32>,
    epoch: u64,
    /// The ticket, for the list of what is pending.
    ticket: String,
}

pub(crate) fn receive(place: &Place, request: &ReceiveRequest) -> Result<ReceivePlan, Error> {
    check_volume_name(&request.spec.name)?;
    check_snapshot_name(&request.snapshot)?;
    if request.guid.is_empty() || !request.guid.chars().all(|c| c.is_ascii_digit()) {
        return Err(Error::invalid("guid", "a guid of ZFS is a number"));
    }
    match &request.base {
        Some(base) => increment(place, request, base),
        None => whole(place, request),
    }
}

fn whole(place: &Place, request: &ReceiveRequest) -> Result<ReceivePlan, Error> {
    let name = &request.spec.name;
    match place.find(name)? {
        Found::Nothing => {}
        Found::Leftover => remove::clear(place, name)?,
        Found::Foreign => return Err(foreign(place, name)),
        Found::Volume(_) => {
            return Err(Error::already_exists(format!(
                "volume {name} is there; receive it under another name"
            )));
        }
    }
    let ticket = Ticket::of(Kind::Whole, request).text();
    let path = place.incoming(name);
    let resumes = request.resume && note(place, name)?.is_some_and(|n| n.ticket == ticket);
    if !resumes {
        place.make_holder(INCOMING)?;
        place.destroy_tree(&path)?;
        let note = Note {
            content: content_word(request.spec.content).to_owned(),
            format: format_word(request.spec.format).to_owned(),
            size_bytes: request.spec.size_bytes,
            guest: request.spec.guest,
            epoch: request.epoch,
            ticket: ticket.clone(),
        };
        let text = serde_json::to_string(&note).map_err(|e| Error::internal(e.to_string()))?;
        let properties = [("cairn:incoming", words::encoded(&text))];
        let line = plan::create_holder(&path, &properties);
        zfs::run(&format!("preparing to receive {name}"), &line)?;
    }
    Ok(ReceivePlan {
        stream: process(plan::receive(&place.dialect()?, &format!("{path}/data"))),
        ticket,
    })
}

fn note(place: &Place, name: &str) -> Result<Option<Note>, Error> {
    let found = place
        .get(&place.incoming(name), None, "cairn:incoming")?
        .unwrap_or_default();
    Ok(found.first().and_then(note_of))
}

fn note_of(dataset: &Dataset) -> Option<Note> {
    let text = words::decoded(dataset.own("incoming")?);
    serde_json::from_str(&text).ok()
}

fn increment(place: &Place, request: &ReceiveRequest, base: &str) -> Result<ReceivePlan, Error> {
    let name = &request.spec.name;
    let mut loaded = place
        .load(name)?
        .ok_or_else(|| Error::not_found(format!("volume {name} with the base {base}")))?;
    loaded.record.refuse_stale(request.epoch)?;
    // A reader of the replica itself would see blocks change under it, half of one state, half of the next.
    loaded.record.refuse_attached()?;
    let arriving = Receiving {
        snapshot: request.snapshot.clone(),
        guid: request.guid.clone(),
        size_bytes: request.spec.size_bytes,
        epoch: request.epoch,
    };
    let resumes = request.resume && loaded.record.receiving.as_ref() == Some(&arriving);
    if loaded.record.receiving.is_some() && !resumes {
        undo(place, &loaded)?;
        loaded = place.need(name)?;
    }
    refuse_unfit(place, &loaded, base)?;
    let mut properties = vec![("cairn:receiving", arriving.value())];
    if !loaded.record.read_only {
        properties.insert(0, ("readonly", "on".to_owned()));
    }
    place.set(&loaded.record.path, &properties)?;
    Ok(ReceivePlan {
        stream: process(plan::receive(&place.dialect()?, &loaded.record.path)),
        ticket: Ticket::of(Kind::Increment, request).text(),
    })
}

/// May an increment on this base go into this volume?
fn refuse_unfit(place: &Place, loaded: &Loaded, base: &str) -> Result<(), Error> {
    let name = &loaded.record.name;
    let found = loaded.published().find(|p| p.guid == base);
    let found =
        found.ok_or_else(|| Error::not_found(format!("snapshot of {name} with guid {base}")))?;
    let newer = loaded.newer_than(found.order);
    if !newer.is_empty() {
        let message = format!(
            "snapshots newer than the base are here: {}",
            newer.join(", ")
        );
        return Err(Error::blocked(newer, message));
    }
    if !loaded.children.is_empty() {
        let message =
            format!("volume {name} has datasets below it, which no stream has; remove them");
        return Err(Error::blocked(loaded.children.clone(), message));
    }
    let written = if place.dialect()?.is_open() {
        let datasets = place
            .get(&loaded.record.path, None, "written")?
            .unwrap_or_default();
        datasets.first().and_then(|d| d.number("written")) != Some(0)
    } else {
        loaded.record.clean.as_deref() != Some(base)
    };
    if written {
        let message = format!(
            "volume {name} was written since its newest snapshot; keep these writes in a snapshot, or roll back"
        );
        return Err(Error::blocked(vec!["written".to_owned()], message));
    }
    Ok(())
}

pub(crate) fn publish(place: &Place, ticket: &str) -> Result<Snapshot, Error> {
    let ticket = Ticket::parse(ticket)?;
    let there = place.load(&ticket.volume)?;
    if let Some(loaded) = &there
        && let Some(receiving) = &loaded.record.receiving
        && ticket.kind == Kind::Increment
    {
        return publish_increment(place, loaded, receiving, &ticket);
    }
    let published = there
        .as_ref()
        .and_then(|loaded| loaded.published().find(|p| p.guid == ticket.guid));
    if let Some(point) = published {
        if ticket.kind == Kind::Whole {
            // The renaming was the commit; a publish that was cut off then only has to tidy up.
            place.destroy_tree(&place.incoming(&ticket.volume))?;
        }
        return Ok(point.snapshot(&ticket.volume, point.tags.clone()));
    }
    if ticket.kind == Kind::Increment {
        return Err(Error::not_found(format!("transfer {}", ticket.text())));
    }
    publish_whole(place, &ticket)
}

fn publish_whole(place: &Place, ticket: &Ticket) -> Result<Snapshot, Error> {
    let name = &ticket.volume;
    let note = note(place, name)?
        .ok_or_else(|| Error::not_found(format!("transfer {}", ticket.text())))?;
    let data = format!("{}/data", place.incoming(name));
    let properties = format!(
        "{LIST_PROPERTIES},guid,createtxg,{}",
        NOT_FROM_STREAMS.join(",")
    );
    let found = place
        .get(&data, Some("1"), &properties)?
        .unwrap_or_default();
    let arrived = format!("{data}@{}", ticket.snapshot);
    let snapshot = found
        .iter()
        .find(|d| d.path == arrived)
        .ok_or_else(|| incomplete(name))?;
    check_guid(snapshot.native("guid"), ticket)?;
    refuse_more(
        name,
        found
            .iter()
            .map(|d| &d.path)
            .filter(|p| **p != data && **p != arrived),
    )?;
    if let Some(dataset) = found.first() {
        disregard(dataset)?;
    }
    let zvol = found.first().is_some_and(Dataset::is_zvol);
    let mut properties = vec![("readonly", "on".to_owned())];
    if !zvol {
        properties.insert(0, ("canmount", "noauto".to_owned()));
    }
    properties.extend([
        ("cairn:format", note.format.clone()),
        ("cairn:size", note.size_bytes.to_string()),
        ("cairn:guest", guest_value(note.guest)),
        ("cairn:epoch", note.epoch.to_string()),
        ("cairn:clean", ticket.guid.clone()),
        ("cairn:content", note.content.clone()),
    ]);
    let is_file = !zvol && words::format(&note.format) == Some(Format::Raw);
    if is_file {
        place.set(&arrived, &[("cairn:size", note.size_bytes.to_string())])?;
    }
    place.set(&data, &properties)?;
    let line = plan::words(["rename", &data, &place.path(name)]);
    zfs::run(&format!("publishing volume {name}"), &line)?;
    place.destroy_tree(&place.incoming(name))?;
    let loaded = place.need(name)?;
    Ok(loaded.point(&ticket.snapshot)?.snapshot(name, Vec::new()))
}

fn publish_increment(
    place: &Place,
    loaded: &Loaded,
    receiving: &Receiving,
    ticket: &Ticket,
) -> Result<Snapshot, Error> {
    let record = &loaded.record;
    let arrived = loaded.points.iter().find(|p| p.name == ticket.snapshot);
    let arrived = arrived.ok_or_else(|| incomplete(&record.name))?;
    check_guid(Some(&arrived.guid), ticket)?;
    refuse_more(&record.name, &loaded.children)?;
    let came = place.get(&record.path, None, &NOT_FROM_STREAMS.join(","))?;
    for dataset in came.unwrap_or_default() {
        disregard(&dataset)?;
    }
    let mut properties = vec![
        ("cairn:epoch", record.epoch.max(receiving.epoch).to_string()),
        ("cairn:clean", ticket.guid.clone()),
    ];
    if record.has_disk_file() {
        let size = receiving.size_bytes.to_string();
        let path = format!("{}@{}", record.path, ticket.snapshot);
        place.set(&path, &[("cairn:size", size.clone())])?;
        properties.push(("cairn:size", size));
    }
    properties.push(("cairn:receiving", nothing()));
    place.set(&record.path, &properties)?;
    let loaded = place.need(&record.name)?;
    Ok(loaded
        .point(&ticket.snapshot)?
        .snapshot(&record.name, Vec::new()))
}

fn incomplete(volume: &str) -> Error {
    Error::unavailable(format!(
        "volume {volume} has not arrived whole; resume the transfer or send anew"
    ))
}

fn check_guid(found: Option<&str>, ticket: &Ticket) -> Result<(), Error> {
    if found == Some(ticket.guid.as_str()) {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "what arrived as {}@{} has guid {}, not {}",
        ticket.volume,
        ticket.snapshot,
        found.unwrap_or("none"),
        ticket.guid
    )))
}

pub(crate) fn abandon(place: &Place, ticket: &str) -> Result<(), Error> {
    let ticket = Ticket::parse(ticket)?;
    match ticket.kind {
        Kind::Whole => place.destroy_tree(&place.incoming(&ticket.volume)),
        Kind::Increment => match place.load(&ticket.volume)? {
            Some(loaded) if loaded.record.receiving.is_some() => undo(place, &loaded),
            _ => Ok(()),
        },
    }
}

/// Takes back what has arrived of an increment: the replica is as it was at its newest published
/// snapshot.
pub(crate) fn undo(place: &Place, loaded: &Loaded) -> Result<(), Error> {
    let record = &loaded.record;
    if place.dialect()?.is_open() {
        // Fails where nothing is left of an interrupted stream, which is as good.
        zfs::output(&plan::words(["receive", "-A", &record.path]))?;
    }
    let arriving = record.receiving.as_ref().map(|r| r.snapshot.as_str());
    let arrived = loaded
        .points
        .iter()
        .find(|p| Some(p.name.as_str()) == arriving);
    if let Some(arrived) = arrived {
        snapshots::destroy(loaded, &arrived.name)?;
        if let Some(newest) = loaded.published().next_back() {
            snapshots::roll(place, loaded, newest)?;
        }
    }
    place.set(&record.path, &[("cairn:receiving", nothing())])
}

pub(crate) fn pending(place: &Place) -> Result<Vec<Partial>, Error> {
    let token = if place.dialect()?.is_open() {
        ",receive_resume_token"
    } else {
        ""
    };
    let holder = place.path(INCOMING);
    let properties = format!("used,cairn:incoming{token}");
    let arriving = place
        .get(&holder, Some("2"), &properties)?
        .unwrap_or_default();
    let mut found = Vec::new();
    for dataset in arriving.iter().filter(|d| !d.is_snapshot()) {
        let (Some(name), Some(note)) = (dataset.below(&holder), note_of(dataset)) else {
            continue;
        };
        let data = arriving
            .iter()
            .find(|d| d.path == format!("{}/data", dataset.path));
        found.push(partial(name, note.ticket, data));
    }
    let properties = format!("used,cairn:receiving{token}");
    let volumes = place
        .get(&place.config.pool, Some("1"), &properties)?
        .unwrap_or_default();
    for dataset in &volumes {
        let receiving = dataset.own("receiving").and_then(Receiving::parse);
        if let (Some(name), Some(receiving)) = (dataset.below(&place.config.pool), receiving) {
            let ticket = Ticket {
                kind: Kind::Increment,
                volume: name.to_owned(),
                snapshot: receiving.snapshot,
                guid: receiving.guid,
            };
            let mut partial = partial(name, ticket.text(), Some(dataset));
            partial.received_bytes = None;
            found.push(partial);
        }
    }
    Ok(found)
}

fn partial(volume: &str, ticket: String, data: Option<&Dataset>) -> Partial {
    let token = data.and_then(|d| d.native("receive_resume_token"));
    Partial {
        ticket,
        volume: volume.to_owned(),
        resume_token: token.map(str::to_owned),
        received_bytes: data.and_then(|d| d.number("used")),
    }
}
