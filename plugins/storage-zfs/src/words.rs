//! The words of contents and formats, the names the contract allows, and free text as a property's value.

use cairn_sdk::plugin::Error;
use cairn_sdk::storage::{Content, Format};

const CONTENTS: [(&str, Content); 6] = [
    ("images", Content::Images),
    ("rootdir", Content::Rootdir),
    ("iso", Content::Iso),
    ("templates", Content::Templates),
    ("backup", Content::Backup),
    ("snippets", Content::Snippets),
];
/// What begins with this is the host's or this plugin's own.
const RESERVED: &str = "cairn-";
const NAME_MAX_BYTES: usize = 128;

pub(crate) fn content(word: &str) -> Option<Content> {
    let found = CONTENTS.iter().find(|(w, _)| *w == word);
    found.map(|(_, content)| *content)
}

pub(crate) fn content_word(content: Content) -> &'static str {
    let found = CONTENTS.iter().find(|(_, c)| *c == content);
    found.map_or("images", |(word, _)| word)
}

pub(crate) fn format(word: &str) -> Option<Format> {
    match word {
        "raw" => Some(Format::Raw),
        "directory" => Some(Format::Directory),
        _ => None,
    }
}

pub(crate) fn format_word(format: Format) -> &'static str {
    match format {
        Format::Raw => "raw",
        Format::Qcow2 => "qcow2",
        Format::Vmdk => "vmdk",
        Format::Directory => "directory",
    }
}

/// Is it a name that the contract allows for a volume, and not one of this plugin's own?
pub(crate) fn is_volume_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.len() <= NAME_MAX_BYTES
        && name.chars().all(plain)
        && !name.starts_with(RESERVED)
}

/// Is it a name that the contract allows for a snapshot? (A hold's tag has the same letters.)
pub(crate) fn is_snapshot_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= NAME_MAX_BYTES
        && name.chars().all(plain)
}

/// Names become parts of arguments, so they are checked here though the host has checked them.
pub(crate) fn check_volume_name(name: &str) -> Result<(), Error> {
    if is_volume_name(name) {
        return Ok(());
    }
    Err(Error::invalid(
        "name",
        "a volume's name is 1 to 128 of a-z 0-9 . _ -, beginning with a letter or digit, but not with `cairn-`",
    ))
}

pub(crate) fn check_snapshot_name(name: &str) -> Result<(), Error> {
    if is_snapshot_name(name) {
        return Ok(());
    }
    Err(Error::invalid(
        "snapshot",
        "a snapshot's name is 1 to 128 of A-Z a-z 0-9 . _ : -, beginning with a letter or digit",
    ))
}

/// Free text as a value that has neither blanks nor line ends, and is never empty: the tools print
/// values between tabs, and empty ones as `-`.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::from("~");
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'.' | b'-' | b'_' | b',' | b':' | b'=' | b'@' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The text of an encoded value; what isn't encoded (set by hand) is taken as it is.
pub(crate) fn decoded(value: &str) -> String {
    let Some(value) = value.strip_prefix('~') else {
        return value.to_owned();
    };
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let value = high.unwrap_or(0) * 16 + low.unwrap_or(0);
                bytes.push(u8::try_from(value).unwrap_or(b'?'));
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives() {
        for text in [
            "",
            "plain",
            "two words",
            "tab\tand\nlines",
            "100 % + é ~ 漢字",
            "-",
        ] {
            let value = encoded(text);
            assert!(value.bytes().all(|b| b.is_ascii_graphic()), "{value}");
            assert_eq!(decoded(&value), text);
        }
        assert_eq!(decoded("by hand"), "by hand");
        assert_eq!(decoded("~%"), "\0");
    }

    #[test]
    fn names() {
        for good in ["vm-100-disk-0", "0", "a.b_c"] {
            assert!(is_volume_name(good), "{good}");
        }
        for bad in ["", "A", "-a", "a/b", "a@b", "cairn-incoming", "a b", "a:b"] {
            assert!(!is_volume_name(bad), "{bad}");
        }
        assert!(is_snapshot_name("Auto:2026-11-23_02.00"));
        assert!(!is_snapshot_name("a/b") && !is_snapshot_name(""));
    }

    #[test]
    fn words_go_both_ways() {
        for (word, value) in CONTENTS {
            assert_eq!(content(word), Some(value));
            assert_eq!(content_word(value), word);
        }
        assert_eq!(format("raw"), Some(Format::Raw));
        assert_eq!(format("qcow2"), None);
    }
}
