//! What is done with a plugin's file: inspect, install, upgrade. What it asks for is shown with its
//! reasons before anything is granted, and nothing is granted that nobody agreed to.

use std::fs;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use cairn_core::plugin::{Asks, FileAccess, Inspection, Signature, Version};
use cairn_core::{Code, Error};
use cairn_node::records::PluginDetail;
use cairn_plugins::PluginHost;

use super::read;
use crate::arguments::{Arguments, Component};
use crate::client::Client;
use crate::output::{Output, bytes, clean, fact_lines, listed, quoted, say};

/// Largest component that is read; the daemon takes none that is larger.
const COMPONENT_MAX_BYTES: u64 = 64 << 20;
/// Largest signature that is read.
const SIGNATURE_MAX_BYTES: u64 = 64 << 10;

/// Reads a component in this process: the one thing that needs no daemon. A signature does, as it
/// is checked against the daemon's trust list.
pub(super) async fn inspect(
    file: &Path,
    signature: Option<&PathBuf>,
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    let content = content(file, COMPONENT_MAX_BYTES)?;
    let mut inspection = if let Some(path) = signature {
        let minisig = text(path)?;
        asked(client, &content, Some(&minisig)).await?
    } else {
        let cache = tempfile::tempdir()
            .map_err(|e| Error::internal(format!("no temporary folder: {e}")))?;
        let host = PluginHost::new(&cache.path().join("compiled"), "inspect")?;
        host.inspect(&content).await?
    };
    // Nothing of it is known here, so nothing may be claimed.
    if signature.is_none() {
        inspection.signature = Signature::None;
    }
    output.show(&inspection, || {
        inspection_lines(&inspection).iter().for_each(say);
        let beside = beside(file);
        if signature.is_none() && beside.exists() {
            say(format!(
                "A signature lies beside it: installing checks it, and so does --signature {}",
                quoted(&beside.display().to_string())
            ));
        }
    });
    Ok(())
}

/// What the daemon says of a component, its signature checked.
async fn asked(
    client: &Client,
    content: &[u8],
    minisig: Option<&str>,
) -> Result<Inspection, Error> {
    let document = client
        .upload("plugins/inspect", content.to_vec(), minisig, &[])
        .await?;
    read(&document)
}

fn content(path: &Path, most_bytes: u64) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    let file = fs::File::open(path).map_err(|e| unreadable(path, &e))?;
    file.take(most_bytes + 1)
        .read_to_end(&mut content)
        .map_err(|e| unreadable(path, &e))?;
    if content.len() as u64 > most_bytes {
        let message = format!("{} has more than {}", path.display(), bytes(most_bytes));
        return Err(Error::new(Code::Invalid, message));
    }
    Ok(content)
}

pub(super) fn text(path: &Path) -> Result<String, Error> {
    String::from_utf8(content(path, SIGNATURE_MAX_BYTES)?)
        .map_err(|_| Error::new(Code::Invalid, format!("{} is no text", path.display())))
}

fn unreadable(path: &Path, e: &std::io::Error) -> Error {
    let code = if e.kind() == std::io::ErrorKind::NotFound {
        Code::NotFound
    } else {
        Code::Invalid
    };
    Error::new(code, format!("{} can't be read: {e}", path.display()))
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

/// The signature that is meant: the one named, or one beside the file. One that is there and can't
/// be read is no missing one.
fn signature(component: &Component) -> Result<Option<String>, Error> {
    match &component.signature {
        Some(path) => text(path).map(Some),
        None => match text(&beside(&component.file)) {
            Err(e) if e.code == Code::NotFound => Ok(None),
            found => found.map(Some),
        },
    }
}

/// Is there a person to ask? They must see the question and what it is about.
fn asks_person(output: &Output) -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !output.json
}

/// For people beside the result: what a question or a refusal is about.
fn tell(lines: &[String]) {
    lines.iter().for_each(|line| eprintln!("{line}"));
}

pub(super) async fn install(
    arguments: &Arguments,
    component: &Component,
    grants: &[String],
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    let content = content(&component.file, COMPONENT_MAX_BYTES)?;
    let minisig = signature(component)?;
    let inspection = asked(client, &content, minisig.as_deref()).await?;
    let mut grants = grants.to_vec();
    let missing: Vec<String> = inspection
        .asks
        .required_ids()
        .into_iter()
        .filter(|id| !grants.contains(id))
        .collect();
    if !missing.is_empty() && asks_person(output) {
        tell(&inspection_lines(&inspection));
        if !agreed("Grant all of this and install it?")? {
            return Err(Error::new(
                Code::Denied,
                "nothing was granted and nothing was installed",
            ));
        }
        grants = inspection.asks.ids();
    }
    let installed = client
        .upload("plugins", content, minisig.as_deref(), &grants)
        .await;
    let document = installed.map_err(|mut e| {
        if e.code == Code::Denied && !missing.is_empty() {
            if !output.json {
                tell(&asks_lines(&inspection.asks));
                e.by.clear();
            }
            let ids = inspection.asks.ids();
            e.command = Some(granting(arguments, "install", component, &ids));
        }
        e
    })?;
    let detail: PluginDetail = read(&document)?;
    output.show(&document, || {
        let inspection = &detail.installed.active.inspection;
        say(format!(
            "plugin {} {} is installed ({})",
            inspection.name,
            clean(&inspection.version),
            inspection.digest
        ));
    });
    Ok(())
}

