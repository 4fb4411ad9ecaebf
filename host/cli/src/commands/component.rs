//! What is done with a plugin's file: inspect, install, upgrade. What it asks for is shown with its
//! reasons before anything is granted, and nothing is granted that nobody agreed to.

use std::fs;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use cairn_core::plugin::{Asks, FileAccess, Inspection, Signature};
use cairn_core::{Code, Error};
use cairn_node::records::PluginDetail;
use cairn_plugins::PluginHost;

use super::growth::{Growth, granting, left_out};
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
pub(super) fn asks_lines(asks: &Asks) -> Vec<String> {
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
