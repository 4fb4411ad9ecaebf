//! What a new version of a plugin asks for beyond the old one, and the commands that grant it.

use cairn_core::plugin::{Asks, Inspection, Version};
use cairn_node::records::PluginDetail;

use super::component::asks_lines;
use crate::arguments::{Arguments, Component};
use crate::output::{clean, quoted};

/// What a new version asks for, against what the old one asked and was granted.
pub(super) struct Growth {
    /// As lines: a program, a form of arguments, a directory, a method.
    more: Vec<String>,
    less: Vec<String>,
    /// Ids of all that is new, and of what it needs and has no more.
    pub(super) ids: Vec<String>,
}

impl Growth {
    pub(super) fn of(asks: &Asks, old: &Version) -> Self {
        // What was asked for before and refused is nothing new.
        let declined = old.inspection.asks.beyond(&old.granted);
        let mut more = asks.beyond(&old.granted);
        more.retain(|ask| !declined.contains(ask));
        let beyond = |id: &String| asks.select(std::slice::from_ref(id)).beyond(&old.granted);
        let mut needed = asks.required_ids();
        needed.retain(|id| !beyond(id).is_empty());
        let mut ids = asks.ids();
        ids.retain(|id| needed.contains(id) || beyond(id).iter().any(|ask| more.contains(ask)));
        let less = old.granted.beyond(asks);
        Self { more, less, ids }
    }

    pub(super) fn lines(&self, old: &Inspection, new: &Inspection) -> Vec<String> {
        let (from, to) = (clean(&old.version), clean(&new.version));
        let mut lines = vec![format!("{} {from} -> {to}", new.name)];
        let more = self.more.iter().map(|ask| format!("  + {}", clean(ask)));
        let less = self.less.iter().map(|ask| format!("  - {}", clean(ask)));
        lines.extend(more.chain(less));
        if self.more.is_empty() && self.less.is_empty() {
            lines.push("  it asks for what was granted, and no more".to_owned());
        }
        if !self.ids.is_empty() {
            lines.extend(asks_lines(&new.asks.select(&self.ids)));
        }
        lines
    }
}

/// What of the new asks isn't granted though the upgrade went on, and the command that grants it.
pub(super) fn left_out(
    arguments: &Arguments,
    before: &PluginDetail,
    after: &PluginDetail,
    growth: &Growth,
) -> Vec<String> {
    let mut new = after.not_granted.clone();
    new.retain(|ask| !before.not_granted.contains(ask));
    if new.is_empty() {
        return Vec::new();
    }
    let active = &after.installed.active;
    let mut ids = active.granted.ids();
    ids.extend(
        growth
            .ids
            .iter()
            .filter(|id| !ids.contains(id))
            .cloned()
            .collect::<Vec<_>>(),
    );
    let mut words = called(arguments);
    words.extend(["plugin", "grant"].map(str::to_owned));
    words.push(active.inspection.name.to_string());
    words.extend(ids);
    let mut lines = vec!["it works without these, which are new and not granted:".to_owned()];
    lines.extend(new.iter().map(|ask| format!("  {}", clean(ask))));
    lines.push(format!("to grant them: {}", line(&words)));
    lines
}

/// The command that installs or upgrades with these grants, called as this one was.
pub(super) fn granting(
    arguments: &Arguments,
    action: &str,
    component: &Component,
    ids: &[String],
) -> String {
    let mut words = called(arguments);
    words.extend(["plugin", action].map(str::to_owned));
    if let Some(path) = &component.signature {
        words.extend(["--signature".to_owned(), path.display().to_string()]);
    }
    words.push(component.file.display().to_string());
    for id in ids {
        words.extend(["--grant".to_owned(), id.clone()]);
    }
    line(&words)
}

/// The program and the global options that reach the same daemon.
fn called(arguments: &Arguments) -> Vec<String> {
    let program = std::env::args().next();
    let mut words = vec![program.unwrap_or_else(|| "cairn".to_owned())];
    let mut option = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    match &arguments.server {
        Some(server) => option("--server", server),
        None => option("--data", &arguments.data.display().to_string()),
    }
    if let Some(ca) = &arguments.ca {
        option("--ca", &ca.display().to_string());
    }
    words
}

