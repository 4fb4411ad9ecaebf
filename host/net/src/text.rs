//! Text from the other side, before it is shown or logged.

use crate::limits::MAX_SENTENCE_BYTES;

/// A sentence of bounded length without control characters.
pub(crate) fn sentence(bytes: &[u8]) -> String {
    let cut = bytes.get(..MAX_SENTENCE_BYTES).unwrap_or(bytes);
    String::from_utf8_lossy(cut)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_bounded_and_tame() {
        assert_eq!(sentence(b"no\x1b[31m room\n"), "no [31m room ");
        assert_eq!(sentence(&vec![b'a'; 10_000]).len(), MAX_SENTENCE_BYTES);
    }
}
