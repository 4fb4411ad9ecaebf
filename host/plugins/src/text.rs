//! Text from plugins, cut to size.

/// The longest prefix of at most `most` bytes that ends at a character.
pub(crate) fn clipped(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
