//! grant (signatures)
use crate::{Error, plugin::CommandAsk};
/// Compiled.
#[derive(Debug)]
pub struct CommandGrant;
impl CommandGrant {
    /// Compiles.
    pub fn compile(_ask: &CommandAsk, _config: &serde_json::Value) -> Result<Self, Error> {
        Ok(Self)
    }
    /// Allows?
    pub fn allows(&self, _arguments: &[String]) -> bool {
        false
    }
}
/// Checks.
pub fn check_forms(_ask: &CommandAsk) -> Result<(), Error> {
    Ok(())
}
