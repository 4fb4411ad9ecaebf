//! `cairn plugin …`

use std::path::Path;

use cairn_core::Error;
use cairn_core::names::PluginName;
use cairn_node::records::{PluginDetail, PluginSummary, TrustedSigner};
use serde_json::json;

use super::component::{inspect, inspection_lines, install, text, upgrade};
use super::read;
use crate::arguments::{Arguments, PluginCommand, TrustCommand};
use crate::client::Client;
use crate::output::{Output, bytes, facts, listed, say, table};

pub(super) async fn run(
    arguments: &Arguments,
    command: &PluginCommand,
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    match command {
        PluginCommand::Inspect { file, signature } => {
            inspect(file, signature.as_ref(), client, output).await
        }
        PluginCommand::Install { component, grant } => {
            install(arguments, component, &grant.grants, client, output).await
        }
        PluginCommand::Upgrade { component, grant } => {
            upgrade(arguments, component, &grant.grants, client, output).await
        }
        PluginCommand::List => list(client, output).await,
        PluginCommand::Show { name } => {
            let document = client.get(&format!("plugins/{name}")).await?;
            show(&document, output)
        }
        PluginCommand::Grant { name, grants, .. } => {
            let path = format!("plugins/{name}/grants");
            let document = client.put(&path, &json!({"granted": grants})).await?;
            show(&document, output)
        }
        PluginCommand::Rollback { name } => act(name, "rollback", client, output).await,
        PluginCommand::Release { name } => act(name, "release", client, output).await,
        PluginCommand::Remove { name } => {
            client.delete(&format!("plugins/{name}")).await?;
            output.show(&json!({"removed": name}), || {
                say(format!("plugin {name} is removed"))
            });
            Ok(())
        }
        PluginCommand::Trust(command) => trust(command, client, output).await,
    }
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
        let active = &detail.installed.active;
        inspection_lines(&active.inspection).iter().for_each(say);
        facts(&state_facts(&detail));
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

fn state_facts(detail: &PluginDetail) -> Vec<(&'static str, String)> {
    let (installed, statistics) = (&detail.installed, &detail.statistics);
    let granted = installed.active.granted.ids();
    let refused = &detail.not_granted;
    let mut rows = listed("granted", &granted, "nothing");
    if !refused.is_empty() {
        rows.extend(listed("not granted", refused, ""));
    }
    let state = detail.failure.as_ref().unwrap_or(&statistics.state);
    rows.push(("state", state.clone()));
    if let Some(failure) = &statistics.last_failure {
        rows.push(("last failure", failure.clone()));
    }
    let calls: u64 = statistics.functions.values().map(|f| f.calls).sum();
    let memory = bytes(statistics.memory_high_water_bytes);
    rows.extend(listed("used by", &detail.used_by, "no storage"));
    let previous = installed.previous.as_ref();
    let previous = previous.map_or("nothing".to_owned(), |p| p.inspection.version.clone());
    rows.push(("rollback to", previous));
    rows.push((
        "calls",
        format!("{calls}, {} of them broke down", statistics.traps),
    ));
    rows.push(("memory", format!("at most {memory}")));
    rows
}

async fn trust(command: &TrustCommand, client: &Client, output: &Output) -> Result<(), Error> {
    match command {
        TrustCommand::Add { name, key } => {
            let public_key = text(Path::new(key)).unwrap_or_else(|_| key.clone());
            let document = client
                .put(&format!("trust/{name}"), &json!({"public_key": public_key}))
                .await?;
            let signer: TrustedSigner = read(&document)?;
            output.show(&document, || {
                say(format!(
                    "signatures of {} (key {}) are taken from now on",
                    signer.name, signer.id
                ))
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
                say(format!("signatures of {name} are taken no more"))
            });
        }
    }
    Ok(())
}
