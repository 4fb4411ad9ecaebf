//! Transfers: a snapshot as a qcow2 file, whole or only what lies above its base.
//!
//! The file is made (or arrives) under `transfer/`, so it is no part of any volume until `publish`
//! renames it into place and records it. A replica that was written since can't take an increment: its
//! writes would be lost.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{
    ByteRange, Content, Format, FormatReport, Hints, Partial, ReceivePlan, ReceiveRequest,
    SendPlan, SendRequest, Snapshot, StreamEnd, Transfer, Volume, VolumeSpec,
};
use serde::{Deserialize, Serialize};

use crate::StorageDir;
use crate::meta::{Meta, content, content_word};
use crate::place::{Place, TRANSFER, check_volume_name, file, folder};
use crate::snapshots::freeze;
use crate::volumes::blank;
use crate::{header, image};

const FORMAT: &str = "qcow2-delta";

/// What is being received, beside its file.
#[derive(Debug, Serialize, Deserialize)]
struct Incoming {
    volume: String,
    content: String,
    size_bytes: u64,
    guest: Option<u32>,
    snapshot: String,
    guid: String,
    base: Option<String>,
    epoch: u64,
}

impl Transfer for StorageDir {
    fn formats() -> Result<FormatReport, Error> {
        let formats = vec![FORMAT.to_owned()];
        Ok(FormatReport {
            offered: formats.clone(),
            accepted: formats,
            resumable: false,
        })
    }

    fn send(request: SendRequest) -> Result<SendPlan, Error> {
        let place = Place::open()?;
        let meta = Meta::need(&place, &request.volume)?;
        refuse_format(&request.format)?;
        if request.resume_token.is_some() {
            return Err(Error::invalid(
                "resume-token",
                "this storage's streams begin anew",
            ));
        }
        let frozen = meta.snapshot(&request.snapshot)?;
        let base = match &request.base {
            None => None,
            Some(guid) => {
                let base = meta
                    .snapshots
                    .iter()
                    .find(|s| s.guid == *guid && s.order < frozen.order);
                Some(base.ok_or_else(|| {
                    Error::not_found(format!("older snapshot of {} with guid {guid}", meta.name))
                })?)
            }
        };
        let out = format!("{TRANSFER}/send-{}.qcow2", meta.name);
        image::export(
            &place,
            &meta.name,
            &frozen.layer,
            base.map(|b| b.layer.as_str()),
            &out,
        )?;
        let size = place.dir.stat(&out)?.map(|m| m.size_bytes);
        let bytes = ByteRange {
            path: place.absolute(&out),
            offset: 0,
            length: 0,
        };
        Ok(SendPlan {
            stream: StreamEnd::Bytes(bytes),
            estimated_bytes: size,
        })
    }

    fn receive(request: ReceiveRequest) -> Result<ReceivePlan, Error> {
        check_volume_name(&request.spec.name)?;
        refuse_format(&request.format)?;
        let place = Place::open()?;
        let name = &request.spec.name;
        match (Meta::load(&place, name)?, &request.base) {
            (Some(_), None) => {
                return Err(Error::already_exists(format!(
                    "volume {name} is there; receive it under another name"
                )));
            }
            (None, Some(guid)) => {
                return Err(Error::not_found(format!(
                    "volume {name} with the base {guid}"
                )));
            }
            (Some(meta), Some(guid)) => refuse_unfit(&meta, guid, request.epoch)?,
            (None, None) => {}
        }
        let incoming = Incoming {
            volume: name.clone(),
            content: content_word(request.spec.content).to_owned(),
            size_bytes: request.spec.size_bytes,
            guest: request.spec.guest,
            snapshot: request.snapshot,
            guid: request.guid,
            base: request.base,
            epoch: request.epoch,
        };
        place.dir.remove(&part(name))?;
        let text = serde_json::to_vec(&incoming).map_err(|e| Error::internal(e.to_string()))?;
        place.dir.write(&note(name), &text)?;
        let bytes = ByteRange {
            path: place.absolute(&part(name)),
            offset: 0,
            length: 0,
        };
        Ok(ReceivePlan {
            stream: StreamEnd::Bytes(bytes),
            ticket: name.clone(),
        })
    }

    fn publish(ticket: String) -> Result<Snapshot, Error> {
        check_volume_name(&ticket)?;
        let place = Place::open()?;
        let Some(incoming) = incoming(&place, &ticket)? else {
            return published(&place, &ticket);
        };
        let there = Meta::load(&place, &ticket)?;
        // A publish that was cut off after its commit only has to tidy up.
        let done = there
            .as_ref()
            .is_some_and(|m| m.snapshots.last().is_some_and(|s| s.guid == incoming.guid));
        if !done {
            install(&place, there, &incoming)?;
        }
        place.dir.remove(&part(&ticket))?;
        place.dir.remove(&note(&ticket))?;
        published(&place, &ticket)
    }

    fn abandon(ticket: String) -> Result<(), Error> {
        check_volume_name(&ticket)?;
        let place = Place::open()?;
        place.dir.remove(&header::copy(&part(&ticket)))?;
        place.dir.remove(&part(&ticket))?;
        Ok(place.dir.remove(&note(&ticket))?)
    }

