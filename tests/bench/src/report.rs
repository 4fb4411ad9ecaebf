//! Figures, the targets they are held against, and the table of both.

use std::time::Duration;

use comfy_table::{Table, presets};
use hdrhistogram::Histogram;

/// Longest time told apart, nanoseconds.
const LONGEST_NS: u64 = 60_000_000_000;

/// What was measured so far.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<[String; 4]>,
    skipped: Vec<String>,
}

/// A figure with its unit.
#[derive(Clone, Copy)]
pub(crate) enum Figure {
    Time(Duration),
    Bytes(u64),
    Ratio(f64),
    Count(u64),
}

impl Report {
    /// A figure that may be at most `most`.
    pub(crate) fn held(&mut self, measure: &str, figure: Figure, most: Figure) {
        let met = if figure.value() <= most.value() {
            "met"
        } else {
            "NOT MET"
        };
        let most = format!("at most {}", most.shown());
        self.row([measure.to_owned(), figure.shown(), most, met.to_owned()]);
    }

    /// A figure that explains another.
    pub(crate) fn told(&mut self, measure: &str, figure: Figure) {
        self.row([
            measure.to_owned(),
            figure.shown(),
            String::new(),
            String::new(),
        ]);
    }

    /// What couldn't be measured here.
    pub(crate) fn skipped(&mut self, measure: &str, reason: &str) {
        self.skipped.push(format!("{measure}: {reason}"));
    }

    /// Adds what another has measured.
    pub(crate) fn append(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.skipped.extend(other.skipped);
    }

    fn row(&mut self, row: [String; 4]) {
        // Told at once, too: the whole takes minutes.
        eprintln!("{}", row.join("  "));
        self.rows.push(row);
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(["MEASURE", "FIGURE", "TARGET", ""]);
        table.add_rows(&self.rows);
        println!();
        for line in table.lines() {
            println!("{}", line.trim_end());
        }
        for skipped in &self.skipped {
            println!("not measured: {skipped}");
        }
    }
}

impl Figure {
    /// How many times `other` it is.
    pub(crate) fn over(self, other: Self) -> Self {
        Self::Ratio(self.value() / other.value())
    }

    fn value(self) -> f64 {
        match self {
            Self::Time(time) => time.as_secs_f64(),
            Self::Bytes(count) | Self::Count(count) => count as f64,
            Self::Ratio(ratio) => ratio,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::Time(time) if time < Duration::from_millis(1) => {
                format!("{:.1} µs", time.as_secs_f64() * 1e6)
            }
            Self::Time(time) => format!("{:.2} ms", time.as_secs_f64() * 1e3),
            Self::Bytes(bytes) => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
            Self::Ratio(ratio) => format!("{ratio:.2} x"),
            Self::Count(count) => count.to_string(),
        }
    }
}

/// Times of one thing done many times.
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST_NS, 3)?))
    }

    pub(crate) fn add(&mut self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(LONGEST_NS);
        self.0.saturating_record(ns);
    }

    pub(crate) fn median(&self) -> Figure {
        self.quantile(0.5)
    }

    pub(crate) fn quantile(&self, q: f64) -> Figure {
        Figure::Time(Duration::from_nanos(self.0.value_at_quantile(q)))
    }
}
