//! Growing a volume. An attached one is grown by the guest that has it open.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{Resize, Volume};

use crate::StorageDir;
use crate::backend::STEP_BYTES;
use crate::image;
use crate::meta::Meta;
use crate::place::Place;

impl Resize for StorageDir {
    fn grow(name: String, size_bytes: u64) -> Result<Volume, Error> {
        let place = Place::open()?;
        let mut meta = Meta::need(&place, &name)?;
        if meta.is_tree() {
            return Err(Error::unsupported("a plain directory has no size"));
        }
        let size = size_bytes
            .checked_next_multiple_of(STEP_BYTES)
            .ok_or_else(|| Error::invalid("size", "it is too large"))?;
        if size < meta.size_bytes {
            return Err(Error::unsupported(format!(
                "volume {name} has {} bytes, and {size} is smaller: what lies past it would be lost",
                meta.size_bytes
            )));
        }
        if size > meta.size_bytes {
            meta.refuse_attached()?;
            image::resize(&place, &name, &meta.active, size)?;
            meta.size_bytes = size;
            meta.save(&place)?;
        }
        meta.volume(&place)
    }
}
