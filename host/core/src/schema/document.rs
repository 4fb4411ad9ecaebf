//! Reading the schema's document: objects of known keywords, names of properties.

use serde_json::{Map, Value};

use crate::Error;

/// Properties of one schema, entries of one array.
pub(super) const ENTRIES_MAX: usize = 256;
/// A property's name.
const NAME_MAX_BYTES: usize = 64;
/// How much of a bad name an error shows.
const SHOWN_MAX_CHARS: usize = 80;

pub(super) fn object_of<'a>(
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

/// The texts of a list; nothing where it is none.
pub(super) fn texts(value: Option<&Value>) -> Vec<String> {
    let entries = value.and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// A property's name becomes an option of the command line, a key of the API and the name of a
/// form's field, so all three must be able to write it.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if begins && name.bytes().all(rest) && name.len() <= NAME_MAX_BYTES {
        return Ok(());
    }
    let shown: String = name.chars().take(SHOWN_MAX_CHARS).collect();
    Err(Error::invalid(
        "config-schema",
        format!(
            "a property can't be named {shown:?}: a name begins with a lower-case letter, goes on with \
             lower-case letters, digits, `_` and `-`, and has at most {NAME_MAX_BYTES} of them; rename it in \
             what `config-schema` returns"
        ),
    ))
}
