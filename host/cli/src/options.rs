//! Options of a storage type, made from its plugin's schema: `--pool tank` becomes a field of the
//! configuration. A secret is never an argument (other users could see it): `--password-file FILE`
//! reads it.

use std::fs;

use cairn_core::Error;
use cairn_core::schema::{Field, FieldKind, Schema};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};

/// Options of every command that may stand among a type's own.
const GLOBAL: [&str; 4] = ["--data", "--server", "--token", "--ca"];

/// Moves the global options of `storage add` and `storage set` to the front: what follows these
/// commands is the plugin's, and is read when its schema is known.
pub(crate) fn hoisted(mut line: Vec<String>) -> Vec<String> {
    let at = line
        .windows(2)
        .position(|w| matches!(w, [a, b] if a == "storage" && (b == "add" || b == "set")));
    let Some(at) = at else { return line };
    let mut rest = line.split_off(at + 2).into_iter();
    let (mut own, mut global) = (Vec::new(), Vec::new());
    while let Some(word) = rest.next() {
        let name = word.split('=').next().unwrap_or_default();
        if word == "--json" {
            global.push(word);
        } else if GLOBAL.contains(&name) {
            let inline = word.contains('=');
            global.push(word);
            if !inline {
                global.extend(rest.next());
            }
        } else {
            own.push(word);
        }
    }
    let command = line.split_off(at);
    line.into_iter()
        .chain(global)
        .chain(command)
        .chain(own)
        .collect()
}

/// Reads the options of a type. `--help` prints them and ends the process, wrong usage with 2.
pub(crate) fn read(
    usage: &str,
    about: &str,
    schema: &Schema,
    line: &[String],
    change: bool,
) -> Result<(Map<String, Value>, bool), Error> {
    let mut command = Command::new(usage.to_owned())
        .no_binary_name(true)
        .about(about.to_owned())
        .bin_name(usage.to_owned());
    for field in schema.fields() {
        command = command.arg(argument(field, change));
    }
    if change {
        let unset = Arg::new("unset")
            .long("unset")
            .value_name("OPTION")
            .action(ArgAction::Append);
        command = command.arg(unset.help("Take an option away: its default holds again"));
    } else {
        let force = Arg::new("force").long("force").action(ArgAction::SetTrue);
        command = command.arg(force.help("Add it though its backend is away"));
    }
    let matches = command.get_matches_from(line);
    let mut config = Map::new();
    for field in schema.fields() {
        if let Some(value) = value(field, &matches)? {
            config.insert(field.name.clone(), value);
        }
    }
    if change {
        for name in matches.get_many::<String>("unset").into_iter().flatten() {
            config.insert(name.clone(), Value::Null);
        }
    }
    let force = !change && matches.get_flag("force");
    Ok((config, force))
}

fn long(field: &Field) -> String {
    if field.secret {
        format!("{}-file", field.name)
    } else {
        field.name.clone()
    }
}

fn argument(field: &Field, change: bool) -> Arg {
    let mut help = field.title.clone();
    if !field.description.is_empty() {
        help = format!("{help}: {}", field.description);
    }
    if let Some(default) = &field.default {
        let shown = default
            .as_str()
            .map_or_else(|| default.to_string(), str::to_owned);
        help = format!("{help} [default: {shown}]");
    }
    if !field.choices.is_empty() {
        help = format!("{help} [{}]", field.choices.join(", "));
    }
    if field.fixed {
        help = format!("{help} [can't be changed later]");
    }
    let name = match field.kind {
        _ if field.secret => "FILE",
        FieldKind::String | FieldKind::Array => "TEXT",
        FieldKind::Integer | FieldKind::Number => "NUMBER",
        FieldKind::Boolean => "true|false",
    };
    let action = if field.kind == FieldKind::Array {
        ArgAction::Append
    } else {
        ArgAction::Set
    };
    Arg::new(field.name.clone())
        .long(long(field))
        .value_name(name)
        .action(action)
        .required(field.required && field.default.is_none() && !change)
        .help(help)
}

fn value(field: &Field, matches: &ArgMatches) -> Result<Option<Value>, Error> {
    let Some(texts) = matches.get_many::<String>(&field.name) else {
        return Ok(None);
    };
    let texts: Vec<&String> = texts.collect();
    let Some(text) = texts.last() else {
        return Ok(None);
    };
    let wrong = || {
        Error::invalid(
            &field.name,
            format!("it must be {}", field.kind.described()),
        )
    };
    let value = match field.kind {
        FieldKind::String if field.secret => {
            let secret = fs::read_to_string(text)
                .map_err(|e| Error::invalid(long(field), format!("{text} can't be read: {e}")))?;
            Value::String(secret.trim_end_matches(['\n', '\r']).to_owned())
        }
        FieldKind::String => Value::String((*text).clone()),
        FieldKind::Integer => text.parse::<i64>().map_err(|_| wrong())?.into(),
        FieldKind::Number => text.parse::<f64>().map_err(|_| wrong())?.into(),
        FieldKind::Boolean => text.parse::<bool>().map_err(|_| wrong())?.into(),
        FieldKind::Array => texts.into_iter().cloned().collect::<Vec<_>>().into(),
    };
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn global_options_may_stand_among_a_types_own() {
        let line = "cairn storage add zfs tank --json --pool p --data /x --thin false";
        let hoisted = hoisted(words(line));
        assert_eq!(
            hoisted,
            words("cairn --json --data /x storage add zfs tank --pool p --thin false")
        );
        assert_eq!(
            super::hoisted(words("cairn storage list --json")),
            words("cairn storage list --json")
        );
    }

    #[test]
    fn options_become_a_configuration() {
        let schema = Schema::parse(
            r#"{"type":"object","required":["pool"],"properties":{
                "pool":{"type":"string"},"copies":{"type":"integer"},"thin":{"type":"boolean","default":true}}}"#,
        );
        let Ok(schema) = schema else {
            unreachable!("the schema is sound")
        };
        let line = words("--pool tank --copies 2 --thin false --force");
        let read = read("cairn storage add", "", &schema, &line, false);
        let expected = serde_json::json!({"pool": "tank", "copies": 2, "thin": false});
        assert_eq!(
            read.map(|(config, force)| (Value::Object(config), force)),
            Ok((expected, true))
        );
    }
}
