//! Who has a volume attached, as the value of `cairn:attached`, and who may attach it.
//!
//! `NODE=EPOCH=rw=SNAPSHOT,…`; the last part is empty for the volume itself, and `~` is nobody.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{AttachRequest, Holder, Purpose};

const NOBODY: &str = "~";

/// Holders as recorded; what doesn't follow the form is an error, as a holder overlooked costs data.
pub(crate) fn parse(value: Option<&str>) -> Result<Vec<Holder>, Error> {
    let value = value.unwrap_or(NOBODY);
    if value == NOBODY {
        return Ok(Vec::new());
    }
    let holders: Option<Vec<Holder>> = value.split(',').map(holder).collect();
    holders.ok_or_else(|| {
        Error::corrupt(format!(
            "the property cairn:attached can't be read: `{value}`; see who uses the volume, then clear it with \
             `zfs inherit cairn:attached`"
        ))
    })
}

fn holder(text: &str) -> Option<Holder> {
    let mut parts = text.split('=');
    let (node, epoch, mode, snapshot) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || node.is_empty() {
        return None;
    }
    Some(Holder {
        node: node.to_owned(),
        epoch: epoch.parse().ok()?,
        read_only: match mode {
            "ro" => true,
            "rw" => false,
            _ => return None,
        },
        snapshot: Some(snapshot.to_owned()).filter(|s| !s.is_empty()),
    })
}

/// The value that records these holders.
pub(crate) fn value(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return NOBODY.to_owned();
    }
    let entries: Vec<String> = holders
        .iter()
        .map(|h| {
            let mode = if h.read_only { "ro" } else { "rw" };
            let snapshot = h.snapshot.as_deref().unwrap_or_default();
            format!("{}={}={mode}={snapshot}", h.node, h.epoch)
        })
        .collect();
    entries.join(",")
}

/// Names for an error: `node n1`.
pub(crate) fn names<'a>(holders: impl IntoIterator<Item = &'a Holder>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for holder in holders {
        let name = format!("node {}", holder.node);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The holders once `request` is granted.
pub(crate) fn granted(
    volume: &str,
    holders: &[Holder],
    request: &AttachRequest,
) -> Result<Vec<Holder>, Error> {
    let writing = !request.read_only && request.purpose != Purpose::MigratingIn;
    let others = names(
        holders
            .iter()
            .filter(|h| !h.read_only && h.node != request.node),
    );
    if writing && !others.is_empty() {
        let message = format!(
            "volume {volume} is attached for writing on {}; detach it there, or fence the node",
            others.join(", ")
        );
        return Err(Error::in_use(others, message));
    }
    let same = |h: &Holder| {
        h.node == request.node && h.read_only == request.read_only && h.snapshot == request.snapshot
    };
    let mut after: Vec<Holder> = holders.iter().filter(|h| !same(h)).cloned().collect();
    after.push(Holder {
        node: request.node.clone(),
        epoch: request.epoch,
        read_only: request.read_only,
        snapshot: request.snapshot.clone(),
    });
    Ok(after)
}

#[cfg(test)]
mod tests {
    use cairn_sdk::plugin::Cause;

    use super::*;

    fn request(node: &str, read_only: bool, purpose: Purpose) -> AttachRequest {
        AttachRequest {
            node: node.to_owned(),
            epoch: 7,
            read_only,
            snapshot: None,
            purpose,
        }
    }

    #[test]
    fn both_ways() {
        assert!(parse(None).unwrap().is_empty());
        assert!(parse(Some("~")).unwrap().is_empty());
        let text = "n1=3=rw=,n2=4=ro=Auto:2026-11-23";
        let holders = parse(Some(text)).unwrap();
        assert_eq!(holders.len(), 2);
        assert_eq!(holders[1].snapshot.as_deref(), Some("Auto:2026-11-23"));
        assert_eq!(value(&holders), text);
        assert_eq!(value(&[]), "~");
        for bad in ["n1", "n1=x=rw=", "n1=1=xx=", "=1=rw=", "n1=1=rw==", ""] {
            assert!(parse(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_writer() {
        let held = parse(Some("n1=3=rw=")).unwrap();
        let refused = granted("v", &held, &request("n2", false, Purpose::Run)).unwrap_err();
        assert_eq!(refused.cause, Cause::InUse(vec!["node n1".to_owned()]));
        assert_eq!(
            granted("v", &held, &request("n2", true, Purpose::Copy))
                .unwrap()
                .len(),
            2
        );
        assert_eq!(
            granted("v", &held, &request("n2", false, Purpose::MigratingIn))
                .unwrap()
                .len(),
            2
        );
        let again = granted("v", &held, &request("n1", false, Purpose::Run)).unwrap();
        assert_eq!(value(&again), "n1=7=rw=");
    }
}
