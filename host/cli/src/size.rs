//! Sizes as people write them; units are binary, as everywhere in this field.

/// Reads `512M`, `1.5T`, `32GiB` or a number of bytes. Only `32GB`, with its `B`, is decimal.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let one_letter = text.len() - number.len() == 1 && !text.ends_with(['b', 'B']);
    let unit = if one_letter { "iB" } else { "" };
    format!("{text}{unit}")
        .parse::<bytesize::ByteSize>()
        .ok()
        .map(|size| size.as_u64())
        // What is too large to count is cut off there.
        .filter(|bytes| *bytes < u64::MAX)
        .ok_or_else(|| "write a size like 512M, 32G or 1073741824".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary() {
        assert_eq!(size("32G"), Ok(32 << 30));
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("1.5T"), Ok(3 << 39));
        assert_eq!(size("5k"), Ok(5 << 10));
        assert_eq!(size("5kB"), Ok(5000));
        assert_eq!(size("1024"), Ok(1024));
        for wrong in ["big", "", "-1G", "1X", "1 G 2", "99999999999E"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
