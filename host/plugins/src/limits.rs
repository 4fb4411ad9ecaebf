//! All limits and deadlines of the plugin host, with their units.

use std::time::Duration;

/// Largest component that is taken.
pub const COMPONENT_MAX_BYTES: usize = 64 << 20;
/// Linear memory a plugin gets unless it wishes for less.
pub const MEMORY_DEFAULT_MIB: u32 = 64;
/// Linear memory a plugin may wish for; interpreters of Python and JavaScript need it.
pub const MEMORY_MAX_MIB: u32 = 512;
/// Elements of all tables of an instance.
pub const TABLE_MAX_ELEMENTS: usize = 100_000;
/// Core modules' instances of one component instance: what componentize-py makes has 38.
pub const CORES_MAX: u32 = 64;
/// Memories of one component instance.
pub const MEMORIES_MAX: u32 = 4;
/// Tables of one component instance.
pub const TABLES_MAX: u32 = 8;
/// WASI resources (streams, pollables) an instance may hold: they are the host's memory.
pub const RESOURCES_MAX: usize = 1_000;
/// Stack of a plugin's own code.
pub const STACK_MAX_BYTES: usize = 512 << 10;
/// What one answer may take when it is read out of the plugin.
pub const ANSWER_MAX_BYTES: usize = 16 << 20;
/// One text in an answer that is shown to people.
pub const TEXT_MAX_BYTES: usize = 4 << 10;
/// A volume's notes: people write more there than a sentence.
pub const NOTES_MAX_BYTES: usize = 64 << 10;
/// Properties of a volume that are shown.
pub const PROPERTIES_MAX: usize = 256;
/// Findings of a check, or facts of a health report.
pub const FACTS_MAX: usize = 1_000;

/// Instances that exist at once, of all plugins but fencing ones.
pub const INSTANCES_MAX: u32 = 64;
/// Instances that exist at once in the lane of fencing plugins.
pub const FENCING_INSTANCES_MAX: u32 = 16;
/// Threads that only fencing plugins run on.
pub const FENCING_THREADS: usize = 2;
/// Calls of one storage or device that run at once.
pub const RUNNING_MAX: usize = 8;
/// Calls of one storage or device that wait or run; one more is refused.
pub const QUEUE_MAX: usize = 128;
/// Warm instances kept of one storage or device, where its plugin allows it.
pub const WARM_MAX: usize = 4;
/// File operations of one storage or device at once: each holds a thread, for as long as a file system
/// doesn't answer.
pub const FILES_MAX: usize = 8;

/// How often a running plugin is looked at; it yields to others then.
pub const TICK: Duration = Duration::from_millis(10);
/// Asks of one kind.
pub const ASKS_MAX: usize = 64;
/// Texts of a description: each ask has a few, a command one a form.
pub const TEXTS_MAX: usize = 2_000;
/// Configuration schema, as text.
pub const SCHEMA_MAX_BYTES: usize = 256 << 10;

/// Deadline of `describe` and `config-schema`.
pub const DESCRIBE_DEADLINE: Duration = Duration::from_secs(2);
/// Deadline of a call that only asks.
pub const ASK_DEADLINE: Duration = Duration::from_secs(20);
/// Deadline of `status`, `monitor` and a fencing device's power functions.
pub const STATUS_DEADLINE: Duration = Duration::from_secs(5);
/// Deadline of a call that changes something.
pub const CHANGE_DEADLINE: Duration = Duration::from_secs(60);
/// Deadline of a call whose backend may copy a whole volume.
pub const COPY_DEADLINE: Duration = Duration::from_secs(3600);
/// What the host does for a call is ended this long before it, so that the plugin can still answer.
pub const HEADROOM: Duration = Duration::from_millis(200);
/// After its deadline a call that waits in the host is dropped this much later.
pub const DEADLINE_GRACE: Duration = Duration::from_millis(250);

/// Standard output of one command.
pub const STDOUT_MAX_BYTES: usize = 8 << 20;
/// Standard error of one command; more is dropped.
pub const STDERR_MAX_BYTES: usize = 64 << 10;
/// Standard input of one command.
pub const STDIN_MAX_BYTES: usize = 1 << 20;
/// One file read or written whole.
pub const FILE_MAX_BYTES: u64 = 4 << 20;
/// Entries of one directory.
pub const ENTRIES_MAX: usize = 100_000;
/// Body of one HTTP request or response.
pub const HTTP_MAX_BYTES: usize = 8 << 20;
/// Random bytes a call.
pub const RANDOM_MAX_BYTES: u32 = 64 << 10;
/// Lines of log a call; more are counted and dropped.
pub const LOG_MAX_LINES: u32 = 1_000;
/// A line of standard output or error that has no end yet.
pub const LINE_MAX_BYTES: usize = 64 << 10;
/// Notices a call.
pub const NOTICES_MAX: u32 = 16;
/// Keys of one instance's scratch.
pub const SCRATCH_MAX_KEYS: usize = 256;
/// Length of one key.
pub const SCRATCH_KEY_MAX_BYTES: usize = 256;
/// One value.
pub const SCRATCH_VALUE_MAX_BYTES: usize = 64 << 10;
/// All values of one instance.
pub const SCRATCH_MAX_BYTES: usize = 1 << 20;

/// Where programs are looked for. Fixed: the daemon's own environment doesn't count.
pub const PROGRAM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A stream between two storages that moves no byte for this long is ended.
pub const STREAM_STALL: Duration = Duration::from_secs(60);
/// Bytes moved at a time.
pub const STREAM_CHUNK_BYTES: usize = 256 << 10;
