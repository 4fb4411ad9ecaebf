//! Does a component fit the contracts? If not: which interface, which version the host has, and
//! what its author should do, in one sentence each.

use cairn_core::plugin::Kind;
use cairn_core::{Code, Error};
use wasmtime::component::{Component, InstancePre, types::ComponentItem};

use crate::engine::Lane;
use crate::exports::Exports;
use crate::state::CallState;

/// Interfaces the host lends, with the version it has.
const LENT: [&str; 10] = [
    "clock", "commands", "context", "files", "http", "log", "notices", "random", "scratch",
    "secrets",
];
const LENT_VERSION: &str = "1.0.0";
/// What a component is called from: with what its first bytes begin.
const WASM_MAGIC: &[u8] = b"\0asm";
const MODULE_LAYER: [u8; 4] = [1, 0, 0, 0];

/// What a component imports and exports, by name.
pub(crate) struct Shape {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

/// Refuses what is no component at all, before anything else looks at it.
pub(crate) fn is_component(bytes: &[u8]) -> Result<(), Error> {
    let refuse = |rule: &str| Err(Error::invalid("component", rule));
    if bytes.len() > crate::limits::COMPONENT_MAX_BYTES {
        return refuse("it is larger than 64 MiB, the most a plugin may be");
    }
    if bytes.get(..4) != Some(WASM_MAGIC) {
        return refuse(
            "this is no WebAssembly file (it doesn't begin with `\\0asm`); give the .wasm file of a plugin",
        );
    }
    if bytes.get(4..8) == Some(&MODULE_LAYER) {
        return refuse(
            "this is a core WebAssembly module, not a component; make it one with `wasm-tools \
             component new`, or build it with the plugin SDK",
        );
    }
    let mut validator =
        wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::default());
    validator.validate_all(bytes).map(drop).map_err(|e| {
        Error::invalid(
            "component",
            format!("the file is damaged or not valid WebAssembly: {e}"),
        )
    })
}

/// Names of the interfaces a component calls and offers. Interfaces that hold only types are left
/// out: nothing is called through them.
pub(crate) fn shape(lane: &Lane, component: &Component) -> Shape {
    let ty = component.component_type();
    let mut imports: Vec<String> = ty
        .imports(&lane.engine)
        .filter(|(_, item)| calls_something(lane, &item.ty))
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut exports: Vec<String> = ty
        .exports(&lane.engine)
        .filter(|(_, item)| calls_something(lane, &item.ty))
        .map(|(name, _)| name.to_owned())
        .collect();
    imports.sort();
    exports.sort();
    Shape { imports, exports }
}

fn calls_something(lane: &Lane, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(&lane.engine).any(|(_, e)| {
                matches!(
                    e.ty,
                    ComponentItem::ComponentFunc(_) | ComponentItem::Resource(_)
                )
            })
        }
        ComponentItem::Type(_) => false,
        _ => true,
    }
}

/// Checks every import against what is lent, and readies the component for instantiation.
pub(crate) fn link(
    lane: &Lane,
    component: &Component,
    shape: &Shape,
) -> Result<InstancePre<CallState>, Error> {
    for import in &shape.imports {
        known_import(import)?;
    }
    lane.linker.instantiate_pre(component).map_err(|e| {
        let detail = format!("{e:#}");
        let which = shape
            .imports
            .iter()
            .find(|name| detail.contains(name.as_str()));
        let name = which.map_or("one of its imports", String::as_str);
        refusal(format!(
            "its import `{name}` doesn't have the shape of this host's contract ({detail}); \
             rebuild the plugin against the wit/ folder of this version of Cairn"
        ))
    })
}