/// The command that installs or upgrades with these grants, called as this one was.
fn granting(arguments: &Arguments, action: &str, component: &Component, ids: &[String]) -> String {
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

/// What a new version asks for, against what the old one asked and was granted.
struct Growth {
    /// As lines: a program, a form of arguments, a directory, a method.
    more: Vec<String>,
    less: Vec<String>,
    /// Ids of all that is new, and of what it needs and has no more.
    ids: Vec<String>,
}

impl Growth {
    fn of(asks: &Asks, old: &Version) -> Self {
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

    fn lines(&self, old: &Inspection, new: &Inspection) -> Vec<String> {
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

pub(super) async fn upgrade(
    arguments: &Arguments,
    component: &Component,
    grants: &[String],
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    let content = content(&component.file, COMPONENT_MAX_BYTES)?;
    let minisig = signature(component)?;
    let inspection = asked(client, &content, minisig.as_deref()).await?;
    let path = format!("plugins/{}", inspection.name);
    let before: PluginDetail = read(&client.get(&path).await?)?;
    let old = &before.installed.active;
    let same = old.inspection.digest == inspection.digest;
    let growth = Growth::of(&inspection.asks, old);
    let mut grants = grants.to_vec();
    let grew = !same && growth.ids.iter().any(|id| !grants.contains(id));
    if !output.json && !same {
        tell(&growth.lines(&old.inspection, &inspection));
    }
    if grew && asks_person(output) {
        if !agreed("Grant what is new and upgrade?")? {
            let message = "nothing was granted and nothing was changed";
            return Err(Error::new(Code::Denied, message));
        }
        grants.extend(growth.ids.iter().cloned());
    }
    let upgraded = client
        .upload(
            &format!("{path}/upgrade"),
            content,
            minisig.as_deref(),
            &grants,
        )
        .await;
    let document = upgraded.map_err(|mut e| {
        if e.code == Code::Denied && grew {
            let mut ids = growth.ids.clone();
            ids.extend(grants.iter().filter(|id| !growth.ids.contains(id)).cloned());
            e.command = Some(granting(arguments, "upgrade", component, &ids));
        }
        e
    })?;
    let after: PluginDetail = read(&document)?;
    output.show(&document, || {
        if same {
            say("this very component is installed; nothing is changed");
            return;
        }
        let name = &inspection.name;
        say(format!(
            "upgraded; `cairn plugin rollback {name}` goes back"
        ));
        left_out(arguments, &before, &after, &growth)
            .iter()
            .for_each(say);
    });
    Ok(())
}

/// What of the new asks isn't granted though the upgrade went on, and the command that grants it.
fn left_out(
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

fn agreed(question: &str) -> Result<bool, Error> {
    eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|e| Error::internal(format!("no answer can be read: {e}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub(super) fn inspection_lines(inspection: &Inspection) -> Vec<String> {
    let signature = match &inspection.signature {
        Signature::None => "none that was checked".to_owned(),
        Signature::Trusted { key, signer } => format!("good, by {signer} (key {key})"),
    };
    let mut rows = vec![
        (
            "plugin",
            format!("{} {}", inspection.name, inspection.version),
        ),
        ("what it is", inspection.summary.clone()),
        ("kind", format!("{:?}", inspection.kind).to_lowercase()),
        (
            "author",
            format!("{} ({})", inspection.author, inspection.license),
        ),
        ("digest", inspection.digest.clone()),
        ("size", bytes(inspection.size_bytes)),
        ("signature", signature),
    ];
    rows.extend(listed("imports", &inspection.imports, "nothing"));
    rows.extend(listed("exports", &inspection.exports, "nothing"));
    let mut lines = fact_lines(&rows);
    lines.extend(asks_lines(&inspection.asks));
    lines
}

/// What a plugin asks for and why, an ask a line, with the forms of argument lists below.
fn asks_lines(asks: &Asks) -> Vec<String> {
    if asks.ids().is_empty() {
        return vec!["It asks for nothing.".to_owned()];
    }
    let mut lines = vec!["It asks for:".to_owned()];
    for ask in &asks.commands {
        let optional = if ask.optional { " (optional)" } else { "" };
        lines.push(format!("  command:{}{optional}: {}", ask.command, ask.why));
        let forms = ask.arguments.iter();
        lines.extend(forms.map(|form| format!("      {} {form}", ask.command)));
    }
    for ask in &asks.files {
        let how = match ask.access {
            FileAccess::Read => "reading",
            FileAccess::ReadWrite => "reading and writing",
        };
        lines.push(format!("  files:{}, for {how}: {}", ask.directory, ask.why));
    }
    for ask in &asks.http {
        let methods = ask.methods.join(", ");
        lines.push(format!("  http:{} ({methods}): {}", ask.host, ask.why));
    }
    for ask in &asks.secrets {
        lines.push(format!("  secret:{}: {}", ask.name, ask.why));
    }
    let cleaned = lines.iter().map(|line| clean(line).into_owned());
    cleaned.collect()
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
