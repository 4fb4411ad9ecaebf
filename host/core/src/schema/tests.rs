//! What a schema takes and refuses.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

fn schema() -> Schema {
    let document = json!({
        "type": "object",
        "required": ["pool"],
        "additionalProperties": false,
        "properties": {
            "pool": {"type": "string", "title": "Pool", "pattern": "^[a-z]+$", "x-cairn-fixed": true, "x-cairn-order": 1},
            "path": {"type": "string", "format": "path"},
            "copies": {"type": "integer", "minimum": 1, "maximum": 3, "default": 1},
            "mode": {"type": "string", "enum": ["a", "b"]},
            "password": {"type": "string", "x-cairn-secret": true, "minLength": 8},
            "thin": {"type": "boolean", "default": true}
        }
    });
    Schema::parse(&document.to_string()).unwrap()
}

fn rules(config: Value) -> Vec<(String, String)> {
    let problems = schema().validate(&config).unwrap_err();
    problems
        .into_iter()
        .map(|e| (e.field.unwrap(), e.rule.unwrap()))
        .collect()
}

#[test]
fn defaults_are_filled_in() {
    let config = schema().validate(&json!({"pool": "tank"})).unwrap();
    assert_eq!(config, json!({"pool": "tank", "copies": 1, "thin": true}));
}

#[test]
fn all_problems_are_named_at_once() {
    let found =
        rules(json!({"copies": 9, "mode": "c", "path": "a/../b", "thin": "yes", "poll": "x"}));
    let fields: Vec<&str> = found.iter().map(|(f, _)| f.as_str()).collect();
    assert_eq!(fields, ["poll", "pool", "copies", "mode", "path", "thin"]);
    assert!(found[0].1.contains("did you mean `pool`"));
    assert!(found[3].1.contains("one of a, b"));
}

#[test]
fn no_secret_in_an_error() {
    let found = rules(json!({"pool": "tank", "password": "hunter2"}));
    assert!(!format!("{found:?}").contains("hunter2"));
    let (public, secrets) = schema().split_secrets(
        &json!({"pool": "tank", "password": "12345678"}),
        &BTreeMap::new(),
    );
    assert_eq!(public, json!({"pool": "tank"}));
    assert_eq!(secrets["password"], "12345678");
}

#[test]
fn what_was_a_secret_stays_one_under_a_newer_schema() {
    let until_now = BTreeMap::from([("pool".to_owned(), "tank".to_owned())]);
    let (public, secrets) = schema().split_secrets(&json!({"pool": "dozer"}), &until_now);
    assert_eq!(public, json!({}));
    assert_eq!(secrets["pool"], "dozer");
}

#[test]
fn a_pattern_that_grows_large_is_refused() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "string", "pattern": "[a-z]{100000}"}}});
    let error = Schema::parse(&schema.to_string()).unwrap_err();
    assert!(error.message.contains("size limit"), "{error}");
}

#[test]
fn fixed_fields_stay() {
    let s = schema();
    assert!(
        s.check_change(&json!({"pool": "a"}), &json!({"pool": "a", "copies": 2}))
            .is_ok()
    );
    let error = s
        .check_change(&json!({"pool": "a"}), &json!({"pool": "b"}))
        .unwrap_err();
    assert_eq!(error.field.as_deref(), Some("pool"));
}

#[test]
fn keywords_outside_the_subset_are_refused() {
    let error =
        Schema::parse(r#"{"type":"object","properties":{"a":{"type":"string","oneOf":[]}}}"#);
    assert!(error.unwrap_err().message.contains("oneOf"));
    assert!(
        Schema::parse(r#"{"type":"object","properties":{"a":{"type":"integer","default":"x"}}}"#)
            .is_err()
    );
    assert!(Schema::parse("[]").is_err());
}

#[test]
fn paths_are_absolute_and_plain() {
    for (path, fits) in [
        ("/srv/vms", true),
        ("/", true),
        ("srv", false),
        ("/a/", false),
        ("/a//b", false),
        ("/a/../b", false),
    ] {
        assert_eq!(TextFormat::Path.check(path).is_ok(), fits, "{path}");
    }
    assert!(TextFormat::Size.check("10G").is_ok() && TextFormat::Size.check("10X").is_err());
}

#[test]
fn names_of_properties_fit_the_command_line_and_forms() {
    let parse = |name: &str| {
        let document = json!({"type": "object", "properties": {name: {"type": "string"}}});
        Schema::parse(&document.to_string())
    };
    for good in ["a", "pool", "data-set_2", &"a".repeat(64)] {
        assert!(parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        " ",
        "a b",
        "Pool",
        "2a",
        "-a",
        "a.b",
        "a\n",
        "p\u{1b}[2J",
        "größe",
        &"a".repeat(65),
    ] {
        let error = parse(bad).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("config-schema"), "{bad:?}");
        assert!(error.message.contains("rename it"), "{}", error.message);
        assert!(!error.message.contains(['\n', '\u{1b}']), "{error:?}");
    }
}
