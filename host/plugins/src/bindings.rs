//! What wasmtime makes of the contracts in `wit/`, as the host sees them.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

wasmtime::component::bindgen!({
    inline: r#"
        package cairn:runtime;
        world everything {
            include cairn:storage/everything@1.0.0;
            include cairn:fencing/everything@1.0.0;
            include cairn:policy/everything@1.0.0;
        }
    "#,
    path: [
        "../../wit/plugin/v1", "../../wit/host/v1", "../../wit/storage/v1",
        "../../wit/fencing/v1", "../../wit/policy/v1",
    ],
    world: "cairn:runtime/everything",
    imports: { default: async | trappable },
    exports: { default: async },
    additional_derives: [PartialEq],
});
