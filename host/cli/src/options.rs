//! Options of a storage type, made from its plugin's schema: `--pool tank` becomes a field of the
//! configuration. A secret is never an argument (other users could see it): `--password-file FILE`
//! reads it, and `--password-file -` reads standard input.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Read;

use cairn_core::schema::{Field, FieldKind, Schema, TextFormat};
use cairn_core::{Code, Error};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};

use crate::output::{Output, clean};

/// Global options that may stand among a type's own.
const ANYWHERE: [&str; 2] = ["--data", "--json"];
/// Global options that must stand before TYPE or NAME: after it, `--server` is the plugin's.
const BEFORE: [&str; 3] = ["--server", "--token", "--ca"];
/// Options that are the same for every type. A field of such a name has `option-` before it.
const RESERVED: [&str; 5] = ["data", "json", "help", "force", "unset"];
/// Largest file a secret is read from.
const SECRET_MAX_BYTES: u64 = 64 << 10;

/// Moves the global options of `storage add` and `storage set` to the front: what follows these
/// commands is the plugin's, and is read when its schema is known.
pub(crate) fn hoisted(line: Vec<OsString>) -> Vec<OsString> {
    let Some(at) = options_of_a_type(&line) else {
        return line;
    };
    let mut line = line;
    let mut rest = line.split_off(at).into_iter();
    let (mut own, mut global) = (Vec::new(), Vec::new());
    while let Some(word) = rest.next() {
        let text = word.to_string_lossy().into_owned();
        let name = text.split('=').next().unwrap_or_default();
        if ANYWHERE.contains(&name) || (own.is_empty() && BEFORE.contains(&name)) {
            global.push(word);
            if takes_value(&text) {
                global.extend(rest.next());
            }
        } else {
            own.push(word);
        }
    }
    let program = 1.min(line.len());
    line.splice(program..program, global);
    line.extend(own);
    line
}

/// Where the words after `storage add` or `storage set` begin.
fn options_of_a_type(line: &[OsString]) -> Option<usize> {
    let mut commands = Vec::new();
    let mut words = line.iter().enumerate().skip(1);
    while let Some((at, word)) = words.next() {
        let text = word.to_string_lossy();
        if text.starts_with('-') {
            if takes_value(&text) {
                words.next();
            }
            continue;
        }
        commands.push(text);
        match commands.as_slice() {
            [a] if a == "storage" => {}
            [_, b] if b == "add" || b == "set" => return Some(at + 1),
            _ => return None,
        }
    }
    None
}

/// Is the word after this one its value?
fn takes_value(word: &str) -> bool {
    word == "--data" || BEFORE.contains(&word)
}

/// Reads the options of a type. `--help` prints them and ends the process, wrong usage with 2.
pub(crate) fn read(
    usage: &str,
    about: &str,
    schema: &Schema,
    line: &[String],
    change: bool,
    output: &Output,
) -> Result<(Map<String, Value>, bool), Error> {
    let command = command(usage, about, schema, change)?;
    let matches = command
        .try_get_matches_from(line)
        .unwrap_or_else(|error| output.misused(&error));
    let mut config = Map::new();
    for field in schema.fields() {
        if let Some(value) = value(field, &matches)? {
            config.insert(field.name.clone(), value);
        }
    }
    if change {
        for name in matches.get_many::<String>("unset").into_iter().flatten() {
            let named = |f: &&Field| f.name == *name || long(f) == *name;
            let field = schema.fields().iter().find(named);
            let key = field.map_or(name, |f| &f.name);
            config.insert(key.clone(), Value::Null);
        }
    }
    let force = !change && matches.get_flag("force");
    Ok((config, force))
}

