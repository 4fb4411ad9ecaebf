//! One field of a configuration: what a schema says of it, and whether a value keeps to that.

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::document::{ENTRIES_MAX, object_of, texts};
use super::format::TextFormat;
use crate::Error;

/// A pattern when it is compiled: `[a-z]{100000}` is short and large.
const PATTERN_MAX_BYTES: usize = 2 << 20;
/// A text in a configuration.
const TEXT_MAX_BYTES: usize = 64 << 10;
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
    /// Where it is shown; fields without a place of their own come last.
    pub(super) order: i64,
    pattern: Option<Regex>,
    length: (usize, usize),
    range: (Option<f64>, Option<f64>),
}

impl Field {
    pub(super) fn parse(name: &str, schema: &Value, required: bool) -> Result<Self, Error> {
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
        let kind = text("type")
            .and_then(|word| FieldKind::named(&word))
            .ok_or_else(|| {
                wrong("its `type` must be string, integer, number, boolean or array".to_owned())
            })?;
        let format = text("format")
            .map(|word| TextFormat::named(&word))
            .transpose()
            .map_err(wrong)?;
        let pattern = text("pattern")
            .map(|p| RegexBuilder::new(&p).size_limit(PATTERN_MAX_BYTES).build())
            .transpose()
            .map_err(|e| wrong(format!("its `pattern` is not valid: {e}")))?;
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
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
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
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            "array" => Self::Array,
            _ => return None,
        })
    }

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
