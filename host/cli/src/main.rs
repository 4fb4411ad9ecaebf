//! `cairn`: the daemon and the command line, one binary. Every command but `serve` and
//! `plugin inspect` is a client of the REST API.
//!
//! | module | what |
//! |---|---|
//! | `arguments` | what the command line can say |
//! | `client` | requests to a daemon, over its socket or HTTPS |
//! | `commands` | what each command does |
//! | `options` | options of a storage type, from its plugin's schema |
//! | `output` | documents for programs, tables for people |
//! | `size` | sizes as people write them |

mod arguments;
mod client;
mod commands;
mod options;
mod output;
mod size;

use std::process::ExitCode;

use cairn_core::Error;
use clap::Parser;

use arguments::Arguments;
use output::Output;

/// After how many turns of tasks sockets and timers are looked at. A plugin that computes takes 10 ms
/// a turn, so with tokio's own 61 the API would answer half a second late beside a few of them.
const TURNS_BETWEEN_EVENTS: u32 = 8;

fn main() -> ExitCode {
    let line = options::hoisted(std::env::args_os().collect());
    // Asked before the line is parsed: wrong usage must be one document, too.
    let output = Output {
        json: line.iter().any(|word| word == "--json"),
    };
    let arguments = match Arguments::try_parse_from(line) {
        Ok(arguments) => arguments,
        Err(error) => output.misused(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .event_interval(TURNS_BETWEEN_EVENTS)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => return output.fail(&Error::internal(format!("no threads can be started: {e}"))),
    };
    match runtime.block_on(commands::run(arguments, &output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output.fail(&error),
    }
}
