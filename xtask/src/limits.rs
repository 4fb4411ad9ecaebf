//! Every limit of the workshop, with its unit.

use std::time::Duration;

/// How long one test program may run before it is ended and counted as failed.
pub(crate) const TEST_PROGRAM_LIMIT: Duration = Duration::from_secs(30 * 60);

/// How long the demo waits for something it started to become ready.
pub(crate) const DEMO_READY_LIMIT: Duration = Duration::from_secs(60);

/// How long the demo gives what it started to end by itself before it is killed.
pub(crate) const DEMO_STOP_LIMIT: Duration = Duration::from_secs(10);

/// How often a condition is looked at while waiting for it.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Files longer than this usually hold two things.
pub(crate) const LONG_FILE_LINES: usize = 500;

/// How many of the longest files the report always names.
pub(crate) const LONGEST_FILES_SHOWN: usize = 5;
