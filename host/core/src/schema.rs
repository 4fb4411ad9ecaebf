//! schema (signatures)
use crate::Error;
use serde_json::Value;
use std::collections::BTreeMap;
/// A schema.
#[derive(Debug, Clone)]
pub struct Schema {
    document: Value,
}
impl Schema {
    /// Parses.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self {
            document: serde_json::from_str(text)
                .map_err(|e| Error::invalid("schema", e.to_string()))?,
        })
    }
    /// The document.
    pub fn document(&self) -> &Value {
        &self.document
    }
    /// Validates.
    pub fn validate(&self, config: &Value) -> Result<Value, Vec<Error>> {
        Ok(config.clone())
    }
    /// Splits.
    pub fn split_secrets(&self, config: &Value) -> (Value, BTreeMap<String, String>) {
        (config.clone(), BTreeMap::new())
    }
    /// Fixed fields.
    pub fn check_change(&self, _old: &Value, _new: &Value) -> Result<(), Error> {
        Ok(())
    }
}
