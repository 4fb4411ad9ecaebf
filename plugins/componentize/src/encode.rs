//! From module and world to a validated component.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::{Error, surface, world};

/// Makes a component of `core_module` that exports and imports exactly the interfaces the module
/// does. `contracts` are all packages those may come from, see [`crate::load_contracts`].
///
/// The module may carry descriptions of other worlds: they are dropped.
pub fn componentize(core_module: &[u8], contracts: &Resolve) -> Result<Vec<u8>, Error> {
    let surface = surface::read(core_module)?;
    let mut resolve = contracts.clone();
    let world = world::synthesize(&mut resolve, &surface)?;
    let mut module = surface::without_component_types(core_module)?;
    let refused = |error: anyhow::Error| Error::Encode(format!("{error:#}"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .map_err(refused)?;
    let mut encoder = ComponentEncoder::default();
    encoder.module(&module).map_err(refused)?.validate(true);
    encoder.encode().map_err(refused)
}
