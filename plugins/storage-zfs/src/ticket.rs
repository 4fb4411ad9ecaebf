//! The name of what is being received: enough to publish it again after a crash.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::ReceiveRequest;

use crate::words::{is_snapshot_name, is_volume_name};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// A new volume.
    Whole,
    /// A snapshot more of a volume that is there.
    Increment,
}

/// `whole/VOLUME/SNAPSHOT/GUID` or `increment/…`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ticket {
    pub(crate) kind: Kind,
    pub(crate) volume: String,
    pub(crate) snapshot: String,
    pub(crate) guid: String,
}

impl Ticket {
    pub(crate) fn of(kind: Kind, request: &ReceiveRequest) -> Self {
        Self {
            kind,
            volume: request.spec.name.clone(),
            snapshot: request.snapshot.clone(),
            guid: request.guid.clone(),
        }
    }

    pub(crate) fn text(&self) -> String {
        let kind = match self.kind {
            Kind::Whole => "whole",
            Kind::Increment => "increment",
        };
        format!("{kind}/{}/{}/{}", self.volume, self.snapshot, self.guid)
    }

    /// Its parts become arguments, so they are checked.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.split('/').collect();
        if let [kind, volume, snapshot, guid] = parts.as_slice()
            && is_volume_name(volume)
            && is_snapshot_name(snapshot)
            && let Some(kind) = kind_of(kind)
        {
            return Ok(Self {
                kind,
                volume: (*volume).to_owned(),
                snapshot: (*snapshot).to_owned(),
                guid: (*guid).to_owned(),
            });
        }
        Err(Error::invalid("ticket", "it is no ticket of this storage"))
    }
}

fn kind_of(word: &str) -> Option<Kind> {
    match word {
        "whole" => Some(Kind::Whole),
        "increment" => Some(Kind::Increment),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for text in ["whole/a/s:1/5", "increment/vm-1/x/17253260759376172795"] {
            assert_eq!(Ticket::parse(text).unwrap().text(), text);
        }
        for bad in [
            "",
            "whole/a/s",
            "whole/../s/5",
            "other/a/s/5",
            "whole/a/s/5/6",
        ] {
            assert!(Ticket::parse(bad).is_err(), "{bad}");
        }
    }
}
