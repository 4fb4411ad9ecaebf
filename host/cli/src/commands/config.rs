//! `cairn config …`

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::Command;

use cairn_core::{Code, Error};
use cairn_node::ConfigRecord;
use serde::Deserialize;
use serde_json::{Value, json};

use super::read;
use crate::arguments::ConfigCommand;
use crate::client::Client;
use crate::output::{Output, clean, say, table};

/// How often an edit is tried anew when somebody else changed the record meanwhile.
const EDIT_TRIES: usize = 5;

#[derive(Deserialize)]
struct Records {
    records: Vec<ConfigRecord>,
    current: bool,
    age_ms: Option<u64>,
}

pub(super) async fn run(
    command: &ConfigCommand,
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    match command {
        ConfigCommand::Ls { path } => {
            let found = list(client, path).await?;
            output.show(&found.records, || {
                let rows = found
                    .records
                    .iter()
                    .map(|r| vec![r.path.clone(), r.revision.to_string()]);
                table(&["path", "revision"], rows.collect(), "no record");
            });
            Ok(())
        }
        ConfigCommand::Get { path, local } => get(path, *local, client, output).await,
        ConfigCommand::Set {
            path,
            value,
            revision,
        } => {
            let value = parse(&text_of(value)?);
            let document = put(client, path, &value, *revision).await?;
            let record: ConfigRecord = read(&document)?;
            output.show(&document, || {
                say(format!("{path} is set, revision {}", record.revision))
            });
            Ok(())
        }
        ConfigCommand::Rm { path, revision } => {
            client.delete(&at(path, *revision)).await?;
            output.show(&json!({"removed": path}), || {
                say(format!("{path} is removed"))
            });
            Ok(())
        }
        ConfigCommand::Edit { path } => edit(path, client, output).await,
        ConfigCommand::Watch { path, after } => watch(path, *after, client).await,
        ConfigCommand::Export { path } => {
            let found = list(client, path).await?;
            let all: serde_json::Map<String, Value> = found
                .records
                .into_iter()
                .map(|r| (r.path, r.value))
                .collect();
            say(serde_json::to_string_pretty(&all).unwrap_or_default());
            Ok(())
        }
        ConfigCommand::Import { file } => import(file, client, output).await,
    }
}

async fn list(client: &Client, below: &str) -> Result<Records, Error> {
    let found: Records = read(&client.get(&format!("config?below={below}")).await?)?;
    warn_age(&found);
    Ok(found)
}

fn warn_age(found: &Records) {
    if found.current {
        return;
    }
    let age = match found.age_ms {
        Some(ms) => format!("{:.1} s old", ms as f64 / 1_000.0),
        None => "of unknown age".to_owned(),
    };
    eprintln!("warning: without a quorum this node only knows its own copy, which may be {age}");
}

async fn get(path: &str, local: bool, client: &Client, output: &Output) -> Result<(), Error> {
    let document = client.get(&format!("config/{path}?local={local}")).await?;
    let found: Records = read(&document)?;
    if !local {
        warn_age(&found);
    }
    let record = found.records.into_iter().next();
    let record = record.ok_or_else(|| Error::not_found(format!("record `{path}`")))?;
    let document = json!({"path": record.path, "revision": record.revision, "value": record.value,
        "current": found.current, "age_ms": found.age_ms});
    output.show(&document, || {
        let text = serde_json::to_string_pretty(&record.value).unwrap_or_default();
        text.lines().for_each(|line| say(clean(line)));
    });
    Ok(())
}

async fn put(
    client: &Client,
    path: &str,
    value: &Value,
    revision: Option<u64>,
) -> Result<Value, Error> {
    client.put(&at(path, revision), value).await
}

fn at(path: &str, revision: Option<u64>) -> String {
    match revision {
        Some(revision) => format!("config/{path}?revision={revision}"),
        None => format!("config/{path}"),
    }
}

