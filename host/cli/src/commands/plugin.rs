//! `cairn plugin …`

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use cairn_core::names::PluginName;
use cairn_core::plugin::{Asks, FileAccess, Inspection, Signature};
use cairn_core::{Code, Error};
use cairn_node::records::{PluginDetail, PluginSummary, TrustedSigner};
use cairn_plugins::PluginHost;
use serde_json::json;

use super::read;
use crate::arguments::{Arguments, Component, PluginCommand, TrustCommand};
use crate::client::Client;
use crate::output::{Output, bytes, facts, quoted, table};

pub(super) async fn run(
    arguments: &Arguments,
    command: &PluginCommand,
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    match command {
        PluginCommand::Inspect(component) => {
            let (inspection, _, _) = inspect(component).await?;
            output.show(&inspection, || show_inspection(&inspection));
            Ok(())
        }
        PluginCommand::Install { component, grant } => {
            install(arguments, component, &grant.grants, client, output).await
        }
        PluginCommand::Upgrade { component, grant } => {
            upgrade(component, &grant.grants, client, output).await
        }
        PluginCommand::List => list(client, output).await,
        PluginCommand::Show { name } => {
            let document = client.get(&format!("plugins/{name}")).await?;
            show(&document, output)
        }
        PluginCommand::Grant { name, grants } => {
            let path = format!("plugins/{name}/grants");
            let document = client.put(&path, &json!({"granted": grants})).await?;
            show(&document, output)
        }
        PluginCommand::Rollback { name } => act(name, "rollback", client, output).await,
        PluginCommand::Release { name } => act(name, "release", client, output).await,
        PluginCommand::Remove { name } => {
            client.delete(&format!("plugins/{name}")).await?;
            output.show(&json!({"removed": name}), || {
                println!("plugin {name} is removed")
            });
            Ok(())
        }
        PluginCommand::Trust(command) => trust(command, client, output).await,
    }
}

/// Reads a component in this process: the one thing that needs no daemon.
async fn inspect(component: &Component) -> Result<(Inspection, Vec<u8>, Option<String>), Error> {
    let unreadable = |path: &Path, e: std::io::Error| {
        let code = if e.kind() == std::io::ErrorKind::NotFound {
            Code::NotFound
        } else {
            Code::Invalid
        };
        Error::new(code, format!("{} can't be read: {e}", path.display()))
    };
    let content = fs::read(&component.file).map_err(|e| unreadable(&component.file, e))?;
    let beside = PathBuf::from(format!("{}.minisig", component.file.display()));
    let minisig = match &component.signature {
        Some(path) => Some(fs::read_to_string(path).map_err(|e| unreadable(path, e))?),
        None => fs::read_to_string(beside).ok(),
    };
    let cache =
        tempfile::tempdir().map_err(|e| Error::internal(format!("no temporary folder: {e}")))?;
    let host = PluginHost::new(&cache.path().join("compiled"), "inspect")?;
    let inspection = host.inspect(&content).await?;
    Ok((inspection, content, minisig))
}

