//! `cairn storage …`

use cairn_core::schema::Schema;
use cairn_core::storage::{HealthFact, Level, Partial, StorageState, StorageStatus};
use cairn_core::{Code, Error};
use cairn_node::records::{Storage, StorageReport, StorageType};
use serde_json::json;

use super::read;
use crate::arguments::StorageCommand;
use crate::client::{Client, segment};
use crate::options;
use crate::output::{Output, bytes, clean, facts, say, table};

pub(super) async fn run(
    command: &StorageCommand,
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    match command {
        StorageCommand::Types => types(client, output).await,
        StorageCommand::Add { rest } => add(rest, client, output).await,
        StorageCommand::List => list(client, output).await,
        StorageCommand::Show { name } => {
            let document = client.get(&format!("storage/{name}")).await?;
            let storage: Storage = read(&document)?;
            output.show(&document, || show(&storage));
            Ok(())
        }
        StorageCommand::Status { name } => {
            let document = client.get(&format!("storage/{name}/status")).await?;
            let report: StorageReport = read(&document)?;
            output.show(&document, || status(&report));
            Ok(())
        }
        StorageCommand::Set { rest } => set(rest, client, output).await,
        StorageCommand::Transfers { name } => transfers(name.as_str(), client, output).await,
        StorageCommand::Abandon { name, ticket } => {
            let path = format!("storage/{name}/transfers/{}", segment(ticket));
            client.delete(&path).await?;
            output.show(&json!({"abandoned": ticket}), || {
                say(format!("what transfer {} left is gone", clean(ticket)));
            });
            Ok(())
        }
        StorageCommand::Remove { name } => {
            client.delete(&format!("storage/{name}")).await?;
            output.show(&json!({"removed": name}), || {
                say(format!("storage {name} is forgotten; its data stays"))
            });
            Ok(())
        }
    }
}

async fn types(client: &Client, output: &Output) -> Result<(), Error> {
    let document = client.get("storage-types").await?;
    let types: Vec<StorageType> = read(&document)?;
    output.show(&document, || {
        let rows = types
            .into_iter()
            .map(|t| vec![t.type_name, t.plugin, t.version, t.summary])
            .collect();
        table(
            &["type", "plugin", "version", "what it is"],
            rows,
            "no storage plugin is installed; `cairn plugin install FILE` installs one",
        );
    });
    Ok(())
}

async fn transfers(name: &str, client: &Client, output: &Output) -> Result<(), Error> {
    let document = client.get(&format!("storage/{name}/transfers")).await?;
    let left: Vec<Partial> = read(&document)?;
    output.show(&document, || {
        let rows = left.into_iter().map(|t| {
            let resumable = t.resume_token.map_or("no", |_| "yes");
            let received = t.received_bytes.map(bytes).unwrap_or_default();
            vec![t.ticket, t.volume, received, resumable.to_owned()]
        });
        table(
            &["ticket", "volume", "received", "resumable"],
            rows.collect(),
            "no interrupted transfer left anything",
        );
    });
    Ok(())
}

fn unsaid(what: &str, usage: &str) -> Error {
    Error::new(
        Code::Invalid,
        format!("{what} is missing\n\nUsage: {usage}"),
    )
}

fn is_help(word: &String) -> bool {
    word == "--help" || word == "-h"
}

async fn add(rest: &[String], client: &Client, output: &Output) -> Result<(), Error> {
    let usage = "cairn storage add TYPE NAME [OPTIONS]; `cairn storage types` lists the types, and \
                 `cairn storage add TYPE NAME --help` shows the options of one";
    let Some(type_name) = rest.first().filter(|word| !word.starts_with('-')) else {
        if rest.first().is_some_and(is_help) {
            say(format!("Add a storage\n\nUsage: {usage}"));
            return Ok(());
        }
        return Err(unsaid("TYPE", usage));
    };
    let document = client
        .get(&format!("storage-types/{}", segment(type_name)))
        .await?;
    let found: StorageType = read(&document)?;
    let schema = Schema::parse(&found.schema.to_string())?;
    let name = rest.get(1).filter(|word| !word.starts_with('-'));
    let shown = name.map_or("NAME", String::as_str);
    let command = format!("cairn storage add {type_name} {shown}");
    let line = rest
        .get(if name.is_some() { 2 } else { 1 }..)
        .unwrap_or_default();
    if name.is_none() && !line.iter().any(is_help) {
        return Err(unsaid("NAME", usage));
    }
    let (config, force) = options::read(&command, &found.summary, &schema, line, false, output)?;
    let path = if force {
        "storage?force=true"
    } else {
        "storage"
    };
    let body = json!({"name": name, "type": type_name, "config": config});
    let document = client.post(path, &body).await?;
    let storage: Storage = read(&document)?;
    output.show(&document, || {
        say(format!("storage {} is added", storage.name));
        show(&storage);
    });
    Ok(())
}