fn text_of(value: &str) -> Result<String, Error> {
    if value != "-" {
        return Ok(value.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().take(2 << 20).read_to_string(&mut text);
    read.map_err(|e| Error::invalid("value", format!("standard input can't be read: {e}")))?;
    Ok(text)
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Opens an editor; what breaks a rule is shown and edited again; a change by somebody else meanwhile is
/// shown, and the edit made anew on top of it.
async fn edit(path: &str, client: &Client, output: &Output) -> Result<(), Error> {
    let editor = std::env::var("VISUAL")
        .or_else(|_| std::env::var("EDITOR"))
        .unwrap_or_else(|_| "vi".to_owned());
    for _ in 0..EDIT_TRIES {
        let found: Result<Records, Error> = match client.get(&format!("config/{path}")).await {
            Ok(document) => read(&document),
            Err(e) => Err(e),
        };
        let record = match found {
            Ok(found) => found.records.into_iter().next(),
            Err(e) if e.code == Code::NotFound => None,
            Err(e) => return Err(e),
        };
        let revision = record.as_ref().map_or(0, |r| r.revision);
        let before = record.map_or(json!({}), |r| r.value);
        let mut text = serde_json::to_string_pretty(&before).unwrap_or_default();
        let edited = loop {
            let next = in_editor(&editor, &text)?;
            let value: Result<Value, Error> = serde_json::from_str(&next)
                .map_err(|e| Error::invalid("value", format!("it isn't JSON: {e}")));
            let done = match value {
                Ok(value) if value == before => {
                    output.show(&json!({"path": path, "changed": false}), || {
                        say("nothing was changed")
                    });
                    return Ok(());
                }
                Ok(value) => put(client, path, &value, Some(revision)).await,
                Err(e) => Err(e),
            };
            match done {
                Err(e) if e.code == Code::Invalid && std::io::stdin().is_terminal() => {
                    eprintln!(
                        "{}; edit it again (empty the file to give up)",
                        clean(&e.message)
                    );
                    if next.trim().is_empty() {
                        return Err(e);
                    }
                    text = next;
                }
                other => break other,
            }
        };
        match edited {
            Err(e) if e.code == Code::Revision => {
                eprintln!("somebody else changed {path} meanwhile: edit it anew");
            }
            Err(e) => return Err(e),
            Ok(document) => {
                output.show(&document, || say(format!("{path} is changed")));
                return Ok(());
            }
        }
    }
    Err(Error::new(
        Code::Revision,
        format!("{path} was changed by others again and again; try later"),
    ))
}

fn in_editor(editor: &str, text: &str) -> Result<String, Error> {
    let failed = |e: std::io::Error| Error::internal(format!("the editor {editor}: {e}"));
    let file = tempfile::Builder::new()
        .prefix("cairn-")
        .suffix(".json")
        .tempfile()
        .map_err(failed)?;
    std::fs::write(file.path(), text).map_err(failed)?;
    // $EDITOR may have arguments; the shell takes it apart as other programs do.
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file.path())
        .status()
        .map_err(failed)?;
    if !status.success() {
        return Err(Error::new(
            Code::Internal,
            format!("the editor {editor} ended with {status}; nothing is changed"),
        ));
    }
    std::fs::read_to_string(file.path()).map_err(failed)
}

async fn watch(path: &str, after: Option<u64>, client: &Client) -> Result<(), Error> {
    let after = after.map(|a| format!("&after={a}")).unwrap_or_default();
    let mut lines = client
        .lines(&format!("config-changes?below={path}{after}"))
        .await?;
    while let Some(line) = lines.next().await? {
        if !line.is_empty() {
            say(line);
        }
    }
    Ok(())
}

async fn import(file: &Path, client: &Client, output: &Output) -> Result<(), Error> {
    let text = if file == Path::new("-") {
        text_of("-")?
    } else {
        std::fs::read_to_string(file)
            .map_err(|e| Error::invalid("file", format!("{}: {e}", file.display())))?
    };
    let all: serde_json::Map<String, Value> = serde_json::from_str(&text).map_err(|e| {
        Error::invalid(
            "file",
            format!("it must be one JSON object of paths and values: {e}"),
        )
    })?;
    let document = client.post("config", &all).await?;
    output.show(&document, || {
        say(format!("{} records are set, in one change", all.len()))
    });
    Ok(())
}
