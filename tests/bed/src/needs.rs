//! What a test needs of the machine, and telling that it was skipped for want of it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Where programs of the system lie that a user's own PATH may lack.
const SYSTEM_DIRS: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

/// Tells that the running test is skipped: `SKIP test: reason` on stderr, and a line
/// `test<TAB>reason` in the file that the variable `CAIRN_SKIPS` names, if it is set, so that
/// whoever runs the tests can count them. The test then returns.
pub fn skip(reason: &str) {
    let (test, reason) = (test_name(), reason.replace(['\n', '\t'], " "));
    eprintln!("SKIP {test}: {reason}");
    let Some(path) = std::env::var_os("CAIRN_SKIPS") else {
        return;
    };
    let line = format!("{test}\t{reason}\n");
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        eprintln!(
            "CAIRN_SKIPS={}: {error}: this skip goes uncounted",
            Path::new(&path).display()
        );
    }
}

/// The reason to skip if one of `programs` is not installed: names those that are missing.
#[must_use]
pub fn missing(programs: &[&str]) -> Option<String> {
    let path = search_path();
    let absent: Vec<&str> = programs
        .iter()
        .copied()
        .filter(|program| !std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
        .collect();
    (!absent.is_empty()).then(|| format!("not installed: {}", absent.join(", ")))
}

/// The reason to skip if the test doesn't run as root.
#[must_use]
pub fn not_root() -> Option<String> {
    let root = rustix::process::geteuid().is_root();
    (!root).then(|| "needs root: namespaces, mounts and pools".to_owned())
}

/// The reason to skip if a device node is missing.
pub(crate) fn no_device(device: &str) -> Option<String> {
    (!Path::new(device).exists()).then(|| format!("this machine has no {device}"))
}

/// This process's PATH, and the system's directories after it.
pub(crate) fn search_path() -> String {
    match std::env::var("PATH") {
        Ok(path) if !path.is_empty() => format!("{path}:{SYSTEM_DIRS}"),
        _ => SYSTEM_DIRS.to_owned(),
    }
}

/// The test program, less the hash that cargo adds, and the test: libtest names threads so.
fn test_name() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("test"));
    let stem = program
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let program = stem
        .rsplit_once('-')
        .map_or(stem.as_str(), |(name, _)| name);
    let thread = std::thread::current();
    format!("{program}::{}", thread.name().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_only_what_is_missing() {
        assert_eq!(missing(&["bash"]), None);
        let reason = missing(&["bash", "no-such-program"]);
        assert_eq!(reason.as_deref(), Some("not installed: no-such-program"));
    }

    #[test]
    fn a_test_is_named_by_program_and_thread() {
        assert_eq!(
            test_name(),
            "cairn_bed::needs::tests::a_test_is_named_by_program_and_thread"
        );
    }
}
