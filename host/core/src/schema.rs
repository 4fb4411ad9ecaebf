//! Configuration schemas of plugins: the subset of JSON Schema that `config-schema` in `wit/plugin`
//! describes. CLI options, the API's validation and the dashboard's forms are all made from it.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use crate::Error;

/// A text in a configuration.
const TEXT_MAX_BYTES: usize = 64 << 10;
/// Properties of one schema, entries of one array.
const ENTRIES_MAX: usize = 256;

const OBJECT_KEYS: [&str; 8] = [
    "$schema",
    "type",
    "title",
    "description",
    "properties",
    "required",
    "additionalProperties",
    "examples",
];
const FIELD_KEYS: [&str; 17] = [
    "type",
    "title",
    "description",
    "default",
    "examples",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "format",
    "minimum",
    "maximum",
    "items",
    "maxItems",
    "x-cairn-secret",
    "x-cairn-fixed",
    "x-cairn-order",
];

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// Yes or no.
    Boolean,
    /// A list of texts.
    Array,
}

/// What a text means beyond being text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// An absolute path without `.` and `..`.
    Path,
    /// A host name or address.
    Host,
    /// A size like `10G`.
    Size,
    /// A time like `30s`.
    Duration,
}

/// One field of a configuration.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its key.
    pub name: String,
    /// For people; the key where the schema has none.
    pub title: String,
    /// Help.
    pub description: String,
    /// What it holds.
    pub kind: FieldKind,
    /// It must be given.
    pub required: bool,
    /// What it is when it isn't given.
    pub default: Option<Value>,
    /// The only values it may have; empty for any.
    pub choices: Vec<String>,
    /// It is a secret.
    pub secret: bool,
    /// It can't be changed after creation.
    pub fixed: bool,
    /// What the text means.
    pub format: Option<TextFormat>,
    pattern: Option<Regex>,
    length: (usize, usize),
    range: (Option<f64>, Option<f64>),
    order: i64,
}

/// A schema that was checked.
#[derive(Debug, Clone)]
pub struct Schema {
    document: Value,
    fields: Vec<Field>,
}

impl Schema {
    /// Reads a schema. Fields are ordered by `x-cairn-order`, then by name.
    ///
    /// # Errors
    /// `invalid`, naming the field and the keyword outside the subset.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let document: Value = serde_json::from_str(text)
            .map_err(|e| Error::invalid("config-schema", format!("it is not JSON: {e}")))?;
        let object = object_of(&document, "config-schema", &OBJECT_KEYS)?;
        if object.get("type").and_then(Value::as_str) != Some("object") {
            return Err(Error::invalid(
                "config-schema",
                "its `type` must be `object`",
            ));
        }
        let required = texts(object.get("required"));
        let none = Map::new();
        let properties = object
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&none);
        if properties.len() > ENTRIES_MAX {
            return Err(Error::invalid(
                "config-schema",
                format!("more than {ENTRIES_MAX} fields"),
            ));
        }
        let mut fields = Vec::new();
        for (name, schema) in properties {
            fields.push(Field::parse(name, schema, required.contains(name))?);
        }
        if let Some(unknown) = required.iter().find(|r| !properties.contains_key(*r)) {
            return Err(Error::invalid(
                "config-schema",
                format!("`{unknown}` is required but no property"),
            ));
        }
        fields.sort_by(|a, b| a.order.cmp(&b.order).then_with(|| a.name.cmp(&b.name)));
        Ok(Self { document, fields })
    }

    /// The schema as the plugin wrote it.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The fields in the order they are shown.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The configuration with defaults filled in.
    ///
    /// # Errors
    /// All problems, each naming its field and the rule. No error holds a value of a secret field.
    pub fn validate(&self, config: &Value) -> Result<Value, Vec<Error>> {
        let Some(given) = config.as_object() else {
            return Err(vec![Error::invalid(
                "config",
                "it must be an object of fields",
            )]);
        };
        let mut problems = Vec::new();
        let mut filled = Map::new();
        for name in given.keys() {
            if !self.fields.iter().any(|f| f.name == *name) {
                problems.push(self.unknown(name));
            }
        }
        for field in &self.fields {
            match given
                .get(&field.name)
                .filter(|v| !v.is_null())
                .or(field.default.as_ref())
            {
                Some(value) => {
                    if let Err(rule) = field.check(value) {
                        problems.push(Error::invalid(&field.name, rule));
                    }
                    filled.insert(field.name.clone(), value.clone());
                }
                None if field.required => problems.push(Error::invalid(
                    &field.name,
                    format!("it is required ({})", field.title),
                )),
                None => {}
            }
        }
        if problems.is_empty() {
            Ok(Value::Object(filled))
        } else {
            Err(problems)
        }
    }

    /// The configuration without its secret fields, and these.
    #[must_use]
    pub fn split_secrets(&self, config: &Value) -> (Value, BTreeMap<String, String>) {
        let mut public = config.clone();
        let mut secrets = BTreeMap::new();
        if let Some(object) = public.as_object_mut() {
            for field in self.fields.iter().filter(|f| f.secret) {
                if let Some(Value::String(secret)) = object.remove(&field.name) {
                    secrets.insert(field.name.clone(), secret);
                }
            }
        }
        (public, secrets)
    }

    /// May a configuration become another? Fixed fields must stay.
    ///
    /// # Errors
    /// `invalid`, naming the first field that can't change.
    pub fn check_change(&self, old: &Value, new: &Value) -> Result<(), Error> {
        let changed = self
            .fields
            .iter()
            .find(|f| f.fixed && old.get(&f.name) != new.get(&f.name));
        match changed {
            Some(field) => Err(Error::invalid(
                &field.name,
                "it can't be changed after creation; remove the storage (its data stays) and add it again",
            )),
            None => Ok(()),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<&str> = self.fields.iter().map(|f| f.name.as_str()).collect();
        let near = known.iter().find(|k| distance(k, name) <= 2);
        let hint = match near {
            Some(near) => format!("there is no such field; did you mean `{near}`?"),
            None => format!("there is no such field; there are: {}", known.join(", ")),
        };
        Error::invalid(name.chars().take(80).collect::<String>(), hint)
    }
}