async fn install(
    arguments: &Arguments,
    component: &Component,
    grants: &[String],
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    let (inspection, content, minisig) = inspect(component).await?;
    let mut grants = grants.to_vec();
    let missing: Vec<String> = inspection
        .asks
        .required_ids()
        .into_iter()
        .filter(|id| !grants.contains(id))
        .collect();
    let asks_person =
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !output.json;
    if !missing.is_empty() && asks_person {
        show_inspection(&inspection);
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
    match installed {
        Ok(document) => {
            let detail: PluginDetail = read(&document)?;
            output.show(&document, || {
                let inspection = &detail.installed.active.inspection;
                println!(
                    "plugin {} {} is installed ({})",
                    inspection.name, inspection.version, inspection.digest
                );
            });
            Ok(())
        }
        Err(mut e) => {
            if e.code == Code::Denied && !missing.is_empty() {
                if !output.json {
                    show_asks(&inspection.asks);
                }
                e.command = Some(granting(arguments, component, &inspection.asks));
            }
            Err(e)
        }
    }
}

/// The command that installs a file with all it asks for.
fn granting(arguments: &Arguments, component: &Component, asks: &Asks) -> String {
    let mut words = vec!["cairn".to_owned()];
    match &arguments.server {
        Some(server) => words.extend(["--server".to_owned(), quoted(server)]),
        None => words.extend([
            "--data".to_owned(),
            quoted(&arguments.data.display().to_string()),
        ]),
    }
    words.extend(["plugin".to_owned(), "install".to_owned()]);
    words.push(quoted(&component.file.display().to_string()));
    for id in asks.ids() {
        words.extend(["--grant".to_owned(), quoted(&id)]);
    }
    words.join(" ")
}

async fn upgrade(
    component: &Component,
    grants: &[String],
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    let (inspection, content, minisig) = inspect(component).await?;
    let path = format!("plugins/{}", inspection.name);
    let before: PluginDetail = read(&client.get(&path).await?)?;
    let old = &before.installed.active;
    let more = inspection.asks.beyond(&old.granted);
    let less = old.granted.beyond(&inspection.asks);
    let mut grants = grants.to_vec();
    let asks_person =
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !output.json;
    if !output.json {
        println!(
            "{} {} -> {}",
            inspection.name, old.inspection.version, inspection.version
        );
        more.iter().for_each(|ask| println!("  + {ask}"));
        less.iter().for_each(|ask| println!("  - {ask}"));
        if more.is_empty() && less.is_empty() {
            println!("  it asks for nothing else");
        }
    }
    if !more.is_empty() && grants.is_empty() && asks_person {
        if !agreed("Grant what is new and upgrade?")? {
            return Err(Error::new(
                Code::Denied,
                "nothing was granted and nothing was changed",
            ));
        }
        grants = inspection.asks.ids();
    }
    let path = format!("{path}/upgrade");
    let upgraded = client.upload(&path, content, minisig.as_deref(), &grants);
    let document = upgraded.await?;
    output.show(&document, || {
        println!(
            "upgraded; `cairn plugin rollback {}` goes back",
            inspection.name
        )
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

async fn list(client: &Client, output: &Output) -> Result<(), Error> {
    let document = client.get("plugins").await?;
    let plugins: Vec<PluginSummary> = read(&document)?;
    output.show(&document, || {
        let rows = plugins.into_iter().map(|p| {
            let digest = p.digest.chars().take(19).collect();
            vec![
                p.name,
                p.version,
                format!("{:?}", p.kind).to_lowercase(),
                p.state,
                digest,
                p.used_by.join(", "),
            ]
        });
        table(
            &["name", "version", "kind", "state", "digest", "used by"],
            rows.collect(),
            "no plugin is installed; `cairn plugin install FILE` installs one",
        );
    });
    Ok(())
}

async fn act(name: &PluginName, what: &str, client: &Client, output: &Output) -> Result<(), Error> {
    let document = client
        .post(&format!("plugins/{name}/{what}"), &json!({}))
        .await?;
    show(&document, output)
}

fn show(document: &serde_json::Value, output: &Output) -> Result<(), Error> {
    let detail: PluginDetail = read(document)?;
    output.show(document, || {
        show_inspection(&detail.installed.active.inspection);
        let granted = detail.installed.active.granted.ids();
        let calls: u64 = detail.statistics.functions.values().map(|f| f.calls).sum();
        let previous = detail
            .installed
            .previous
            .as_ref()
            .map(|p| p.inspection.version.clone());
        facts(&[
            (
                "granted",
                if granted.is_empty() {
                    "nothing".to_owned()
                } else {
                    granted.join(", ")
                },
            ),
            (
                "state",
                detail
                    .failure
                    .clone()
                    .unwrap_or(detail.statistics.state.clone()),
            ),
            ("used by", detail.used_by.join(", ")),
            (
                "rollback to",
                previous.unwrap_or_else(|| "nothing".to_owned()),
            ),
            (
                "calls",
                format!("{calls}, {} of them broke down", detail.statistics.traps),
            ),
            (
                "memory",
                format!(
                    "at most {}",
                    bytes(detail.statistics.memory_high_water_bytes)
                ),
            ),
        ]);
        let rows = detail.statistics.functions.iter().map(|(name, f)| {
            let errors: Vec<String> = f
                .errors
                .iter()
                .map(|(code, n)| format!("{n} {code}"))
                .collect();
            vec![
                name.clone(),
                f.calls.to_string(),
                f.commands.to_string(),
                format!("{} µs", f.p50_us),
                format!("{} µs", f.p99_us),
                errors.join(", "),
            ]
        });
        table(
            &["function", "calls", "commands", "p50", "p99", "errors"],
            rows.collect(),
            "not called yet",
        );
    });
    Ok(())
}

fn show_inspection(inspection: &Inspection) {
    let signature = match &inspection.signature {
        Signature::None => "none that was checked".to_owned(),
        Signature::Trusted { key, signer } => format!("good, by {signer} (key {key})"),
    };
    facts(&[
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
        ("imports", inspection.imports.join(", ")),
        ("exports", inspection.exports.join(", ")),
    ]);
    show_asks(&inspection.asks);
}

fn show_asks(asks: &Asks) {
    if asks.ids().is_empty() {
        println!("It asks for nothing.");
        return;
    }
    println!("It asks for:");
    for ask in &asks.commands {
        let optional = if ask.optional { " (optional)" } else { "" };
        println!("  command:{}{optional}: {}", ask.command, ask.why);
        ask.arguments
            .iter()
            .for_each(|form| println!("      {} {form}", ask.command));
    }
    for ask in &asks.files {
        let how = match ask.access {
            FileAccess::Read => "reading",
            FileAccess::ReadWrite => "reading and writing",
        };
        println!("  files:{}, for {how}: {}", ask.directory, ask.why);
    }
    for ask in &asks.http {
        println!(
            "  http:{} ({}): {}",
            ask.host,
            ask.methods.join(", "),
            ask.why
        );
    }
    for ask in &asks.secrets {
        println!("  secret:{}: {}", ask.name, ask.why);
    }
}

async fn trust(command: &TrustCommand, client: &Client, output: &Output) -> Result<(), Error> {
    match command {
        TrustCommand::Add { name, key } => {
            let public_key = fs::read_to_string(key).unwrap_or_else(|_| key.clone());
            let document = client
                .put(&format!("trust/{name}"), &json!({"public_key": public_key}))
                .await?;
            let signer: TrustedSigner = read(&document)?;
            output.show(&document, || {
                println!(
                    "signatures of {} (key {}) are taken from now on",
                    signer.name, signer.id
                )
            });
        }
        TrustCommand::List => {
            let document = client.get("trust").await?;
            let signers: Vec<TrustedSigner> = read(&document)?;
            output.show(&document, || {
                let rows = signers.into_iter().map(|s| vec![s.name, s.id]).collect();
                table(
                    &["name", "key"],
                    rows,
                    "no signer is trusted; `cairn plugin trust add NAME KEY` adds one",
                );
            });
        }
        TrustCommand::Remove { name } => {
            client.delete(&format!("trust/{name}")).await?;
            output.show(&json!({"removed": name}), || {
                println!("signatures of {name} are taken no more")
            });
        }
    }
    Ok(())
}
