//! Counting: what test programs print, and the skips that tests report in a file.
//!
//! A test that can't run on this machine appends `name<TAB>reason` to the file named by
//! CAIRN_SKIPS and returns. To libtest it passed; here it is taken out of those and shown.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// How many tests came out how, and why some didn't run.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Name and reason.
    pub(crate) skipped: Vec<(String, String)>,
    /// Names.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// One test that passed.
    pub(crate) fn pass() -> Tally {
        Tally {
            passed: 1,
            ..Tally::default()
        }
    }

    /// One test that failed.
    pub(crate) fn fail(name: &str) -> Tally {
        Tally {
            failed: 1,
            failures: vec![name.to_owned()],
            ..Tally::default()
        }
    }

    /// With the program's name before each test's, so that tests of one name can be told apart.
    fn named(mut self, program: &str) -> Tally {
        let tests = self
            .skipped
            .iter_mut()
            .map(|(test, _)| test)
            .chain(&mut self.failures);
        tests.for_each(|test| *test = format!("{program}::{test}"));
        self
    }

    /// Whether any test ran to an end, good or bad.
    pub(crate) fn ran(&self) -> bool {
        self.passed + self.failed > 0
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed,
            self.skipped.len()
        )
    }
}

/// Reads libtest's output line by line. Doc tests print several summaries; they add up.
#[derive(Default)]
pub(crate) struct Reader {
    tally: Tally,
    summaries: usize,
}

impl Reader {
    /// Takes in one line, without its end.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.summaries += 1;
            self.tally.passed += count(counts, "passed");
            self.tally.failed += count(counts, "failed");
        } else if let Some((name, outcome)) = line
            .strip_prefix("test ")
            .and_then(|test| test.split_once(" ... "))
        {
            if outcome == "FAILED" {
                self.tally.failures.push(name.to_owned());
            } else if let Some(reason) = outcome.strip_prefix("ignored") {
                let reason = reason.trim_start_matches([',', ' ']);
                let reason = if reason.is_empty() {
                    "ignored, without a reason"
                } else {
                    reason
                };
                self.tally
                    .skipped
                    .push((name.to_owned(), reason.to_owned()));
            }
        }
    }

    /// The count of a program that ended. `skips` is what its tests wrote to their file,
    /// `ended` is why it ended if not well; `name` is put before the names of its tests.
    ///
    /// A program that ends badly without a failed test counts as a failed test itself: it was
    /// killed, or couldn't run.
    pub(crate) fn finish(mut self, name: &str, skips: &str, ended: Option<&str>) -> Tally {
        let failures = self.tally.failures.clone();
        for (test, reason) in reported(skips) {
            // A test that reported a skip and then failed has failed.
            if !failures.contains(&test) && self.tally.passed > 0 {
                self.tally.passed -= 1;
                self.tally.skipped.push((test, reason));
            }
        }
        let ended = ended.or_else(|| (self.summaries == 0).then_some("printed no result"));
        if let Some(why) = ended.filter(|_| self.tally.failed == 0) {
            self.tally += Tally::fail(&format!("({why})"));
        }
        self.tally.named(name)
    }
}

/// The number before a word in `ok. 3 passed; 0 failed; 1 ignored; …`.
fn count(counts: &str, word: &str) -> usize {
    let words: Vec<&str> = counts.split([' ', ';', '.']).collect();
    words
        .windows(2)
        .find_map(|pair| match pair {
            [number, name] if *name == word => number.parse().ok(),
            _ => None,
        })
        .unwrap_or(0)
}

/// Each test once, with the first reason it gave.
fn reported(skips: &str) -> BTreeMap<String, String> {
    let mut reported = BTreeMap::new();
    for line in skips.lines().filter(|line| !line.trim().is_empty()) {
        let (name, reason) = line.split_once('\t').unwrap_or((line, "without a reason"));
        reported
            .entry(name.to_owned())
            .or_insert_with(|| reason.to_owned());
    }
    reported
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "running 5 tests
test a ... ok
test b ... ok
test c ... FAILED
test d ... ignored
test e ... ignored, needs a moon
test result: FAILED. 2 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.1s";

    fn read(output: &str, skips: &str, ended: Option<&str>) -> Tally {
        let mut reader = Reader::default();
        output.lines().for_each(|line| reader.line(line));
        reader.finish("program", skips, ended)
    }

    fn skip(name: &str, reason: &str) -> (String, String) {
        (name.to_owned(), reason.to_owned())
    }

    #[test]
    fn counts_and_names_come_from_the_output() {
        let tally = read(OUTPUT, "", Some("exit status: 101"));
        assert_eq!((tally.passed, tally.failed), (2, 1));
        assert_eq!(tally.failures, ["program::c"]);
        assert_eq!(
            tally.skipped,
            [
                skip("program::d", "ignored, without a reason"),
                skip("program::e", "needs a moon")
            ]
        );
        assert_eq!(tally.to_string(), "2 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn a_reported_skip_is_no_pass_and_counts_once() {
        let skips = "b\tno zfs-fuse\nb\tstill none\nc\tbut it failed later\n";
        let tally = read(OUTPUT, skips, None);
        assert_eq!((tally.passed, tally.failed), (1, 1));
        assert_eq!(
            tally.skipped.last().unwrap(),
            &skip("program::b", "no zfs-fuse")
        );
        assert_eq!(tally.skipped.len(), 3);
    }

    #[test]
    fn summaries_of_doc_tests_add_up() {
        let two = "test result: ok. 1 passed; 0 failed; 0 ignored\n\
                   test result: ok. 2 passed; 0 failed; 0 ignored";
        assert_eq!(read(two, "", None).passed, 3);
    }

    #[test]
    fn a_program_without_a_result_has_failed() {
        let tally = read("test a ... ok", "", Some("signal: 6 (SIGABRT)"));
        assert_eq!(tally.failures, ["program::(signal: 6 (SIGABRT))"]);
        assert_eq!(
            read("", "", None).failures,
            ["program::(printed no result)"]
        );
        assert!(!read("test result: ok. 0 passed; 0 failed", "", None).ran());
    }
}