fn command(usage: &str, about: &str, schema: &Schema, change: bool) -> Result<Command, Error> {
    let mut command = Command::new(usage.to_owned())
        .no_binary_name(true)
        .about(clean(about).into_owned())
        .bin_name(usage.to_owned())
        .after_help(
            "--data and --json may stand anywhere; --server, --token and --ca before `storage`.",
        );
    let mut taken = BTreeSet::new();
    for field in schema.fields() {
        let long = long(field);
        if !taken.insert(long.clone()) {
            let message = format!("the plugin's schema makes --{} twice", clean(&long));
            return Err(Error::new(Code::PluginFailed, message));
        }
        command = command.arg(argument(field, long, change));
    }
    let own = if change {
        Arg::new("unset")
            .long("unset")
            .value_name("OPTION")
            .action(ArgAction::Append)
            .help("Take an option away: its default holds again")
    } else {
        Arg::new("force")
            .long("force")
            .action(ArgAction::SetTrue)
            .help("Add it though its backend is away")
    };
    Ok(command.arg(own))
}

fn long(field: &Field) -> String {
    if field.secret {
        format!("{}-file", field.name)
    } else if RESERVED.contains(&field.name.as_str()) {
        format!("option-{}", field.name)
    } else {
        field.name.clone()
    }
}

fn argument(field: &Field, long: String, change: bool) -> Arg {
    let argument = Arg::new(format!("field-{}", field.name))
        .long(long)
        .value_name(value_name(field))
        .required(field.required && field.default.is_none() && !change)
        // What can't be changed isn't offered; who gives it is told why by the daemon.
        .hide(field.fixed && change)
        .help(help(field, change));
    match field.kind {
        FieldKind::Array => argument.action(ArgAction::Append),
        FieldKind::Boolean => argument
            .num_args(0..=1)
            .default_missing_value("true")
            .value_parser(PossibleValuesParser::new(["true", "false"]))
            .hide_possible_values(true),
        FieldKind::String if !field.choices.is_empty() && !field.secret => {
            argument.value_parser(PossibleValuesParser::new(
                field
                    .choices
                    .iter()
                    .map(|choice| clean(choice).into_owned()),
            ))
        }
        _ => argument,
    }
}

fn help(field: &Field, change: bool) -> String {
    let mut help = field.title.clone();
    if !field.description.is_empty() {
        help = format!("{help}: {}", field.description);
    }
    if field.secret {
        help = format!("{help} [read from this file; - is standard input]");
    }
    if let Some(default) = &field.default {
        let text = default.as_str().map(str::to_owned);
        help = format!("{help} [default: {}]", text.unwrap_or(default.to_string()));
    }
    if field.kind == FieldKind::Array {
        help = format!("{help} [may be repeated]");
    }
    if field.fixed && !change {
        help = format!("{help} [can't be changed later]");
    }
    clean(&help).into_owned()
}

fn value_name(field: &Field) -> &'static str {
    match (field.kind, field.format) {
        _ if field.secret => "FILE",
        (FieldKind::Integer | FieldKind::Number, _) => "NUMBER",
        (FieldKind::Boolean, _) => "true|false",
        (_, Some(TextFormat::Path)) => "PATH",
        (_, Some(TextFormat::Host)) => "HOST",
        (_, Some(TextFormat::Size)) => "SIZE",
        (_, Some(TextFormat::Duration)) => "TIME",
        (FieldKind::String | FieldKind::Array, None) => "TEXT",
    }
}

fn value(field: &Field, matches: &ArgMatches) -> Result<Option<Value>, Error> {
    let Some(texts) = matches.get_many::<String>(&format!("field-{}", field.name)) else {
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
        FieldKind::String if field.secret => Value::String(secret(field, text)?),
        FieldKind::String => Value::String((*text).clone()),
        FieldKind::Integer => text.parse::<i64>().map_err(|_| wrong())?.into(),
        FieldKind::Number => text.parse::<f64>().map_err(|_| wrong())?.into(),
        FieldKind::Boolean => text.parse::<bool>().map_err(|_| wrong())?.into(),
        FieldKind::Array => texts.into_iter().cloned().collect::<Vec<_>>().into(),
    };
    Ok(Some(value))
}

