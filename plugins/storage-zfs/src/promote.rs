//! Making a replica a volume to run from.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::Volume;

use crate::place::{Place, nothing};
use crate::receive;

/// As `transfer.promote` of the contract.
pub(crate) fn promote(
    place: &Place,
    volume: &str,
    newest_guid: &str,
    epoch: u64,
) -> Result<Volume, Error> {
    let mut loaded = place.need(volume)?;
    loaded.record.refuse_stale(epoch)?;
    let newest = loaded.published().next_back();
    let newest =
        newest.ok_or_else(|| Error::not_found(format!("replica {volume}: it has no snapshots")))?;
    if newest.guid != newest_guid {
        let name = format!("{volume}@{} ({})", newest.name, newest.guid);
        let message = format!("the newest snapshot is {name}, not the planned one");
        return Err(Error::blocked(vec![name], message));
    }
    if loaded.record.receiving.is_some() {
        receive::undo(place, &loaded)?;
        loaded = place.need(volume)?;
    }
    let record = &loaded.record;
    if record.read_only || record.epoch != epoch {
        // Writable last: until then it is a replica, and promoting it again does the rest.
        let properties = [
            ("cairn:epoch", epoch.to_string()),
            ("cairn:clean", nothing()),
            ("readonly", "off".to_owned()),
        ];
        place.set(&record.path, &properties)?;
    }
    Ok(place.need(volume)?.record.volume())
}
