//! Benchmarks: they measure, and say whether a target is met; they fail only where nothing can be
//! measured. Needs `CAIRN_BIN` and `CAIRN_PLUGINS`, which `./x bench` sets to optimised builds.
//!
//! | module | what |
//! |---|---|
//! | `calls` | calls of a plugin, warm and fresh; loading one from the compiled cache |
//! | `memory` | what an idle daemon takes |
//! | `busy` | how late the API answers while plugins compute |
//! | `listing` | a list of 1,000 volumes against the bare command it needs |
//! | `timing` | wall times of commands in a place |
//! | `report` | figures, targets, the table |

mod busy;
mod calls;
mod listing;
mod memory;
mod report;
mod timing;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use report::Report;

#[derive(Parser)]
struct Arguments {
    /// What to measure; everything if nothing is named
    areas: Vec<Area>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Area {
    /// The plugin host and plugins
    Plugins,
}

fn main() -> Result<()> {
    let asked = Arguments::parse().areas;
    let mut report = Report::default();
    if asked.is_empty() || asked.contains(&Area::Plugins) {
        calls::measure(&mut report)?;
        memory::measure(&mut report)?;
        busy::measure(&mut report)?;
        listing::measure(&mut report)?;
    }
    report.print();
    Ok(())
}
