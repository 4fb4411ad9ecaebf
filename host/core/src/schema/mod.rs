//! Configuration schemas of plugins: the subset of JSON Schema that `config-schema` in `wit/plugin`
//! describes. CLI options, the API's validation and the dashboard's forms are all made from it.
//!
//! | module | what |
//! |---|---|
//! | `document` | the document's shape: known keywords, names of properties |
//! | `field` | one field: what the schema says of it, is a value good |
//! | `format` | texts that are paths, hosts, sizes or times |
//! | `near` | the nearest word, for "did you mean" |

mod document;
mod field;
mod format;
mod near;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use field::{Field, FieldKind};
pub use format::TextFormat;

use crate::Error;
use document::{ENTRIES_MAX, check_name, object_of, texts};
use near::distance;

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
            check_name(name)?;
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

    /// The configuration without its secret fields, and these. What was a secret until now stays one,
    /// whatever a newer schema says of its field.
    #[must_use]
    pub fn split_secrets(
        &self,
        config: &Value,
        until_now: &BTreeMap<String, String>,
    ) -> (Value, BTreeMap<String, String>) {
        let mut public = config.clone();
        let mut secrets = BTreeMap::new();
        if let Some(object) = public.as_object_mut() {
            let secret = |f: &&Field| f.secret || until_now.contains_key(&f.name);
            for field in self.fields.iter().filter(secret) {
                match object.remove(&field.name) {
                    Some(Value::String(secret)) => {
                        secrets.insert(field.name.clone(), secret);
                    }
                    // A secret's text can't have become a number unless someone gave that number.
                    Some(other) => {
                        object.insert(field.name.clone(), other);
                    }
                    None => {}
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