    fn pending() -> Result<Vec<Partial>, Error> {
        let place = Place::open()?;
        let mut found = Vec::new();
        for entry in place.dir.list(TRANSFER)? {
            let ticket = entry
                .name
                .strip_prefix("receive-")
                .and_then(|n| n.strip_suffix(".json"));
            if let Some(ticket) = ticket {
                found.push(Partial {
                    ticket: ticket.to_owned(),
                    volume: ticket.to_owned(),
                    resume_token: None,
                    received_bytes: place.dir.stat(&part(ticket))?.map(|m| m.size_bytes),
                });
            }
        }
        Ok(found)
    }

    fn promote(volume: String, newest_guid: String, epoch: u64) -> Result<Volume, Error> {
        let place = Place::open()?;
        let mut meta = Meta::need(&place, &volume)?;
        meta.refuse_stale(epoch)?;
        if let Some(newest) = meta.snapshots.last().filter(|s| s.guid != newest_guid) {
            let name = format!("{volume}@{} ({})", newest.name, newest.guid);
            let message = format!("the newest snapshot is {name}, not the planned one");
            return Err(Error::blocked(vec![name], message));
        }
        if meta.snapshots.is_empty() {
            return Err(Error::not_found(format!(
                "replica {volume}: it has no snapshots"
            )));
        }
        meta.replica = false;
        meta.epoch = epoch;
        meta.save(&place)?;
        meta.volume(&place)
    }
}

fn refuse_format(format: &str) -> Result<(), Error> {
    if format == FORMAT {
        Ok(())
    } else {
        Err(Error::invalid(
            "format",
            format!("this storage has {FORMAT} only"),
        ))
    }
}

/// May an increment on this base be put on this volume?
fn refuse_unfit(meta: &Meta, base: &str, epoch: u64) -> Result<(), Error> {
    meta.refuse_stale(epoch)?;
    meta.refuse_attached()?;
    let newer: Vec<String> = meta
        .snapshots
        .iter()
        .rev()
        .take_while(|s| s.guid != base)
        .map(|s| format!("{}@{}", meta.name, s.name))
        .collect();
    if newer.len() == meta.snapshots.len() {
        return Err(Error::not_found(format!(
            "snapshot of {} with guid {base}",
            meta.name
        )));
    }
    if !newer.is_empty() {
        let message = format!(
            "snapshots newer than the base are here: {}",
            newer.join(", ")
        );
        return Err(Error::blocked(newer, message));
    }
    if !meta.replica {
        let message = format!(
            "volume {} was written since its newest snapshot; keep these writes first",
            meta.name
        );
        return Err(Error::blocked(vec!["written".to_owned()], message));
    }
    Ok(())
}

/// Puts the received file into the volume: renames it to be a layer, lays an active one on it, and
/// records both.
fn install(place: &Place, there: Option<Meta>, incoming: &Incoming) -> Result<(), Error> {
    let name = &incoming.volume;
    header::check(place, &part(name), incoming.base.is_some())?;
    let size = image::size(place, &part(name)).map_err(|e| {
        Error::unavailable(format!(
            "what was received of {name} is not whole: {}",
            e.message
        ))
    })?;
    let mut meta = match there {
        Some(meta) => meta,
        None => {
            place.dir.remove_tree(&folder(name))?;
            place.dir.make_directory(&folder(name))?;
            blank(&spec(incoming, size), size)
        }
    };
    if let Some(base) = incoming.base.as_ref() {
        let frozen = meta.snapshots.last().filter(|s| s.guid == *base);
        let frozen = frozen.ok_or_else(|| Error::not_found(format!("base {base} of {name}")))?;
        image::repoint(place, &part(name), &frozen.layer)?;
    }
    let received = meta.next_layer();
    place.dir.rename(&part(name), &file(name, &received))?;
    let active = meta.next_layer();
    image::overlay(place, name, &active, &received, size)?;
    meta.size_bytes = size;
    meta.epoch = meta.epoch.max(incoming.epoch);
    meta.active = received;
    freeze(&mut meta, &incoming.snapshot, incoming.guid.clone(), active);
    meta.replica = true;
    meta.save(place)?;
    meta.sweep(place)
}

fn spec(incoming: &Incoming, size_bytes: u64) -> VolumeSpec {
    let content: Content = content(&incoming.content);
    VolumeSpec {
        name: incoming.volume.clone(),
        content,
        format: Format::Qcow2,
        size_bytes,
        guest: incoming.guest,
        hints: Hints {
            thin: None,
            block_size: None,
            encrypted: None,
            extra: Vec::new(),
        },
    }
}

fn published(place: &Place, volume: &str) -> Result<Snapshot, Error> {
    let meta = Meta::need(place, volume)?;
    let newest = meta.snapshots.last().filter(|_| meta.replica);
    let newest = newest.ok_or_else(|| Error::not_found(format!("transfer {volume}")))?;
    meta.as_snapshot(place, newest)
}

fn incoming(place: &Place, ticket: &str) -> Result<Option<Incoming>, Error> {
    if place.dir.stat(&note(ticket))?.is_none() {
        return Ok(None);
    }
    let bytes = place.dir.read(&note(ticket))?;
    let incoming = serde_json::from_slice(&bytes)
        .map_err(|e| Error::corrupt(format!("the note on transfer {ticket} can't be read: {e}")))?;
    Ok(Some(incoming))
}

fn part(ticket: &str) -> String {
    format!("{TRANSFER}/receive-{ticket}.qcow2")
}

fn note(ticket: &str) -> String {
    format!("{TRANSFER}/receive-{ticket}.json")
}