fn line(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asks(commands: Value) -> Asks {
        let commands: Vec<Value> = commands
            .as_array()
            .unwrap()
            .iter()
            .map(|c| json!({"command": c[0], "arguments": c[1], "why": "", "optional": c[2]}))
            .collect();
        let asks = json!({"commands": commands, "files": [], "http": [], "secrets": []});
        serde_json::from_value(asks).unwrap()
    }

    fn version(asks: Asks, granted: &[&str]) -> Version {
        let granted: Vec<String> = granted.iter().map(|id| (*id).to_owned()).collect();
        let granted = asks.select(&granted);
        let inspection = json!({
            "name": "storage-x", "version": "1.0.0", "kind": "storage", "summary": "", "author": "",
            "license": "", "homepage": "", "digest": "sha256:0", "size_bytes": 0, "imports": [],
            "exports": [], "asks": asks, "reuse_instances": false, "memory_mib": 1,
            "config_schema": {}, "signature": {"state": "none"},
        });
        let inspection = serde_json::from_value(inspection).unwrap();
        Version {
            inspection,
            granted,
        }
    }

    #[test]
    fn an_upgrade_shows_what_grew_and_what_shrank() {
        let old = asks(json!([["zfs", ["list", "create {name}"], false]]));
        let old = version(old, &["command:zfs"]);
        let new = asks(json!([["zfs", ["list", "destroy {name}"], false]]));
        let growth = Growth::of(&new, &old);
        assert_eq!(growth.more, ["command:zfs destroy {name}"]);
        assert_eq!(growth.less, ["command:zfs create {name}"]);
        assert_eq!(growth.ids, ["command:zfs"]);
        let same = Growth::of(&old.inspection.asks, &old);
        assert!(same.more.is_empty() && same.less.is_empty() && same.ids.is_empty());
    }

    fn detail(version: Version) -> PluginDetail {
        let not_granted = version.inspection.asks.ungranted(&version.granted);
        let installed = cairn_core::plugin::Installed {
            active: version,
            previous: None,
        };
        PluginDetail {
            installed,
            not_granted,
            statistics: Default::default(),
            failure: None,
            used_by: Vec::new(),
        }
    }

    #[test]
    fn what_is_new_and_not_granted_is_told_with_the_command_that_grants() {
        use clap::Parser;
        let arguments = ["cairn", "--data", "/d", "plugin", "list"];
        let arguments = Arguments::try_parse_from(arguments).unwrap();
        let both = |form: &str| {
            asks(json!([
                ["zfs", ["list"], false],
                ["lz4", ["-1", form], true]
            ]))
        };
        let old = version(both("-2"), &["command:zfs", "command:lz4"]);
        let mut new = version(both("-9"), &[]);
        new.granted = new.inspection.asks.within(&old.granted);
        let growth = Growth::of(&new.inspection.asks, &old);
        let lines = left_out(&arguments, &detail(old), &detail(new), &growth);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[1], "  command:lz4 -9");
        let grants = "--data /d plugin grant storage-x command:zfs command:lz4";
        assert!(lines[2].ends_with(grants), "{lines:?}");
        let same = version(both("-2"), &["command:zfs", "command:lz4"]);
        let twin = version(both("-2"), &["command:zfs", "command:lz4"]);
        assert!(left_out(&arguments, &detail(same), &detail(twin), &growth).is_empty());
    }

    #[test]
    fn what_was_refused_before_is_not_asked_again_unless_it_is_needed() {
        let both = json!([["zfs", ["list"], false], ["mount", ["{name}"], true]]);
        let old = version(asks(both.clone()), &["command:zfs"]);
        let growth = Growth::of(&asks(both.clone()), &old);
        assert!(growth.more.is_empty() && growth.ids.is_empty());
        let old = version(asks(both.clone()), &[]);
        assert_eq!(Growth::of(&asks(both), &old).ids, ["command:zfs"]);
    }
}