impl Field {
    fn parse(name: &str, schema: &Value, required: bool) -> Result<Self, Error> {
        let object = object_of(schema, name, &FIELD_KEYS)?;
        let wrong = |rule: String| Error::invalid(format!("config-schema.{name}"), rule);
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let flag = |key: &str| object.get(key).and_then(Value::as_bool).unwrap_or(false);
        let count = |key: &str, or: usize| {
            object
                .get(key)
                .and_then(Value::as_u64)
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(or)
        };
        let kind = match text("type").as_deref() {
            Some("string") => FieldKind::String,
            Some("integer") => FieldKind::Integer,
            Some("number") => FieldKind::Number,
            Some("boolean") => FieldKind::Boolean,
            Some("array") => FieldKind::Array,
            _ => {
                return Err(wrong(
                    "its `type` must be string, integer, number, boolean or array".into(),
                ));
            }
        };
        let format = match text("format").as_deref() {
            None => None,
            Some("path") => Some(TextFormat::Path),
            Some("host") => Some(TextFormat::Host),
            Some("size") => Some(TextFormat::Size),
            Some("duration") => Some(TextFormat::Duration),
            Some(other) => {
                return Err(wrong(format!(
                    "`format: {other}` is none of path, host, size, duration"
                )));
            }
        };
        let pattern = match text("pattern") {
            None => None,
            Some(p) => Some(
                Regex::new(&p).map_err(|e| wrong(format!("its `pattern` is not valid: {e}")))?,
            ),
        };
        let secret = flag("x-cairn-secret");
        if secret && kind != FieldKind::String {
            return Err(wrong("a secret must be a string".into()));
        }
        let field = Self {
            name: name.to_owned(),
            title: text("title").unwrap_or_else(|| name.to_owned()),
            description: text("description").unwrap_or_default(),
            kind,
            required,
            default: object.get("default").cloned(),
            choices: texts(object.get("enum")),
            secret,
            fixed: flag("x-cairn-fixed"),
            format,
            pattern,
            length: (
                count("minLength", 0),
                count("maxLength", TEXT_MAX_BYTES).min(TEXT_MAX_BYTES),
            ),
            range: (
                object.get("minimum").and_then(Value::as_f64),
                object.get("maximum").and_then(Value::as_f64),
            ),
            order: object
                .get("x-cairn-order")
                .and_then(Value::as_i64)
                .unwrap_or(i64::MAX),
        };
        if let Some(default) = &field.default {
            field
                .check(default)
                .map_err(|rule| wrong(format!("its default: {rule}")))?;
        }
        Ok(field)
    }

