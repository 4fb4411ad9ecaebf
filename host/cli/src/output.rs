//! What is printed: one JSON document for programs, tables and sentences for people. Text that a
//! plugin or another person wrote can't steer the terminal: see [`clean`].

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use cairn_api::Problem;
use cairn_core::Error;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// A document for programs, or what `people` prints.
    pub(crate) fn show<T: Serialize + ?Sized>(&self, document: &T, people: impl FnOnce()) {
        if self.json {
            say(serde_json::to_string_pretty(document).unwrap_or_default());
        } else {
            people();
        }
    }

    /// Prints the error and gives its exit code.
    pub(crate) fn fail(&self, error: &Error) -> ExitCode {
        if self.json {
            let problem = Problem::from(error.clone());
            say(serde_json::to_string_pretty(&problem).unwrap_or_default());
        } else {
            let lines: Vec<_> = error.message.lines().map(clean).collect();
            eprintln!("error: {}", lines.join("\n"));
            for name in &error.by {
                if !error.message.contains(name) {
                    eprintln!("  - {}", clean(name));
                }
            }
            if let Some(command) = &error.command {
                eprintln!("run: {}", clean(command));
            }
        }
        ExitCode::from(error.code.exit_code())
    }

    /// Ends the process after a command line that can't be read, or one that asked for help.
    pub(crate) fn misused(&self, error: &clap::Error) -> ! {
        if self.json && error.use_stderr() {
            let text = error.render().to_string();
            let rule = text.split("\n\n").next().unwrap_or_default();
            let rule = rule.strip_prefix("error: ").unwrap_or(rule).trim_end();
            self.fail(&Error::new(cairn_core::Code::Invalid, rule));
        } else {
            let _ = error.print();
        }
        std::process::exit(error.exit_code())
    }
}

/// Prints a line. A reader that has gone (`| head`) ends the command quietly, as it wanted no more.
pub(crate) fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => {
            eprintln!("error: what is done can't be printed: {e}");
            std::process::exit(1);
        }
    }
}

/// The text with control characters written out, so that it can neither move the cursor, nor hide
/// what stands around it, nor pass for a line of ours.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::new();
    for c in text.chars() {
        if steers(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

/// A table; with nothing in it, `nothing` says so and what to do.
pub(crate) fn table(headers: &[&str], rows: Vec<Vec<String>>, nothing: &str) {
    if rows.is_empty() {
        say(nothing);
        return;
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headers.iter().map(|h| h.to_uppercase()));
    let cleaned = |row: Vec<String>| {
        row.iter()
            .map(|c| clean(c).into_owned())
            .collect::<Vec<_>>()
    };
    table.add_rows(rows.into_iter().map(cleaned));
    for line in table.lines() {
        say(line.trim_end().strip_prefix(' ').unwrap_or(&line));
    }
}

/// `name: value` lines, aligned; a value without a name goes on with the one before.
pub(crate) fn facts(rows: &[(&str, String)]) {
    fact_lines(rows).iter().for_each(say);
}

/// The lines of [`facts`].
pub(crate) fn fact_lines(rows: &[(&str, String)]) -> Vec<String> {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| {
        let colon = if name.is_empty() { " " } else { ":" };
        format!("{name:>width$}{colon} {}", clean(value))
    };
    rows.iter().map(line).collect()
}

/// A list as [`facts`], an entry a line; `nothing` if it is empty.
pub(crate) fn listed<'a>(
    name: &'a str,
    entries: &[String],
    nothing: &str,
) -> Vec<(&'a str, String)> {
    if entries.is_empty() {
        return vec![(name, nothing.to_owned())];
    }
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    names.zip(entries.iter().cloned()).collect()
}

/// Bytes as people read them: `32.0 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// A moment as people read it: `2026-01-31 12:00:00Z`; nothing for the epoch, which means unknown.
pub(crate) fn moment(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000).unwrap_or_default();
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok();
    let text = moment
        .filter(|_| seconds > 0)
        .and_then(|m| m.format(&Rfc3339).ok());
    text.unwrap_or_default().replace('T', " ")
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugins_text_cannot_steer_the_terminal() {
        assert_eq!(clean("plain, µ and ü"), "plain, µ and ü");
        assert_eq!(
            clean("a\x1b[2Jb\r\nc\u{202e}d"),
            r"a\u{1b}[2Jb\r\nc\u{202e}d"
        );
    }

    #[test]
    fn moments_are_utc() {
        assert_eq!(moment(1_769_860_800_123), "2026-01-31 12:00:00Z");
        assert_eq!(moment(0), "");
        assert_eq!(moment(u64::MAX), "");
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("command:zfs"), "command:zfs");
        assert_eq!(quoted("files:{config.path}"), "'files:{config.path}'");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn lists_are_an_entry_a_line() {
        let rows = listed("granted", &["a".to_owned(), "b".to_owned()], "nothing");
        assert_eq!(fact_lines(&rows), ["granted: a", "         b"]);
        assert_eq!(
            fact_lines(&listed("granted", &[], "nothing")),
            ["granted: nothing"]
        );
    }
}
