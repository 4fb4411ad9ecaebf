//! What a text in a configuration means beyond being text.

/// What a text means beyond being text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// An absolute path without `.` and `..`.
    Path,
    /// A host name or address.
    Host,
    /// A size like `10G`.
    Size,
    /// A time like `30s`.
    Duration,
}

impl TextFormat {
    pub(super) fn named(word: &str) -> Result<Self, String> {
        Ok(match word {
            "path" => Self::Path,
            "host" => Self::Host,
            "size" => Self::Size,
            "duration" => Self::Duration,
            _ => {
                return Err(format!(
                    "`format: {word}` is none of path, host, size, duration"
                ));
            }
        })
    }

    pub(super) fn check(self, text: &str) -> Result<(), String> {
        let (fits, rule) = match self {
            Self::Path => (
                text.starts_with('/')
                    && (text == "/"
                        || text
                            .split('/')
                            .skip(1)
                            .all(|part| !matches!(part, "" | "." | ".."))),
                "it must be an absolute path without `.`, `..`, `//` or a `/` at its end",
            ),
            Self::Host => (
                !text.is_empty()
                    && text.len() <= 253
                    && !text.starts_with('-')
                    && text
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || ".-:[]_".contains(c)),
                "it must be a host name or an address",
            ),
            Self::Size => (
                unit(
                    text,
                    &["", "K", "M", "G", "T", "P", "KiB", "MiB", "GiB", "TiB"],
                ),
                "it must be a size like 512M or 10G",
            ),
            Self::Duration => (
                unit(text, &["ms", "s", "m", "h", "d"]),
                "it must be a time like 30s or 5m",
            ),
        };
        if fits { Ok(()) } else { Err(rule.to_owned()) }
    }
}

fn unit(text: &str, units: &[&str]) -> bool {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    digits > 0 && digits <= 18 && text.get(digits..).is_some_and(|rest| units.contains(&rest))
}
