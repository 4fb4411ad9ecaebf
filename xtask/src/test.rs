//! `./x test`: sets up, builds, runs the areas asked for, and counts.
//!
//! `cargo test --no-run` builds the test programs of all packages at once; they are then started
//! one by one, as cargo would start them, so that each area's tests can be told apart.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use crate::areas::{self, Area, Part};
use crate::artifacts::{self, Artifact};
use crate::tally::Tally;
use crate::workspace::Workspace;
use crate::{build, documents, setup, shell, suite};

/// Runs the named areas, or all.
pub(crate) fn run(
    workspace: &Workspace,
    asked: &[String],
    passed_on: &[String],
) -> Result<ExitCode> {
    areas::check_complete(workspace)?;
    let chosen = areas::chosen(asked);
    let parts: Vec<Part> = chosen.iter().flat_map(|area| area.parts).copied().collect();
    if parts
        .iter()
        .any(|part| !matches!(part, Part::Documents | Part::Examples))
    {
        setup::packages(workspace)?;
        build::all(workspace, build::Profile::Debug)?;
    }
    let programs = build_tests(workspace, &parts)?;
    let runner = Runner {
        workspace,
        programs: &programs,
        passed_on,
    };
    let total = thread::scope(|scope| {
        let aside = scope.spawn(|| runner.aside(&parts));
        let total = runner.areas(&chosen, !asked.is_empty());
        let aside = aside
            .join()
            .map_err(|_| anyhow!("running programs aside panicked"))??;
        let mut total = total?;
        for (name, tally, lines) in aside {
            println!("\n== {name} (ran beside the others)");
            println!("{}", lines.join("\n"));
            total += tally;
        }
        anyhow::Ok(total)
    })?;
    Ok(report(&total))
}

/// The last line is the counts and nothing else.
fn report(total: &Tally) -> ExitCode {
    println!();
    for (name, reason) in &total.skipped {
        println!("skipped: {name}: {reason}");
    }
    for name in &total.failures {
        println!("failed: {name}");
    }
    if !total.ran() {
        println!("no test ran");
    }
    println!("{total}");
    if total.failed == 0 && total.ran() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Builds the test programs that the parts need, all packages selected so that dependencies are
/// compiled with the same features as for `./x build`.
fn build_tests<'a>(workspace: &'a Workspace, parts: &[Part]) -> Result<Vec<Artifact<'a>>> {
    let mut cargo = shell::cargo(&workspace.root);
    cargo.args(["test", "--workspace", "--no-run"]);
    let before = cargo.get_args().len();
    for part in parts {
        match part {
            Part::Inside => {
                cargo.args(["--lib", "--bins"]);
            }
            Part::Integration(names) => {
                let packages = workspace
                    .packages
                    .iter()
                    .filter(|p| names.contains(&p.name.as_str()));
                for test in packages.flat_map(|package| &package.integration_tests) {
                    cargo.args(["--test", test]);
                }
            }
            Part::Examples | Part::Documents | Part::Demo => {}
        }
    }
    if cargo.get_args().len() == before {
        return Ok(Vec::new());
    }
    let mut programs = artifacts::build(workspace, &mut cargo)?;
    programs.sort_by_cached_key(program_name);
    Ok(programs)
}

struct Runner<'a> {
    workspace: &'a Workspace,
    programs: &'a [Artifact<'a>],
    passed_on: &'a [String],
}

