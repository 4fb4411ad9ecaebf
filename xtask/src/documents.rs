//! What is checked of the Markdown files: links lead somewhere, and ARCHITECTURE.md is a map of
//! what is really there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::tally::Tally;
use crate::workspace::Workspace;

/// Folders that hold nothing of ours.
const NOT_OURS: [&str; 4] = ["target", "node_modules", "dist", ".git"];
/// The file that names every part of the project.
const MAP: &str = "ARCHITECTURE.md";

/// Runs the checks as tests, in the form of libtest's output.
pub(crate) fn test(workspace: &Workspace) -> Result<Tally> {
    println!("\n== documents");
    let mut tally = Tally::default();
    let checks = [
        ("documents::links_resolve", broken_links(&workspace.root)?),
        (
            "documents::architecture_names_every_part",
            missing_in_map(workspace)?,
        ),
    ];
    for (name, complaints) in checks {
        println!(
            "test {name} ... {}",
            if complaints.is_empty() {
                "ok"
            } else {
                "FAILED"
            }
        );
        complaints
            .iter()
            .for_each(|complaint| println!("    {complaint}"));
        tally += if complaints.is_empty() {
            Tally::pass()
        } else {
            Tally::fail(name)
        };
    }
    Ok(tally)
}

/// Calls `visit` with every file under `folder` that is ours.
pub(crate) fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        let ours = !NOT_OURS.contains(&entry.file_name().to_string_lossy().as_ref());
        if kind.is_dir() && ours {
            walk(&entry.path(), visit)?;
        } else if kind.is_file() {
            visit(&entry.path());
        }
    }
    Ok(())
}

fn broken_links(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    walk(root, &mut |path| {
        if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path.to_path_buf());
        }
    })?;
    files.sort();
    let mut broken = Vec::new();
    for file in files {
        let text =
            fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
        for (line, link) in links(&text) {
            if !resolves(root, &file, link) {
                let shown = file.strip_prefix(root).unwrap_or(&file).display();
                broken.push(format!(
                    "{shown}:{line}: the link to `{link}` leads nowhere"
                ));
            }
        }
    }
    Ok(broken)
}

/// Links elsewhere and within the page are not looked at.
fn resolves(root: &Path, file: &Path, link: &str) -> bool {
    let path = link.split(['#', '?']).next().unwrap_or_default();
    let elsewhere = link.contains("://") || link.starts_with("mailto:");
    if elsewhere || path.is_empty() {
        return true;
    }
    let target = match path.strip_prefix('/') {
        Some(from_root) => root.join(from_root),
        None => file
            .parent()
            .map(PathBuf::from)
            .unwrap_or_default()
            .join(path),
    };
    target.exists()
}

/// Line numbers and targets of `[text](target)` and `[name]: target`, outside code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, Some(mark)) => fence = Some(mark),
            (None, None) => {
                found.extend(
                    links_of_line(line)
                        .into_iter()
                        .map(|link| (index + 1, link)),
                );
            }
            (Some(_), _) => {}
        }
    }
    found
}

fn links_of_line(line: &str) -> Vec<&str> {
    let definition = line
        .trim_start()
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "));
    if let Some((_, target)) = definition {
        return target
            .split_whitespace()
            .take(1)
            .map(without_brackets)
            .collect();
    }
    let mut found = Vec::new();
    for (index, prose) in line.split('`').enumerate() {
        // Every second piece between backticks is code. A link's text may be code: then its
        // target is the start of the next piece, still after `](`.
        if index % 2 == 0 {
            for rest in prose.split("](").skip(1) {
                let target = rest.split([')', ' ']).next().unwrap_or_default();
                found.push(without_brackets(target));
            }
        }
    }
    found
}

fn without_brackets(target: &str) -> &str {
    target
        .strip_prefix('<')
        .and_then(|t| t.strip_suffix('>'))
        .unwrap_or(target)
}

/// Every top-level folder and every crate has to be named in the map.
fn missing_in_map(workspace: &Workspace) -> Result<Vec<String>> {
    let Ok(map) = fs::read_to_string(workspace.root.join(MAP)) else {
        return Ok(vec![format!(
            "there is no {MAP}: it is the map of the project"
        )]);
    };
    let mut parts = Vec::new();
    for entry in fs::read_dir(&workspace.root)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = !name.starts_with('.') && !NOT_OURS.contains(&name.as_str());
        if ours && entry.file_type()?.is_dir() {
            parts.push(format!("{name}/"));
        }
    }
    for package in &workspace.packages {
        parts.push(workspace.shown(&package.folder).to_string());
    }
    parts.sort();
    parts.dedup();
    Ok(unnamed(&map, &parts))
}

fn unnamed(map: &str, parts: &[String]) -> Vec<String> {
    parts
        .iter()
        .filter(|part| !names(map, part))
        .map(|part| format!("{MAP} doesn't name `{part}`: say there what it is for"))
        .collect()
}

/// `host/core` is not named by `host/core-extras`, nor `wit/` by `my-wit/`.
fn names(map: &str, part: &str) -> bool {
    let word =
        |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    map.match_indices(part).any(|(start, _)| {
        let before = map.get(..start).and_then(|text| text.chars().next_back());
        let after = map
            .get(start + part.len()..)
            .and_then(|text| text.chars().next());
        !word(before) && (part.ends_with('/') || !word(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code() {
        let text = "See [a](a.md) and [`b`](b.md#part \"title\"), not `[c](c.md)`.\n\
                    ```\n[d](d.md)\n```\n[e]: e.md\n[f](<f.md>)";
        assert_eq!(
            links(text),
            [(1, "a.md"), (1, "b.md#part"), (5, "e.md"), (6, "f.md")]
        );
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("docs")).unwrap();
        let text = "[up](../README.md) [root](/README.md) [in](#here) [web](https://x.invalid/y)\n\
                    [gone](gone.md)";
        fs::write(root.join("docs/page.md"), text).unwrap();
        fs::write(root.join("README.md"), "[folder](docs/)").unwrap();
        assert_eq!(
            broken_links(root).unwrap(),
            ["docs/page.md:2: the link to `gone.md` leads nowhere"]
        );
    }

    #[test]
    fn a_part_missing_in_the_map_is_found() {
        let parts = [
            "host/core".to_owned(),
            "host/net".to_owned(),
            "wit/".to_owned(),
        ];
        assert_eq!(
            unnamed("`host/core`, host/net: x. wit/ is", &parts),
            Vec::<String>::new()
        );
        let complaints = unnamed("host/core-extras and my-wit/ and host/net", &parts);
        assert_eq!(complaints.len(), 2);
        assert!(complaints[0].contains("host/core") && complaints[1].contains("wit/"));
    }
}
