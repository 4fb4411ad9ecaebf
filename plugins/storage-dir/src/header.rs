//! The header of a qcow2 file that arrived, read before any tool opens the file: a crafted one makes the
//! tools open other files of the node.

use cairn_sdk::plugin::Error;

use crate::image;
use crate::place::Place;

const MAGIC: &[u8] = b"QFI\xfb";
/// Where the fields lie, all big-endian.
const VERSION_AT: usize = 4;
const BACKING_AT: usize = 8;
const ENCRYPTION_AT: usize = 32;
const INCOMPATIBLE_AT: usize = 72;
const DATA_FILE: u64 = 1 << 2;
/// Compression's type and extended L2 entries: they change how the file itself is read, no more.
const HARMLESS: u64 = 1 << 3 | 1 << 4;

/// Refuses what was received unless it is a qcow2 file that has all its data in itself, but for what is
/// below it where `based`.
pub(crate) fn check(place: &Place, relative: &str, based: bool) -> Result<(), Error> {
    let copy = copy(relative);
    let made = image::head(place, relative, &copy);
    let header = made.and_then(|()| Ok(place.dir.read(&copy)?));
    place.dir.remove(&copy)?;
    judge(&header?, based)
}

/// Where a received file's first bytes are put, while they are looked at.
pub(crate) fn copy(relative: &str) -> String {
    format!("{relative}.head")
}

fn judge(header: &[u8], based: bool) -> Result<(), Error> {
    let corrupt = |what: &str| {
        Err(Error::corrupt(format!(
            "what was received {what}; it is refused: see what sends this"
        )))
    };
    let magic = header.get(..MAGIC.len()).unwrap_or(header);
    if !MAGIC.starts_with(magic) {
        return corrupt("is no qcow2 file");
    }
    let (Some(version), Some(backing), Some(encryption), Some(features)) = (
        number::<4>(header, VERSION_AT),
        number::<8>(header, BACKING_AT),
        number::<4>(header, ENCRYPTION_AT),
        number::<8>(header, INCOMPATIBLE_AT),
    ) else {
        return Err(Error::unavailable(
            "what was received ends within its header; send it anew",
        ));
    };
    let features = match version {
        2 => 0,
        3 => features,
        _ => return corrupt(&format!("is qcow2 of version {version}, not 2 or 3")),
    };
    if features & DATA_FILE != 0 {
        return corrupt("names another file for its data");
    }
    if features & !HARMLESS != 0 {
        return corrupt(&format!("has features that aren't known: {features:#x}"));
    }
    if encryption != 0 {
        return corrupt("is encrypted");
    }
    match (based, backing != 0) {
        (true, false) => corrupt("stands on no base, and should"),
        (false, true) => corrupt("stands on another file, and should be whole"),
        _ => Ok(()),
    }
}

/// The big-endian number of so many bytes.
fn number<const BYTES: usize>(header: &[u8], at: usize) -> Option<u64> {
    let field = header.get(at..at + BYTES)?;
    Some(field.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use cairn_sdk::plugin::Cause;

    use super::*;

    const LENGTH: usize = 512;

    fn header(version: u8, features: u8, backing: u8) -> Vec<u8> {
        let mut header = vec![0; LENGTH];
        header[..4].copy_from_slice(MAGIC);
        header[7] = version;
        header[15] = backing;
        header[79] = features;
        header
    }

    fn refusal(header: &[u8], based: bool) -> Error {
        judge(header, based).unwrap_err()
    }

    #[test]
    fn plain_files_are_taken() {
        for version in [2, 3] {
            judge(&header(version, 0, 0), false).unwrap();
            judge(&header(version, 0, 200), true).unwrap();
        }
        judge(&header(3, 0b1_1000, 0), false).unwrap();
        // Version 2 has the first table there, not features.
        judge(&header(2, 0xff, 0), false).unwrap();
    }

    #[test]
    fn crafted_files_are_not() {
        assert!(
            refusal(&header(3, 4, 0), false)
                .message
                .contains("another file for its data")
        );
        for features in [1, 2, 0x20, 0x80] {
            let refused = refusal(&header(3, features, 0), false);
            assert!(
                refused.message.contains("aren't known"),
                "{}",
                refused.message
            );
        }
        let mut high = header(3, 0, 0);
        high[72] = 0x80;
        assert!(matches!(refusal(&high, false).cause, Cause::Corrupt(_)));
        let mut encrypted = header(3, 0, 0);
        encrypted[35] = 2;
        assert!(refusal(&encrypted, false).message.contains("encrypted"));
        assert!(matches!(
            refusal(&header(4, 0, 0), false).cause,
            Cause::Corrupt(_)
        ));
        assert!(matches!(
            refusal(&header(3, 0, 9), false).cause,
            Cause::Corrupt(_)
        ));
        assert!(matches!(
            refusal(&header(3, 0, 0), true).cause,
            Cause::Corrupt(_)
        ));
        assert!(matches!(
            refusal(b"KDMV and more", false).cause,
            Cause::Corrupt(_)
        ));
    }

    #[test]
    fn what_is_cut_off_is_sent_anew() {
        for short in [&b""[..], b"QF", &header(3, 0, 0)[..79]] {
            assert!(matches!(refusal(short, false).cause, Cause::Unavailable(_)));
        }
    }
}
