//! A program of a backend that stops once, at a chosen moment, for as long as a test wants: the moment between
//! its effect and its answer, or the middle of its stream. Or one that does something else.

use anyhow::Result;
use cairn_bed::{Place, seconds, wait_until};

use crate::backend::Backend;

/// When it stops, or what it does; each names the program's subcommand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// Its work is done and nobody has been told.
    After(&'static str),
    /// So many bytes of its standard output are out.
    Amid(&'static str, u64),
    /// Runs these words of a shell instead, each time and without stopping; `$real` is the program, `$dir` a
    /// folder of the test's.
    Instead(&'static str, &'static str),
}

/// The program while it is wrapped.
pub(crate) struct Pausing<'a> {
    backend: &'a dyn Backend,
    place: Place,
    dir: String,
    program: &'static str,
}

impl<'a> Pausing<'a> {
    /// Starts the daemon again with the program wrapped.
    pub(crate) fn start(
        backend: &'a dyn Backend,
        program: &'static str,
        moment: Moment,
    ) -> Result<Self> {
        let place = backend.daemon().place().clone();
        let dir = format!("{}/pausing", backend.daemon().data().display());
        place.sh(&format!(
            "rm -rf {dir} && mkdir {dir} && touch {dir}/stop && cp $(command -v {program}) {dir}/real"
        ))?;
        let wrapper = format!("{dir}/wrapper");
        let script = script(&dir, moment);
        place.run_with_stdin(
            &format!("cat >{wrapper} && chmod 755 {wrapper}"),
            script.as_bytes(),
            seconds(60),
        )?;
        backend.daemon().kill();
        let words = backend.wrap(program, &wrapper)?;
        let pausing = Self {
            backend,
            place,
            dir,
            program,
        };
        backend.daemon().boot_under(&words)?;
        Ok(pausing)
    }

    /// Waits until it has stopped.
    pub(crate) fn reached(&self) -> Result<()> {
        let file = format!("test -e {}/paused", self.dir);
        wait_until("the program stops", seconds(60), || {
            let seen = self.place.run(&file, seconds(60)).ok()?;
            (seen.status == 0).then_some(())
        })
    }
}

impl Drop for Pausing<'_> {
    fn drop(&mut self) {
        // What fails here makes the next test fail, with a better reason.
        let _ = self.place.sh(&format!("rm -f {}/stop", self.dir));
        let _ = self.backend.unwrap(self.program);
    }
}

fn script(dir: &str, moment: Moment) -> String {
    let wait = format!("touch {dir}/paused; while [ -e {dir}/stop ]; do sleep 0.05; done");
    let (command, stopped) = match moment {
        Moment::After(command) => (
            command,
            format!("{dir}/real \"$@\"; status=$?; {wait}; exit $status"),
        ),
        Moment::Amid(command, bytes) => (
            command,
            format!("{dir}/real \"$@\" | {{ head -c {bytes}; {wait}; cat; }}; exit"),
        ),
        Moment::Instead(command, words) => {
            return format!(
                "#!/bin/bash\ndir={dir} real={dir}/real\n\
                 if [[ $1 = {command} && $2 != -n ]]; then\n  {words}\n  exit\nfi\nexec $real \"$@\"\n"
            );
        }
    };
    format!(
        "#!/bin/bash\nif [[ $1 = {command} && $2 != -n ]] && mkdir {dir}/once 2>/dev/null; then\n  \
         {stopped}\nfi\nexec {dir}/real \"$@\"\n"
    )
}
