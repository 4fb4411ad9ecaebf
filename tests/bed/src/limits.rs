//! Every time limit and size of the bed, with its unit in its name.
//!
//! Virtual machines here run without an accelerator, several on few cores: limits are generous,
//! and only there so that nothing waits for ever.

/// Time a command gets by default, in seconds.
pub const COMMAND_LIMIT_S: u64 = 60;
/// Exit status of a command that was ended because its time was up, as `timeout` has it.
pub const TIMED_OUT_STATUS: i32 = 124;
/// How long copying one file into or out of a place may take, in seconds.
pub(crate) const COPY_LIMIT_S: u64 = 600;
/// How long starting a background program, or asking after it, may take, in seconds.
pub(crate) const BACKGROUND_LIMIT_S: u64 = 60;
/// Shortest and longest pause between two looks at something awaited, in milliseconds.
pub(crate) const POLL_MIN_MS: u64 = 1;
/// See [`POLL_MIN_MS`].
pub(crate) const POLL_MAX_MS: u64 = 50;

/// How long namespaces may take until they are ready, in seconds.
pub(crate) const CELL_START_LIMIT_S: u64 = 30;
/// How long the end of namespaces and the removal of their files may take, in seconds.
pub(crate) const CELL_END_LIMIT_S: u64 = 60;
