//! Running granted commands.

use crate::bindings::cairn::host::commands::{self, CommandError, Request};
use crate::plugin::{Cause, Error};

/// A command to run on this node. There is no shell: each argument stays one.
#[derive(Debug, Clone)]
pub struct Command {
    request: Request,
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit status; 128 + n when signal n ended it.
    pub status: i32,
    /// Standard output as text; bytes that aren't UTF-8 are replaced.
    pub stdout: String,
    /// The first 64 KiB of standard error, likewise.
    pub stderr: String,
}

impl Command {
    /// `program` is a granted name, not a path.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            request: Request {
                command: program.into(),
                arguments: Vec::new(),
                input: Vec::new(),
                secret_environment: Vec::new(),
                timeout_ms: 0,
            },
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.request.arguments.push(argument.into());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.request
            .arguments
            .extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Given on standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.request.input = input.into();
        self
    }

    /// Sets an environment variable to a granted secret.
    #[must_use]
    pub fn secret(mut self, variable: impl Into<String>, secret: impl Into<String>) -> Self {
        self.request
            .secret_environment
            .push((variable.into(), secret.into()));
        self
    }

    /// Ends the command after this many milliseconds; the call's own deadline holds in any case.
    #[must_use]
    pub fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.request.timeout_ms = timeout_ms;
        self
    }

    /// Runs it and waits, whatever its exit status.
    ///
    /// # Errors
    /// `denied` without a grant, `unavailable` where the program isn't installed, `timed-out`,
    /// `internal` otherwise.
    pub fn output(self) -> Result<Output, Error> {
        let name = self.request.command.clone();
        let output = commands::run(&self.request).map_err(|e| refused(&name, e))?;
        Ok(Output {
            status: output.status,
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        })
    }
}

impl Output {
    /// Did it exit with 0?
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == 0
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn refused(name: &str, error: CommandError) -> Error {
    match error {
        CommandError::Denied(why) => Error::new(Cause::Denied(why.clone()), why),
        CommandError::NotInstalled(_) => Error::unavailable(format!(
            "there is no program `{name}` on this node; install the package that has it"
        )),
        CommandError::TimedOut => Error::new(
            Cause::TimedOut,
            format!("`{name}` took too long and was ended"),
        ),
        CommandError::TooMuchOutput(bytes) => Error::internal(format!(
            "`{name}` printed more than {bytes} bytes and was ended"
        )),
        CommandError::Failed(why) => Error::internal(format!("`{name}` could not be run: {why}")),
    }
}
