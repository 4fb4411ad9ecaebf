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

/// How long a machine may take to boot, in seconds; one alone needs about 15.
pub(crate) const BOOT_LIMIT_S: u64 = 240;
/// How long a machine may take to come back from its saved state, in seconds.
pub(crate) const RESTORE_LIMIT_S: u64 = 120;
/// How long giving a machine its identity, and loading ZFS, may take, in seconds.
pub(crate) const IDENTITY_LIMIT_S: u64 = 120;
/// How much later than the command's own limit an agent's answer may come, in seconds.
pub(crate) const AGENT_SILENCE_S: u64 = 20;
/// How often an agent that has not answered yet is asked again, in seconds.
pub(crate) const AGENT_RETRY_S: u64 = 2;
/// How long one chunk of a file may take, in seconds.
pub(crate) const CHUNK_LIMIT_S: u64 = 60;
/// Size of the chunks in which files go to a machine, in bytes.
pub(crate) const CHUNK_BYTES: usize = 192 << 10;
/// Size of the chunks in which files are read from a machine, in bytes.
pub(crate) const READ_CHUNK_BYTES: usize = 1 << 20;
/// Chunks on their way at once.
pub(crate) const CHUNKS_IN_FLIGHT: usize = 4;
/// How long QEMU's monitor may take over a command, in seconds.
pub(crate) const MONITOR_LIMIT_S: u64 = 30;
/// How long writing a machine's state to disk may take, in seconds.
pub(crate) const SAVE_LIMIT_S: u64 = 120;
/// How long connecting to a machine's port may take, in seconds.
pub(crate) const CONNECT_LIMIT_S: u64 = 10;

/// Memory of a machine, in MiB.
pub(crate) const MACHINE_MEMORY_MIB: u64 = 512;
/// Size of each of a machine's two empty disks, in bytes; files without blocks until written.
pub(crate) const DATA_DISK_BYTES: u64 = 1 << 30;
/// Most machines of a bed.
pub(crate) const MACHINES_MAX: usize = 32;
/// Longest directory of the bed's, in bytes: the path of a unix socket in it has 108.
pub(crate) const SOCKET_DIR_MAX_BYTES: usize = 88;
/// Oldest major version of QEMU under whose TCG the machines' kernel boots.
pub(crate) const QEMU_MAJOR_MIN: u32 = 10;

/// How long building the image may take, in seconds: two minutes, or twelve with the modules.
pub(crate) const BUILD_LIMIT_S: u64 = 2400;