fn known_import(import: &str) -> Result<(), Error> {
    if import.starts_with("wasi:") {
        return known_wasi(import);
    }
    let (path, version) = import.split_once('@').unwrap_or((import, ""));
    let lent = path.strip_prefix("cairn:host/");
    match lent {
        Some(name) if LENT.contains(&name) => {
            if compatible(version) {
                Ok(())
            } else {
                Err(refusal(format!(
                    "it imports `{import}`, and this host has `{path}@{LENT_VERSION}`; build the \
                     plugin against version {LENT_VERSION}, or upgrade Cairn"
                )))
            }
        }
        Some(name) => Err(refusal(format!(
            "it imports `{import}`, but a host lends no interface `{name}`; it lends {}",
            LENT.join(", ")
        ))),
        None => Err(refusal(format!(
            "it imports `{import}`, which is none of this host's interfaces; a plugin may import \
             only `cairn:host/…@{LENT_VERSION}` ({}), and WASI 0.2, which is empty here",
            LENT.join(", ")
        ))),
    }
}

fn known_wasi(import: &str) -> Result<(), Error> {
    let linked = [
        "wasi:cli/",
        "wasi:clocks/",
        "wasi:filesystem/",
        "wasi:io/",
        "wasi:random/",
        "wasi:sockets/",
    ];
    if linked.iter().any(|p| import.starts_with(p)) && import.contains("@0.2.") {
        return Ok(());
    }
    Err(refusal(format!(
        "it imports `{import}`; of WASI only 0.2's cli, clocks, filesystem, io, random and sockets \
         are linked, and they are empty: use the `cairn:host` interfaces instead"
    )))
}

fn compatible(version: &str) -> bool {
    let mut parts = version.split('.');
    // Same major; minor no newer than ours.
    parts.next() == Some("1") && parts.next() == Some("0")
}

/// Checks the exports a plugin of this kind must have, and every known one for its shape.
pub(crate) fn exports(
    pre: &InstancePre<CallState>,
    shape: &Shape,
    kind: Option<Kind>,
) -> Result<Exports, Error> {
    for export in &shape.exports {
        known_export(export)?;
    }
    let needed: &[&str] = match kind {
        None => &["cairn:plugin/identity@1.0.0"],
        Some(Kind::Storage) => &["cairn:storage/backend@1.0.0", "cairn:storage/volumes@1.0.0"],
        Some(Kind::Fencing) => &["cairn:fencing/device@1.0.0"],
        Some(Kind::Policy) => &[],
    };
    for name in needed {
        if !shape.exports.iter().any(|e| same_interface(e, name)) {
            return Err(refusal(missing(name, kind, &shape.exports)));
        }
    }
    let has_policy = shape.exports.iter().any(|e| e.starts_with("cairn:policy/"));
    if kind == Some(Kind::Policy) && !has_policy {
        return Err(refusal(
            "it calls itself a policy but exports none of `cairn:policy/placement`, `admission` and \
             `approval`; export at least one"
                .to_owned(),
        ));
    }
    Exports::find(pre, &shape.exports)
}

fn missing(name: &str, kind: Option<Kind>, exports: &[String]) -> String {
    let has = if exports.is_empty() {
        "nothing".to_owned()
    } else {
        exports.join(", ")
    };
    match kind {
        Some(kind) => format!(
            "it calls itself a {} plugin but doesn't export `{name}`, which each of them must; it \
             exports {has}",
            format!("{kind:?}").to_lowercase()
        ),
        None => format!(
            "it doesn't export `{name}`, so it is no Cairn plugin (or one for another world); every \
             plugin must; it exports {has}"
        ),
    }
}

fn known_export(export: &str) -> Result<(), Error> {
    let (path, version) = export.split_once('@').unwrap_or((export, ""));
    let known = Exports::KNOWN
        .iter()
        .find(|k| k.split_once('@').is_some_and(|(p, _)| p == path));
    match known {
        Some(_) if compatible(version) => Ok(()),
        Some(known) => Err(refusal(format!(
            "it exports `{export}`, and this host knows `{known}`; build the plugin against version \
             {LENT_VERSION}, or upgrade Cairn"
        ))),
        // What the host doesn't know is never called, so a plugin may carry it.
        None => Ok(()),
    }
}

fn same_interface(a: &str, b: &str) -> bool {
    a.split('@').next() == b.split('@').next()
}

fn refusal(rule: String) -> Error {
    let mut error = Error::new(
        Code::Invalid,
        format!("this component can't be a plugin: {rule}"),
    );
    error.field = Some("component".to_owned());
    error.rule = Some(rule);
    error
}