impl Runner<'_> {
    fn areas(&self, chosen: &[&Area], named: bool) -> Result<Tally> {
        let mut total = Tally::default();
        for area in chosen {
            match self.area(area)? {
                Some(tally) => total += tally,
                None if named => println!("area {}: no tests yet", area.name),
                None => {}
            }
        }
        Ok(total)
    }

    /// The programs among `parts` that may run beside all others, one after another.
    fn aside(&self, parts: &[Part]) -> Result<Vec<(String, Tally, Vec<String>)>> {
        let mut ran = Vec::new();
        for program in self.programs.iter().filter(|program| is_aside(program)) {
            let package = program.package.name.as_str();
            let asked = parts
                .iter()
                .any(|part| matches!(part, Part::Integration(names) if names.contains(&package)));
            let Some(executable) = program.executable.as_ref().filter(|_| asked) else {
                continue;
            };
            let name = program_name(program);
            let (tally, lines) = suite::run_aside(&name, &mut self.test(program, executable))?;
            ran.push((name, tally, lines));
        }
        Ok(ran)
    }

    /// Nothing if the area has no tests at all.
    fn area(&self, area: &Area) -> Result<Option<Tally>> {
        let started = Instant::now();
        let mut tally: Option<Tally> = None;
        for part in area.parts {
            let counted = match part {
                Part::Inside => {
                    self.programs(&|program| program.is_a(&["lib", "bin", "cdylib"]))?
                }
                Part::Integration(names) => self.programs(&|program| {
                    program.is_a(&["test"]) && names.contains(&program.package.name.as_str())
                })?,
                Part::Examples => Some(self.examples()?),
                Part::Documents => Some(documents::test(self.workspace)?),
                Part::Demo => self.demo()?,
            };
            if let Some(counted) = counted {
                *tally.get_or_insert_default() += counted;
            }
        }
        if let Some(tally) = &tally {
            println!("\narea {}: {tally} in {:.0?}", area.name, started.elapsed());
        }
        Ok(tally)
    }

    fn programs(&self, wanted: &dyn Fn(&Artifact<'_>) -> bool) -> Result<Option<Tally>> {
        let mut total: Option<Tally> = None;
        for program in self
            .programs
            .iter()
            .filter(|program| program.is_test && !is_aside(program) && wanted(program))
        {
            let Some(executable) = &program.executable else {
                continue;
            };
            let name = program_name(program);
            println!("\n== {name}");
            let tally = suite::run(&name, &mut self.test(program, executable))?;
            *total.get_or_insert_default() += tally;
        }
        Ok(total)
    }

    /// One program of tests, as cargo would start it.
    fn test(&self, program: &Artifact<'_>, executable: &Path) -> Command {
        let mut command = self.command(executable);
        command.current_dir(&program.package.folder);
        command.env("CARGO_MANIFEST_DIR", &program.package.folder);
        command.env("CARGO_PKG_NAME", &program.package.name);
        command.args(self.passed_on);
        command
    }

    fn examples(&self) -> Result<Tally> {
        println!("\n== examples in doc comments");
        let mut cargo = shell::cargo(&self.workspace.root);
        cargo
            .args(["test", "--workspace", "--doc", "--no-fail-fast", "--"])
            .args(self.passed_on);
        self.lend(&mut cargo);
        suite::run("examples", &mut cargo)
    }

    fn demo(&self) -> Result<Option<Tally>> {
        println!("\n== demo");
        let own = env::current_exe().context("can't find this program")?;
        let status = Command::new(own)
            .arg("demo")
            .status()
            .context("can't start the demo")?;
        Ok(Some(if status.success() {
            Tally::pass()
        } else {
            Tally::fail("demo")
        }))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        shell::without_own_cargo_environment(&mut command);
        self.lend(&mut command);
        command
    }

    /// What tests may rely on.
    fn lend(&self, command: &mut Command) {
        command.env("CAIRN_BIN", self.workspace.daemon("debug"));
        command.env("CAIRN_PLUGINS", self.workspace.plugins());
    }
}

fn is_aside(program: &Artifact<'_>) -> bool {
    program.is_test && areas::ASIDE.contains(&program_name(program).as_str())
}

/// As a path: `cairn-core` for the tests inside a crate, `cairn-api::served` for `tests/served.rs`.
fn program_name(program: &Artifact<'_>) -> String {
    let package = &program.package.name;
    if program.is_a(&["test"]) {
        format!("{package}::{}", program.name)
    } else {
        package.clone()
    }
}
