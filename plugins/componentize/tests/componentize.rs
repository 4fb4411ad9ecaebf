//! Modules written as text, made components against a small set of contracts, and read back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;

use cairn_componentize::wit_parser::decoding::{DecodedWasm, decode};
use cairn_componentize::wit_parser::{Resolve, WorldItem, WorldKey};
use cairn_componentize::{Error, componentize, load_contracts};

/// `storage` sorts before `types`, which it depends on: the loader has to find the order.
fn contracts() -> Resolve {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "host/v1/host.wit",
        "package t:host@1.0.0;
         interface log { write: func(line: string); }
         interface clock { now: func() -> u64; }",
    );
    write(
        "storage/v1/volumes.wit",
        "package t:storage@1.0.0;
         interface volumes {
             use t:types/errors@1.0.0.{error};
             create: func(size: u64) -> result<_, error>;
             remove: func();
         }",
    );
    write(
        "storage/v1/resize.wit",
        "package t:storage@1.0.0;
         interface resize { grow: func(size: u64); }",
    );
    write(
        "types/v1/types.wit",
        "package t:types@1.0.0; interface errors { enum error { full } }",
    );
    load_contracts(folder.path()).unwrap()
}

const VOLUMES: &str = r#"
    (memory (export "memory") 1)
    (func (export "t:storage/volumes@1.0.0#create") (param i64) (result i32) i32.const 0)
    (func (export "t:storage/volumes@1.0.0#remove"))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)"#;

fn build(imports: &str, rest: &str) -> Result<Vec<u8>, Error> {
    let module = wat::parse_str(format!("(module {imports} {rest})")).unwrap();
    componentize(&module, &contracts())
}

fn names(component: &[u8]) -> (Vec<String>, Vec<String>) {
    let DecodedWasm::Component(resolve, world) = decode(component).unwrap() else {
        panic!("not a component");
    };
    let world = &resolve.worlds[world];
    let list = |items: &mut dyn Iterator<Item = (&WorldKey, &WorldItem)>| {
        items.map(|(key, _)| resolve.name_world_key(key)).collect()
    };
    (
        list(&mut world.imports.iter()),
        list(&mut world.exports.iter()),
    )
}

#[test]
fn exports_and_imports_what_the_module_does() {
    let import = r#"(import "t:host/log@1.0.0" "write" (func (param i32 i32)))"#;
    let component = build(import, VOLUMES).unwrap();
    let (imports, exports) = names(&component);
    // The types that `volumes` mentions come along; the clock and `resize` don't.
    assert_eq!(imports, ["t:host/log@1.0.0", "t:types/errors@1.0.0"]);
    assert_eq!(exports, ["t:storage/volumes@1.0.0"]);
}

#[test]
fn descriptions_of_a_larger_world_are_dropped() {
    let section = r#"(@custom "component-type:wit-bindgen:0.63.0:everything" "\00garbage")"#;
    let component = build(section, VOLUMES).unwrap();
    assert_eq!(names(&component).1, ["t:storage/volumes@1.0.0"]);
}

#[test]
fn output_is_the_same_each_time() {
    assert_eq!(build("", VOLUMES).unwrap(), build("", VOLUMES).unwrap());
}

#[test]
fn half_an_interface_is_named() {
    let error = build("", r#"(func (export "t:storage/volumes@1.0.0#remove"))"#)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("exports `t:storage/volumes@1.0.0` without `create`"),
        "{error}"
    );
}

#[test]
fn an_unknown_interface_is_named_with_what_there_is() {
    let future = r#"(func (export "t:storage/volumes@9.0.0#create"))"#;
    let error = build("", future).unwrap_err().to_string();
    assert!(
        error.contains("exports `t:storage/volumes@9.0.0`"),
        "{error}"
    );
    assert!(
        error.contains("have it as `t:storage/volumes@1.0.0`"),
        "{error}"
    );

    let import = r#"(import "t:host/rockets@1.0.0" "launch" (func))"#;
    let error = build(import, VOLUMES).unwrap_err().to_string();
    assert!(error.contains("imports `t:host/rockets@1.0.0`"), "{error}");
    assert!(
        error.contains("only `t:host/clock@1.0.0`, `t:host/log@1.0.0`"),
        "{error}"
    );

    let import = r#"(import "wasi:cli/environment@0.2.0" "get-environment" (func (param i32)))"#;
    let error = build(import, VOLUMES).unwrap_err().to_string();
    assert!(error.contains("no package `wasi:cli`"), "{error}");
}

#[test]
fn an_unknown_function_is_named() {
    let extra = r#"(func (export "t:storage/volumes@1.0.0#explode"))"#;
    let error = build("", &format!("{VOLUMES}{extra}"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("exports `explode` of `t:storage/volumes@1.0.0`"),
        "{error}"
    );

    let import = r#"(import "t:host/log@1.0.0" "shout" (func))"#;
    let error = build(import, VOLUMES).unwrap_err().to_string();
    assert!(
        error.contains("imports `shout` of `t:host/log@1.0.0`"),
        "{error}"
    );
}

#[test]
fn a_wrong_type_is_named() {
    let import = r#"(import "t:host/log@1.0.0" "write" (func (param i64)))"#;
    let error = build(import, VOLUMES).unwrap_err();
    assert!(matches!(error, Error::Encode(_)));
    assert!(error.to_string().contains("write"), "{error}");
}

#[test]
fn imports_from_outside_the_component_model_get_advice() {
    for (module, advice) in [
        ("wasi_snapshot_preview1", "wasm32-unknown-unknown"),
        ("__wbindgen_placeholder__", "browser"),
        ("env", "C function"),
    ] {
        let import = format!(r#"(import "{module}" "f" (func))"#);
        let error = build(&import, VOLUMES).unwrap_err().to_string();
        assert!(error.contains(module) && error.contains(advice), "{error}");
    }
}

#[test]
fn what_is_no_plugin_module_is_told_apart() {
    assert!(matches!(build("", ""), Err(Error::NoInterfaces)));
    let component = build("", VOLUMES).unwrap();
    assert!(matches!(
        componentize(&component, &contracts()),
        Err(Error::AlreadyAComponent)
    ));
    assert!(matches!(
        componentize(b"#!/bin/sh", &contracts()),
        Err(Error::NotAModule(_))
    ));
}

#[test]
fn contracts_that_do_not_hold_together_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let error = load_contracts(folder.path()).unwrap_err().to_string();
    assert!(error.contains("no folder with .wit files"), "{error}");

    fs::create_dir(folder.path().join("a")).unwrap();
    let text = "package t:a@1.0.0; interface i { use t:lost/types@1.0.0.{x}; }";
    fs::write(folder.path().join("a/a.wit"), text).unwrap();
    let error = load_contracts(folder.path()).unwrap_err().to_string();
    assert!(error.contains("t:lost"), "{error}");

    assert!(load_contracts(&folder.path().join("nowhere")).is_err());
}
