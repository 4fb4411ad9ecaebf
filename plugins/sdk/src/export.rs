//! The macro that makes a type the exports of a component.

/// Exports `$plugin`, which implements the traits of the named interfaces, as the plugin.
///
/// Interfaces: `identity`, `configuration`, `health`; `backend`, `volumes`, `resize`, `shrinking`,
/// `trim`, `quota`, `encryption`, `snapshots`, `holds`, `clones`, `templates`, `flattening`, `origins`,
/// `transfer`, `byte_streams`, `changed_blocks`, `scrub`; `device`; `placement`, `admission`, `approval`.
#[macro_export]
macro_rules! export {
    ($plugin:ident: $($interface:ident),+ $(,)?) => {
        // A native build, for unit tests, exports nothing, but the type counts as used.
        const _: Option<$plugin> = None;
        #[doc(hidden)]
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, missing_docs, unused_imports)]
        mod cairn_exports {
            use super::$plugin;
            $($crate::__export_interface!($plugin $interface);)+
        }
    };
}

/// One interface of [`export!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __export_interface {
    ($plugin:ident identity) => {
        $crate::__export_cairn_plugin_identity_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::plugin::identity
        );
    };
    ($plugin:ident configuration) => {
        $crate::__export_cairn_plugin_configuration_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::plugin::configuration
        );
    };
    ($plugin:ident health) => {
        $crate::__export_cairn_plugin_health_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::plugin::health
        );
    };
    ($plugin:ident backend) => {
        $crate::__export_cairn_storage_backend_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::backend
        );
    };
    ($plugin:ident volumes) => {
        $crate::__export_cairn_storage_volumes_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::volumes
        );
    };
    ($plugin:ident resize) => {
        $crate::__export_cairn_storage_resize_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::resize
        );
    };
    ($plugin:ident shrinking) => {
        $crate::__export_cairn_storage_shrinking_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::shrinking
        );
    };
    ($plugin:ident trim) => {
        $crate::__export_cairn_storage_trim_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::trim
        );
    };
    ($plugin:ident quota) => {
        $crate::__export_cairn_storage_quota_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::quota
        );
    };
    ($plugin:ident encryption) => {
        $crate::__export_cairn_storage_encryption_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::encryption
        );
    };
    ($plugin:ident snapshots) => {
        $crate::__export_cairn_storage_snapshots_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::snapshots
        );
    };
    ($plugin:ident holds) => {
        $crate::__export_cairn_storage_holds_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::holds
        );
    };
    ($plugin:ident clones) => {
        $crate::__export_cairn_storage_clones_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::clones
        );
    };
    ($plugin:ident templates) => {
        $crate::__export_cairn_storage_templates_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::templates
        );
    };
    ($plugin:ident flattening) => {
        $crate::__export_cairn_storage_flattening_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::flattening
        );
    };
    ($plugin:ident origins) => {
        $crate::__export_cairn_storage_origins_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::origins
        );
    };
    ($plugin:ident transfer) => {
        $crate::__export_cairn_storage_transfer_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::transfer
        );
    };
    ($plugin:ident byte_streams) => {
        $crate::__export_cairn_storage_byte_streams_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::byte_streams
        );
    };
    ($plugin:ident changed_blocks) => {
        $crate::__export_cairn_storage_changed_blocks_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::changed_blocks
        );
    };
    ($plugin:ident scrub) => {
        $crate::__export_cairn_storage_scrub_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::storage::scrub
        );
    };
    ($plugin:ident device) => {
        $crate::__export_cairn_fencing_device_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::fencing::device
        );
    };
    ($plugin:ident placement) => {
        $crate::__export_cairn_policy_placement_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::policy::placement
        );
    };
    ($plugin:ident admission) => {
        $crate::__export_cairn_policy_admission_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::policy::admission
        );
    };
    ($plugin:ident approval) => {
        $crate::__export_cairn_policy_approval_1_0_0_cabi!(
            $plugin with_types_in $crate::bindings::exports::cairn::policy::approval
        );
    };
    ($plugin:ident $other:ident) => {
        compile_error!(concat!(
            "there is no interface `", stringify!($other), "`; see cairn_sdk::export! for the list"
        ));
    };
}