    /// Does the value keep the field's rules? The error is the rule.
    fn check(&self, value: &Value) -> Result<(), String> {
        match (self.kind, value) {
            (FieldKind::String, Value::String(text)) => self.check_text(text),
            (FieldKind::Integer, Value::Number(n)) if n.is_i64() || n.is_u64() => {
                self.check_number(n)
            }
            (FieldKind::Number, Value::Number(n)) => self.check_number(n),
            (FieldKind::Boolean, Value::Bool(_)) => Ok(()),
            (FieldKind::Array, Value::Array(entries)) => {
                if entries.len() > ENTRIES_MAX {
                    return Err(format!("it may have at most {ENTRIES_MAX} entries"));
                }
                entries.iter().try_for_each(|entry| match entry {
                    Value::String(text) => self.check_text(text),
                    _ => Err("each entry must be text".to_owned()),
                })
            }
            (kind, _) => Err(format!("it must be {}", kind.described())),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        if !self.choices.is_empty() && !self.choices.iter().any(|c| c == text) {
            return Err(format!("it must be one of {}", self.choices.join(", ")));
        }
        let (least, most) = self.length;
        if text.len() < least {
            return Err(format!("it must have at least {least} characters"));
        }
        if text.len() > most {
            return Err(format!("it may have at most {most} characters"));
        }
        if text.contains('\0') {
            return Err("it may not hold a NUL".to_owned());
        }
        if let Some(pattern) = self.pattern.as_ref().filter(|p| !p.is_match(text)) {
            return Err(format!("{} must match `{pattern}`", self.title));
        }
        self.format.map_or(Ok(()), |format| format.check(text))
    }

    fn check_number(&self, number: &serde_json::Number) -> Result<(), String> {
        let value = number.as_f64().unwrap_or(f64::NAN);
        match self.range {
            (Some(least), _) if value < least => Err(format!("it must be at least {least}")),
            (_, Some(most)) if value > most => Err(format!("it may be at most {most}")),
            _ => Ok(()),
        }
    }
}

impl FieldKind {
    /// As in a sentence: `a whole number`.
    #[must_use]
    pub fn described(self) -> &'static str {
        match self {
            Self::String => "text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Array => "a list of texts",
        }
    }
}

impl TextFormat {
    fn check(self, text: &str) -> Result<(), String> {
        let (fits, rule) = match self {
            Self::Path => (
                text.starts_with('/')
                    && (text == "/"
                        || text
                            .split('/')
                            .skip(1)
                            .all(|part| !matches!(part, "" | "." | ".."))),
                "it must be an absolute path without `.`, `..`, `//` or a `/` at its end",
            ),
            Self::Host => (
                !text.is_empty()
                    && text.len() <= 253
                    && !text.starts_with('-')
                    && text
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || ".-:[]_".contains(c)),
                "it must be a host name or an address",
            ),
            Self::Size => (
                unit(
                    text,
                    &["", "K", "M", "G", "T", "P", "KiB", "MiB", "GiB", "TiB"],
                ),
                "it must be a size like 512M or 10G",
            ),
            Self::Duration => (
                unit(text, &["ms", "s", "m", "h", "d"]),
                "it must be a time like 30s or 5m",
            ),
        };
        if fits { Ok(()) } else { Err(rule.to_owned()) }
    }
}

fn unit(text: &str, units: &[&str]) -> bool {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    digits > 0 && digits <= 18 && text.get(digits..).is_some_and(|rest| units.contains(&rest))
}

fn object_of<'a>(
    value: &'a Value,
    name: &str,
    known: &[&str],
) -> Result<&'a Map<String, Value>, Error> {
    let object = value
        .as_object()
        .ok_or_else(|| Error::invalid(format!("config-schema.{name}"), "it must be an object"))?;
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Error::invalid(
            format!("config-schema.{name}"),
            format!(
                "the keyword `{key}` is outside the subset; known are {}",
                known.join(", ")
            ),
        )),
        None => Ok(object),
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let entries = value.and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// Edits from one word to another (Levenshtein), for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = i;
        let mut next = vec![i + 1];
        for (y, above) in b.chars().zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or(0);
            next.push((left + 1).min(above + 1).min(before + usize::from(x != y)));
            before = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
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
        let (public, secrets) =
            schema().split_secrets(&json!({"pool": "tank", "password": "12345678"}));
        assert_eq!(public, json!({"pool": "tank"}));
        assert_eq!(secrets["password"], "12345678");
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
            Schema::parse(
                r#"{"type":"object","properties":{"a":{"type":"integer","default":"x"}}}"#
            )
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
}
