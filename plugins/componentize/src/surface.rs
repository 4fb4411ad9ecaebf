//! What a core module shows to the outside: which functions of which interfaces it exports and
//! imports, by the names that the component model's "legacy" mangling gives them.

use std::collections::{BTreeMap, BTreeSet};

use wasmparser::{BinaryReader, ExternalKind, Parser, Payload};

use crate::Error;

/// Length of the magic number and version at the start of a module.
const HEADER_BYTES: usize = 8;
/// The section id of custom sections.
const CUSTOM_SECTION: u8 = 0;
/// Prefixes of exports that belong to a function rather than being it.
const COMPANIONS: [&str; 2] = ["cabi_post_", "[callback]"];
/// Prefixes of a function's own name when it is lifted or lowered asynchronously.
const ASYNC: [&str; 3] = ["[async-lift]", "[async-lift-stackful]", "[async-lower]"];

/// Interfaces by name, each with its functions' names.
pub(crate) type Functions = BTreeMap<String, BTreeSet<String>>;

/// The exports and imports of a module that have to do with interfaces.
#[derive(Debug, Default)]
pub(crate) struct Surface {
    pub(crate) exports: Functions,
    pub(crate) imports: Functions,
}

/// Reads the surface of `module`.
pub(crate) fn read(module: &[u8]) -> Result<Surface, Error> {
    if Parser::is_component(module) {
        return Err(Error::AlreadyAComponent);
    }
    let broken = |error: wasmparser::Error| Error::NotAModule(error.to_string());
    let mut surface = Surface::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(broken)? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(broken)?;
                    surface.add_import(import.module, import.name)?;
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(broken)?;
                    if export.kind == ExternalKind::Func {
                        surface.add_export(export.name);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(surface)
}

impl Surface {
    /// Exports without `#` are the module's own affair: `memory`, `cabi_realloc`, `_initialize`.
    fn add_export(&mut self, name: &str) {
        let Some((interface, function)) = name.split_once('#') else {
            return;
        };
        if COMPANIONS
            .iter()
            .any(|prefix| interface.starts_with(prefix))
        {
            return;
        }
        let interface = without_prefix(interface);
        self.exports
            .entry(interface.to_owned())
            .or_default()
            .insert(function.to_owned());
    }

    /// `[export]…` modules hold what an *exported* interface's resources need; `$root` holds the
    /// component model's own functions.
    fn add_import(&mut self, module: &str, name: &str) -> Result<(), Error> {
        if module.starts_with("[export]") || module == "$root" {
            return Ok(());
        }
        if !module.contains(':') {
            return Err(Error::ForeignImport {
                module: module.to_owned(),
                name: name.to_owned(),
                advice: advice(module),
            });
        }
        let name = without_prefix(name).to_owned();
        self.imports
            .entry(module.to_owned())
            .or_default()
            .insert(name);
        Ok(())
    }
}

fn without_prefix(name: &str) -> &str {
    ASYNC
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

/// Where an import from outside the component model usually comes from.
fn advice(module: &str) -> &'static str {
    match module {
        "wasi_snapshot_preview1" | "wasi_unstable" => {
            "it was built for wasm32-wasip1; build with `--target wasm32-unknown-unknown`"
        }
        "env" => "a C function or a missing symbol was linked in; remove the dependency on it",
        _ if module.starts_with("__wbindgen") || module == "wbg" => {
            "a dependency thinks it runs in a browser; turn off its `js` or `wasmbind` feature"
        }
        _ => "remove the dependency that asks for it, or use an interface of cairn:host",
    }
}

/// The module without the `component-type…` custom sections its bindings left in it.
pub(crate) fn without_component_types(module: &[u8]) -> Result<Vec<u8>, Error> {
    let broken = |error: wasmparser::Error| Error::NotAModule(error.to_string());
    let mut reader = BinaryReader::new(module, 0);
    let mut kept = reader.read_bytes(HEADER_BYTES).map_err(broken)?.to_vec();
    while !reader.eof() {
        let start = reader.current_position();
        let id = reader.read_u8().map_err(broken)?;
        let length = reader.read_var_u32().map_err(broken)?;
        let body = reader.read_bytes(length as usize).map_err(broken)?;
        if id == CUSTOM_SECTION {
            let name = BinaryReader::new(body, 0).read_string().map_err(broken)?;
            if name.starts_with("component-type") {
                continue;
            }
        }
        let section = module
            .get(start..reader.current_position())
            .unwrap_or_default();
        kept.extend_from_slice(section);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_behind_their_prefixes() {
        let module = wat::parse_str(
            r#"(module
                (import "cairn:host/log@1.0.0" "write" (func))
                (import "cairn:host/log@1.0.0" "[async-lower]flush" (func))
                (import "[export]cairn:a/b@1.0.0" "[resource-drop]thing" (func))
                (func (export "cairn:a/b@1.0.0#get"))
                (func (export "cabi_post_cairn:a/b@1.0.0#get"))
                (func (export "[async-lift]cairn:a/c@1.0.0#wait"))
                (func (export "[callback][async-lift]cairn:a/c@1.0.0#wait"))
                (func (export "cabi_realloc")))"#,
        )
        .unwrap();
        let surface = read(&module).unwrap();
        let expected = |interface: &str, functions: &[&str]| {
            let functions = functions.iter().map(ToString::to_string).collect();
            (interface.to_string(), functions)
        };
        assert_eq!(
            surface.exports,
            Functions::from([
                expected("cairn:a/b@1.0.0", &["get"]),
                expected("cairn:a/c@1.0.0", &["wait"])
            ])
        );
        assert_eq!(
            surface.imports,
            Functions::from([expected("cairn:host/log@1.0.0", &["flush", "write"])])
        );
    }

    #[test]
    fn only_component_type_sections_are_dropped() {
        let module = wat::parse_str(
            r#"(module
                (@custom "component-type:wit-bindgen:x" "old")
                (func (export "f"))
                (@custom "producers" "\00")
                (@custom "component-type" "older"))"#,
        )
        .unwrap();
        let kept = without_component_types(&module).unwrap();
        let names: Vec<String> = Parser::new(0)
            .parse_all(&kept)
            .filter_map(|payload| match payload.unwrap() {
                Payload::CustomSection(section) => Some(section.name().to_owned()),
                _ => None,
            })
            .collect();
        assert_eq!(names, ["producers"]);
        wasmparser::validate(&kept).unwrap();
    }

    #[test]
    fn a_cut_module_is_an_error() {
        let module = wat::parse_str(r#"(module (func (export "f")))"#).unwrap();
        for length in 0..module.len() {
            let cut = &module[..length];
            // A cut between two sections leaves a module that only lacks its later sections.
            match without_component_types(cut) {
                Ok(kept) => assert_eq!(kept, cut),
                Err(error) => assert!(matches!(error, Error::NotAModule(_))),
            }
        }
        assert!(without_component_types(&module[..module.len() - 1]).is_err());
        assert!(matches!(read(b"MZ.."), Err(Error::NotAModule(_))));
    }
}
