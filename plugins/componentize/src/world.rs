//! The world of one module: checked against the contracts, then added to them as a package.

use std::fmt::Write as _;

use wit_parser::{Function, InterfaceId, Resolve, WorldId};

use crate::Error;
use crate::surface::{Functions, Surface};

/// The package that the synthesized world is in. Its name doesn't show in the component.
const PACKAGE: &str = "cairn-componentize:synthesized";
const WORLD: &str = "plugin";

/// Checks that the module exports whole interfaces of the contracts and imports only what they
/// have, and adds a world of exactly those to `resolve`.
pub(crate) fn synthesize(resolve: &mut Resolve, surface: &Surface) -> Result<WorldId, Error> {
    if surface.exports.is_empty() {
        return Err(Error::NoInterfaces);
    }
    check_exports(resolve, &surface.exports)?;
    check_imports(resolve, &surface.imports)?;
    let text = text(surface);
    let package = resolve
        .push_str("synthesized.wit", &text)
        .map_err(|error| Error::Encode(resolve.render_error(&error)))?;
    resolve
        .select_world(&[package], Some(WORLD))
        .map_err(|error| Error::Encode(format!("{error:#}")))
}

fn text(surface: &Surface) -> String {
    let mut text = format!("package {PACKAGE};\nworld {WORLD} {{\n");
    for (keyword, functions) in [("import", &surface.imports), ("export", &surface.exports)] {
        for interface in functions.keys() {
            let _ = writeln!(text, "    {keyword} {interface};");
        }
    }
    text.push_str("}\n");
    text
}

fn check_exports(resolve: &Resolve, exports: &Functions) -> Result<(), Error> {
    for (interface, exported) in exports {
        let id = find(resolve, "exports", interface)?;
        let functions = functions(resolve, id);
        let missing: Vec<String> = functions
            .iter()
            .filter(|function| !exported.contains(&function.name))
            .map(|function| format!("`{}`", function.name))
            .collect();
        if !missing.is_empty() {
            return Err(Error::MissingFunctions {
                interface: interface.clone(),
                functions: missing.join(", "),
            });
        }
        check_known("exports", interface, exported, &functions)?;
    }
    Ok(())
}

fn check_imports(resolve: &Resolve, imports: &Functions) -> Result<(), Error> {
    for (interface, imported) in imports {
        let id = find(resolve, "imports", interface)?;
        check_known("imports", interface, imported, &functions(resolve, id))?;
    }
    Ok(())
}

/// Names in brackets (`[dtor]x`, `[resource-drop]x`, `[future-read-0]f`) that are no method are
/// the component model's own: wit-component checks those.
fn check_known<'a>(
    direction: &'static str,
    interface: &str,
    used: impl IntoIterator<Item = &'a String>,
    functions: &[&Function],
) -> Result<(), Error> {
    let unknown = used.into_iter().find(|name| {
        !name.starts_with('[') && !functions.iter().any(|function| function.name == **name)
    });
    match unknown {
        None => Ok(()),
        Some(name) => Err(Error::UnknownFunction {
            direction,
            interface: interface.to_owned(),
            function: name.clone(),
        }),
    }
}

fn functions(resolve: &Resolve, id: InterfaceId) -> Vec<&Function> {
    resolve
        .interfaces
        .get(id)
        .map(|i| i.functions.values().collect())
        .unwrap_or_default()
}

fn find(resolve: &Resolve, direction: &'static str, wanted: &str) -> Result<InterfaceId, Error> {
    let found = resolve
        .interfaces
        .iter()
        .find(|(id, _)| name(resolve, *id) == wanted);
    match found {
        Some((id, _)) => Ok(id),
        None => Err(Error::UnknownInterface {
            direction,
            interface: wanted.to_owned(),
            known: known(resolve, wanted),
        }),
    }
}

fn name(resolve: &Resolve, id: InterfaceId) -> String {
    resolve.id_of(id).unwrap_or_default()
}

/// What the contracts have under the same name in other versions, or in the same package.
fn known(resolve: &Resolve, wanted: &str) -> String {
    let (path, _version) = wanted.split_once('@').unwrap_or((wanted, ""));
    let package = path.split_once('/').map_or(path, |(package, _)| package);
    let names: Vec<String> = resolve
        .interfaces
        .iter()
        .map(|(id, _)| name(resolve, id))
        .collect();
    let quoted = |matching: &dyn Fn(&str) -> bool| -> Vec<String> {
        let mut found: Vec<String> = names
            .iter()
            .filter(|name| matching(name))
            .map(|name| format!("`{name}`"))
            .collect();
        found.sort();
        found
    };
    let versions = quoted(&|name| name.split_once('@').is_some_and(|(start, _)| start == path));
    if !versions.is_empty() {
        return format!(
            "the contracts have it as {}: build against the SDK that belongs to them",
            versions.join(", ")
        );
    }
    let siblings = quoted(&|name| name.starts_with(&format!("{package}/")));
    if siblings.is_empty() {
        format!(
            "the contracts have no package `{package}`: export and import only interfaces of \
             the contracts"
        )
    } else {
        format!(
            "the contracts' `{package}` has only {}: use one of these",
            siblings.join(", ")
        )
    }
}
