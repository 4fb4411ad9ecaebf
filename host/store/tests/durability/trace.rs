//! What the shim wrote down.

use std::collections::BTreeSet;
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// A member wrote the change of this number to its log.
    Wrote(u64, u64),
    /// A sync began.
    Sync(u64),
    Synced(u64),
    Failed(u64),
    Hangs(u64),
    Acked(u64),
    Opened,
}

#[derive(Debug)]
pub(crate) struct Trace(Vec<Line>);

impl Trace {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Self(whole.lines().map(parse).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn since(self, line: usize) -> Self {
        Self(self.0[line..].to_vec())
    }

    pub(crate) fn position(&self, is: impl Fn(&Line) -> bool) -> Option<usize> {
        self.0.iter().position(is)
    }

    pub(crate) fn count(&self, is: impl Fn(&Line) -> bool) -> usize {
        self.0.iter().filter(|l| is(l)).count()
    }

    pub(crate) fn after_failure(&self, is: impl Fn(&Line) -> bool) -> usize {
        let failed = self.position(|l| matches!(l, Line::Failed(_)));
        let failed = failed.expect("a sync failed");
        self.0[failed..].iter().filter(|l| is(l)).count()
    }

    pub(crate) fn acked(&self) -> Vec<u64> {
        let acked = |l: &Line| match l {
            Line::Acked(n) => Some(*n),
            _ => None,
        };
        self.0.iter().filter_map(acked).collect()
    }

    /// Each acknowledged change was written, then a sync of that log began and ended, at so many members,
    /// before it was acknowledged. Says how many were.
    pub(crate) fn assert_acked_after_syncs(&self, members: usize) -> usize {
        let mut acked = 0;
        for (end, line) in self.0.iter().enumerate() {
            let Line::Acked(number) = line else { continue };
            let synced: BTreeSet<u64> = (1..=3)
                .filter(|m| synced(&self.0[..end], *m, *number))
                .collect();
            assert!(
                synced.len() >= members,
                "{number} was acknowledged when only {synced:?} had synced it"
            );
            acked += 1;
        }
        acked
    }
}

fn synced(lines: &[Line], member: u64, number: u64) -> bool {
    let wanted = [
        Line::Wrote(member, number),
        Line::Sync(member),
        Line::Synced(member),
    ];
    let mut rest = lines.iter();
    wanted.iter().all(|want| rest.any(|line| line == want))
}

fn parse(line: &str) -> Line {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().unwrap();
    match words[0] {
        "wrote" => Line::Wrote(number(1), number(2)),
        "sync" => Line::Sync(number(1)),
        "synced" => Line::Synced(number(1)),
        "failed" => Line::Failed(number(1)),
        "hangs" => Line::Hangs(number(1)),
        "acked" => Line::Acked(number(1)),
        "opened" => Line::Opened,
        other => panic!("`{other}` is no line of a trace"),
    }
}
