//! The report of file sizes. It doesn't fail anything: it shows where to look.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::documents::walk;
use crate::limits::{LONG_FILE_LINES, LONGEST_FILES_SHOWN};
use crate::workspace::Workspace;

/// What people write and read.
const SOURCE: [&str; 9] = ["rs", "wit", "ts", "tsx", "js", "css", "py", "sh", "html"];

/// Prints the longest files, and all that are too long.
pub(crate) fn report(workspace: &Workspace) -> Result<()> {
    let files = measure(&workspace.root)?;
    let long = files
        .iter()
        .filter(|(lines, _)| *lines > LONG_FILE_LINES)
        .count();
    println!(
        "{} source files, {long} of them over {LONG_FILE_LINES} lines; the longest:",
        files.len()
    );
    for (lines, path) in files.iter().take(long.max(LONGEST_FILES_SHOWN)) {
        println!("{lines:6}  {}", workspace.shown(path));
    }
    Ok(())
}

/// Longest first, equal ones by name.
fn measure(root: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let mut files = Vec::new();
    walk(root, &mut |path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| SOURCE.contains(&extension))
            && let Ok(text) = fs::read(path)
        {
            let lines = text.iter().filter(|byte| **byte == b'\n').count();
            files.push((lines, path.to_path_buf()));
        }
    })?;
    files.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_files_are_measured_longest_first() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("target")).unwrap();
        for (name, text) in [
            ("b.rs", "1\n2\n"),
            ("a.rs", "1\n2\n"),
            ("c.ts", "1\n2\n3\n"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::write(folder.path().join("Cargo.lock"), "1\n".repeat(900)).unwrap();
        fs::write(folder.path().join("target/made.rs"), "1\n".repeat(900)).unwrap();
        let names: Vec<_> = measure(folder.path())
            .unwrap()
            .into_iter()
            .map(|(lines, path)| (lines, path.file_name().unwrap().to_owned()))
            .collect();
        assert_eq!(
            names,
            [(3, "c.ts".into()), (2, "a.rs".into()), (2, "b.rs".into())]
        );
    }
}
