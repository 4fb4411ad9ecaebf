//! What a stream has brought, before it counts: whoever made the stream doesn't say where it is mounted, for
//! whom, or that there is more than one dataset.

use cairn_sdk::plugin::Error;

use crate::dataset::Dataset;
use crate::plan::{self, NOT_FROM_STREAMS};
use crate::zfs;

/// Takes back what a stream has set of the properties that the node says; zfs-fuse can't leave them out.
pub(crate) fn disregard(dataset: &Dataset) -> Result<(), Error> {
    for property in NOT_FROM_STREAMS {
        if dataset.received(property) {
            let line = plan::words(["inherit", property, &dataset.path]);
            let what = format!("taking back {property} of {}", dataset.path);
            zfs::run(&what, &line)?;
        }
    }
    Ok(())
}

/// Refuses a stream that held more than one dataset with one snapshot.
pub(crate) fn refuse_more<'a>(
    volume: &str,
    more: impl IntoIterator<Item = &'a String>,
) -> Result<(), Error> {
    let more: Vec<&str> = more.into_iter().map(String::as_str).collect();
    if more.is_empty() {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "more than one snapshot of {volume} arrived: {}; abandon the transfer and remove what is below",
        more.join(", ")
    )))
}
