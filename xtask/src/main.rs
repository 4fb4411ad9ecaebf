//! `./x`: the project's one entry for people and CI. Each command sets up what it needs, says
//! what it does, and is quick when there is nothing to do.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod areas;
mod artifacts;
mod bench;
mod build;
mod check;
mod demo;
mod documents;
mod limits;
mod narrate;
mod plugins;
mod setup;
mod shell;
mod sizes;
mod stage;
mod suite;
mod tally;
mod test;
mod wit_lock;
mod wit_shape;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Cairn's workshop: build, test, check and show it. Every command does its own set-up.
#[derive(Parser)]
#[command(name = "x", bin_name = "./x", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show Cairn doing its job on this machine, told as it goes
    Demo,
    /// Run every test this machine can run, or only those of some areas
    #[command(after_help = areas::help())]
    Test {
        /// Areas to run; all of them if none is named
        #[arg(value_name = "AREA", value_parser = areas::names())]
        areas: Vec<String>,
        /// Handed to each test program, for instance a part of a test's name
        #[arg(last = true, value_name = "ARGUMENT")]
        passed_on: Vec<String>,
    },
    /// Leave target/{debug,release}/cairn and target/plugins/*.wasm
    Build {
        /// Optimise the daemon (plugins always are)
        #[arg(long)]
        release: bool,
    },
    /// Build optimised, and print figures against their targets
    Bench {
        /// Areas to measure; all of them if none is named
        #[arg(value_name = "AREA", value_parser = bench::AREAS)]
        areas: Vec<String>,
    },
    /// Formatting, lints, docs, lock files, frozen contracts, file sizes
    Check,
    /// Compare the contracts in wit/ with wit/wit.lock
    WitLock {
        /// Add interfaces that are not locked yet; never changes a line that is there
        #[arg(long)]
        add: bool,
    },
    /// Install the packages that tests need and make Rust's standard library for Wasm
    Setup,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("x: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Demo => demo::run(&workspace).map(|()| ExitCode::SUCCESS),
        Command::Test { areas, passed_on } => test::run(&workspace, &areas, &passed_on),
        Command::Build { release } => {
            let profile = if release {
                build::Profile::Release
            } else {
                build::Profile::Debug
            };
            build::all(&workspace, profile).map(|()| ExitCode::SUCCESS)
        }
        Command::Bench { areas } => bench::run(&workspace, &areas).map(|()| ExitCode::SUCCESS),
        Command::Check => check::run(&workspace),
        Command::WitLock { add } => wit_lock::run(&workspace, add),
        Command::Setup => setup::everything(&workspace).map(|()| ExitCode::SUCCESS),
    }
}
