//! Transfers: what a snapshot is sent by, and the contract's interface.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{
    FormatReport, Partial, Process, ReceivePlan, ReceiveRequest, SendPlan, SendRequest, Snapshot,
    StreamEnd, Transfer, Volume,
};

use crate::loaded::Loaded;
use crate::place::Place;
use crate::plan::{self, PLAIN_STREAM, RAW_STREAM};
use crate::zfs::{self, Dialect};
use crate::{StorageZfs, receive};

/// A token is hexadecimal with dashes; what isn't can't be an argument either.
const TOKEN_MAX_BYTES: usize = 8_192;

impl Transfer for StorageZfs {
    fn formats() -> Result<FormatReport, Error> {
        let dialect = Place::open()?.dialect()?;
        let formats: Vec<String> = formats(&dialect).iter().map(|f| (*f).to_owned()).collect();
        Ok(FormatReport {
            offered: formats.clone(),
            accepted: formats,
            resumable: dialect.is_open(),
        })
    }

    fn send(request: SendRequest) -> Result<SendPlan, Error> {
        let place = Place::open()?;
        let dialect = place.dialect()?;
        check_format(&dialect, &request.format)?;
        let loaded = place.need(&request.volume)?;
        let line = match &request.resume_token {
            Some(token) => resumed(&dialect, token)?,
            None => send(&loaded, &request)?,
        };
        let estimate = if dialect.is_open() && request.resume_token.is_none() {
            zfs::output(&plan::estimate(&line))
                .ok()
                .filter(|o| o.success())
        } else {
            None
        };
        Ok(SendPlan {
            stream: process(line),
            estimated_bytes: estimate.and_then(|o| plan::estimated_bytes(&o.stdout)),
        })
    }

    fn receive(request: ReceiveRequest) -> Result<ReceivePlan, Error> {
        let place = Place::open()?;
        check_format(&place.dialect()?, &request.format)?;
        receive::receive(&place, &request)
    }

    fn publish(ticket: String) -> Result<Snapshot, Error> {
        receive::publish(&Place::open()?, &ticket)
    }

    fn abandon(ticket: String) -> Result<(), Error> {
        receive::abandon(&Place::open()?, &ticket)
    }

    fn pending() -> Result<Vec<Partial>, Error> {
        receive::pending(&Place::open()?)
    }

    fn promote(volume: String, newest_guid: String, epoch: u64) -> Result<Volume, Error> {
        crate::promote::promote(&Place::open()?, &volume, &newest_guid, epoch)
    }
}

/// `zfs` run with these arguments as one end of a stream.
pub(crate) fn process(arguments: Vec<String>) -> StreamEnd {
    StreamEnd::Process(Process {
        command: "zfs".to_owned(),
        arguments,
        secret_environment: Vec::new(),
    })
}

fn formats(dialect: &Dialect) -> &'static [&'static str] {
    if dialect.is_open() {
        &[RAW_STREAM, PLAIN_STREAM]
    } else {
        &[PLAIN_STREAM]
    }
}

fn check_format(dialect: &Dialect, format: &str) -> Result<(), Error> {
    let formats = formats(dialect);
    if formats.contains(&format) {
        return Ok(());
    }
    Err(Error::invalid(
        "format",
        format!("this storage has {}", formats.join(", ")),
    ))
}

fn resumed(dialect: &Dialect, token: &str) -> Result<Vec<String>, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let good = token.starts_with(|c: char| c.is_ascii_alphanumeric())
        && token.len() <= TOKEN_MAX_BYTES
        && token.chars().all(plain);
    if !dialect.is_open() || !good {
        return Err(Error::invalid(
            "resume-token",
            "it is no token of this storage's tools; send anew",
        ));
    }
    let line = plan::words(["send", "-t", token]);
    let probe = zfs::output(&plan::words(["send", "-n", "-P", "-t", token]))?;
    if probe.success() {
        return Ok(line);
    }
    Err(Error::invalid(
        "resume-token",
        "it is no longer good here; send anew",
    ))
}

fn send(loaded: &Loaded, request: &SendRequest) -> Result<Vec<String>, Error> {
    let point = loaded.point(&request.snapshot)?;
    let base = match &request.base {
        None => None,
        Some(guid) => {
            let found = loaded
                .published()
                .find(|p| p.guid == *guid && p.order < point.order);
            Some(found.ok_or_else(|| {
                Error::not_found(format!(
                    "older snapshot of {} with guid {guid}",
                    loaded.record.name
                ))
            })?)
        }
    };
    let base = base.map(|b| b.name.as_str());
    Ok(plan::send(
        &loaded.record.path,
        &point.name,
        base,
        &request.format,
    ))
}
