//! Which paths are valid.

use crate::StoreError;

/// Longest path.
const PATH_MAX_BYTES: usize = 512;

pub(crate) fn check(path: &str) -> Result<(), StoreError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:@-".contains(c);
    let valid = path.len() <= PATH_MAX_BYTES
        && path
            .split('/')
            .all(|s| !s.is_empty() && s != "." && s != ".." && s.chars().all(plain));
    if valid {
        Ok(())
    } else {
        Err(StoreError::Path(path.chars().take(80).collect()))
    }
}