/// A secret from a file, without the line's end that editors put there.
fn secret(field: &Field, file: &str) -> Result<String, Error> {
    let mut secret = String::new();
    let read = match file {
        "-" => std::io::stdin()
            .take(SECRET_MAX_BYTES)
            .read_to_string(&mut secret),
        path => {
            fs::File::open(path).and_then(|f| f.take(SECRET_MAX_BYTES).read_to_string(&mut secret))
        }
    };
    read.map_err(|e| Error::invalid(long(field), format!("{file} can't be read: {e}")))?;
    let line = secret.strip_suffix('\n').unwrap_or(&secret);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEOPLE: Output = Output { json: false };

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn hoist(line: &str) -> String {
        let words = super::hoisted(line.split(' ').map(OsString::from).collect());
        words.join(" ".as_ref()).into_string().unwrap()
    }

    fn schema(properties: &str) -> Schema {
        Schema::parse(&format!(
            r#"{{"type":"object","properties":{{{properties}}}}}"#
        ))
        .unwrap()
    }

    fn read(properties: &str, line: &str, change: bool) -> (Value, bool) {
        let schema = schema(properties);
        let read = super::read("cairn", "", &schema, &words(line), change, &PEOPLE);
        read.map(|(config, force)| (Value::Object(config), force))
            .unwrap()
    }

    #[test]
    fn global_options_may_stand_among_a_types_own() {
        assert_eq!(
            hoist("cairn storage add zfs tank --json --pool p --data /x --thin false"),
            "cairn --json --data /x storage add zfs tank --pool p --thin false"
        );
        assert_eq!(
            hoist("cairn storage set tank --data=/x --json --thin"),
            "cairn --data=/x --json storage set tank --thin"
        );
        for whole in [
            "cairn storage list --json",
            "cairn plugin show storage --data add",
            "cairn",
        ] {
            assert_eq!(hoist(whole), whole);
        }
    }

    #[test]
    fn a_server_after_the_type_is_the_plugins() {
        assert_eq!(
            hoist(
                "cairn --data d storage --json add --server https://h:1 nfs vms --server 10.0.0.1"
            ),
            "cairn --server https://h:1 --data d storage --json add nfs vms --server 10.0.0.1"
        );
    }

    #[test]
    fn options_become_a_configuration() {
        let properties = r#""pool":{"type":"string"},"copies":{"type":"integer"},
            "thin":{"type":"boolean","default":true},"hosts":{"type":"array","items":{"type":"string"}}"#;
        let (config, force) = read(
            properties,
            "--pool tank --copies 2 --thin false --hosts a --hosts b --force",
            false,
        );
        let expected =
            serde_json::json!({"pool": "tank", "copies": 2, "thin": false, "hosts": ["a", "b"]});
        assert_eq!((config, force), (expected, true));
        let (config, _) = read(properties, "--thin --pool tank", false);
        assert_eq!(config, serde_json::json!({"pool": "tank", "thin": true}));
    }

    #[test]
    fn names_of_other_options_have_a_prefix() {
        let properties =
            r#""data":{"type":"string"},"force":{"type":"boolean"},"server":{"type":"string"}"#;
        let (config, force) = read(
            properties,
            "--option-data a --option-force true --server s",
            false,
        );
        let expected = serde_json::json!({"data": "a", "force": true, "server": "s"});
        assert_eq!((config, force), (expected, false));
        let (config, _) = read(properties, "--unset option-data --unset server", true);
        assert_eq!(config, serde_json::json!({"data": null, "server": null}));
    }

    #[test]
    fn two_options_of_one_name_are_refused() {
        let schema =
            schema(r#""key":{"type":"string","x-cairn-secret":true},"key-file":{"type":"string"}"#);
        let error = super::read("cairn", "", &schema, &[], false, &PEOPLE).unwrap_err();
        assert_eq!(error.code, Code::PluginFailed);
        assert!(error.message.contains("--key-file"), "{error}");
    }

    #[test]
    fn a_secret_is_read_from_a_file_without_its_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hunter2 \r\n").unwrap();
        let properties = r#""key":{"type":"string","x-cairn-secret":true}"#;
        let line = format!("--key-file {}", file.path().display());
        let (config, _) = read(properties, &line, false);
        assert_eq!(config, serde_json::json!({"key": "hunter2 "}));
    }
}