async fn set(rest: &[String], client: &Client, output: &Output) -> Result<(), Error> {
    let usage =
        "cairn storage set NAME [OPTIONS]; `cairn storage set NAME --help` shows the options";
    let Some(name) = rest.first().filter(|word| !word.starts_with('-')) else {
        if rest.first().is_some_and(is_help) {
            say(format!("Change a storage's options\n\nUsage: {usage}"));
            return Ok(());
        }
        return Err(unsaid("NAME", usage));
    };
    let storage: Storage = read(&client.get(&format!("storage/{}", segment(name))).await?)?;
    let document = client
        .get(&format!("storage-types/{}", segment(&storage.plugin)))
        .await?;
    let found: StorageType = read(&document)?;
    let schema = Schema::parse(&found.schema.to_string())?;
    let line = rest.get(1..).unwrap_or_default();
    let (config, _) = options::read(
        &format!("cairn storage set {name}"),
        &found.summary,
        &schema,
        line,
        true,
        output,
    )?;
    if config.is_empty() {
        return Err(unsaid("an option to change", usage));
    }
    let document = client
        .patch(
            &format!("storage/{}", segment(name)),
            &json!({"config": config}),
        )
        .await?;
    let storage: Storage = read(&document)?;
    output.show(&document, || show(&storage));
    Ok(())
}

async fn list(client: &Client, output: &Output) -> Result<(), Error> {
    let document = client.get("storage").await?;
    let storages: Vec<Storage> = read(&document)?;
    output.show(&document, || {
        let rows = storages.into_iter().map(|s| {
            let (state, _) = state(&s.status);
            vec![
                s.name,
                s.type_name,
                state,
                bytes(s.status.total_bytes),
                bytes(s.status.used_bytes),
                bytes(s.status.available_bytes),
            ]
        });
        table(
            &["name", "type", "state", "total", "used", "available"],
            rows.collect(),
            "no storage is configured; `cairn storage add TYPE NAME` adds one",
        );
    });
    Ok(())
}

/// The state in a word, and its cause.
fn state(status: &StorageStatus) -> (String, Option<String>) {
    let (word, cause) = match &status.state {
        StorageState::Active => ("active", None),
        StorageState::ReadOnly(cause) => ("read-only", Some(cause.clone())),
        StorageState::Degraded(cause) => ("degraded", Some(cause.clone())),
        StorageState::Unavailable(cause) => ("unavailable", Some(cause.clone())),
    };
    (word.to_owned(), cause)
}

fn show(storage: &Storage) {
    let (word, cause) = state(&storage.status);
    let mut rows = vec![
        ("name", storage.name.clone()),
        (
            "type",
            format!("{} (plugin {})", storage.type_name, storage.plugin),
        ),
        (
            "state",
            cause.map_or(word.clone(), |cause| format!("{word}: {cause}")),
        ),
        (
            "space",
            format!(
                "{} of {} used, {} available",
                bytes(storage.status.used_bytes),
                bytes(storage.status.total_bytes),
                bytes(storage.status.available_bytes)
            ),
        ),
    ];
    if let Some(capabilities) = &storage.capabilities {
        rows.push(("backend", capabilities.dialect.clone()));
    }
    if let Some(identity) = &storage.identity {
        rows.push(("identity", identity.clone()));
    }
    for (key, value) in storage.config.as_object().into_iter().flatten() {
        let text = value.as_str().map_or(value.to_string(), str::to_owned);
        rows.push(("option", format!("{key} = {text}")));
    }
    for secret in &storage.secrets_set {
        rows.push(("secret", format!("{secret} is set")));
    }
    facts(&rows);
    for finding in &storage.findings {
        let word = if finding.level == Level::Ok {
            "note"
        } else {
            "warning"
        };
        say(format!("{word}: {}", clean(&finding.message)));
    }
}

fn status(report: &StorageReport) {
    let (word, cause) = state(&report.status);
    facts(&[
        (
            "state",
            cause.map_or(word.clone(), |cause| format!("{word}: {cause}")),
        ),
        ("total", bytes(report.status.total_bytes)),
        ("used", bytes(report.status.used_bytes)),
        ("available", bytes(report.status.available_bytes)),
        ("age", format!("{} ms", report.status.age_ms)),
    ]);
    let row = |f: &HealthFact| {
        vec![
            f.subject.clone(),
            format!("{:?}", f.level).to_lowercase(),
            f.message.clone(),
        ]
    };
    table(
        &["subject", "level", "what"],
        report.health.iter().map(row).collect(),
        "no health report",
    );
}
