//! Which interfaces a component exports, looked up once; and the table of all the host knows.

use cairn_core::{Code, Error};
use wasmtime::component::InstancePre;

use crate::bindings::exports::cairn;
use crate::state::CallState;

macro_rules! exports {
    ($($field:ident: $package:ident = $name:literal,)+) => {
        /// Where in a component each known interface is; `None` for what it doesn't export.
        #[derive(Clone, Default)]
        pub(crate) struct Exports {
            $(pub(crate) $field: Option<cairn::$package::$field::GuestIndices>,)+
        }

        impl Exports {
            /// Every interface the host knows how to call.
            pub(crate) const KNOWN: &[&str] = &[$($name),+];

            /// Looks up what is there, and checks the shape of each.
            pub(crate) fn find(
                pre: &InstancePre<CallState>,
                exported: &[String],
            ) -> Result<Self, Error> {
                let mut found = Self::default();
                $(
                    if exported.iter().any(|e| e.split('@').next() == $name.split('@').next()) {
                        let indices = cairn::$package::$field::GuestIndices::new(pre)
                            .map_err(|e| misshapen($name, &e))?;
                        found.$field = Some(indices);
                    }
                )+
                Ok(found)
            }
        }
    };
}

exports! {
    identity: plugin = "cairn:plugin/identity@1.0.0",
    configuration: plugin = "cairn:plugin/configuration@1.0.0",
    health: plugin = "cairn:plugin/health@1.0.0",
    backend: storage = "cairn:storage/backend@1.0.0",
    volumes: storage = "cairn:storage/volumes@1.0.0",
    resize: storage = "cairn:storage/resize@1.0.0",
    shrinking: storage = "cairn:storage/shrinking@1.0.0",
    trim: storage = "cairn:storage/trim@1.0.0",
    quota: storage = "cairn:storage/quota@1.0.0",
    encryption: storage = "cairn:storage/encryption@1.0.0",
    snapshots: storage = "cairn:storage/snapshots@1.0.0",
    holds: storage = "cairn:storage/holds@1.0.0",
    clones: storage = "cairn:storage/clones@1.0.0",
    templates: storage = "cairn:storage/templates@1.0.0",
    flattening: storage = "cairn:storage/flattening@1.0.0",
    origins: storage = "cairn:storage/origins@1.0.0",
    transfer: storage = "cairn:storage/transfer@1.0.0",
    byte_streams: storage = "cairn:storage/byte-streams@1.0.0",
    changed_blocks: storage = "cairn:storage/changed-blocks@1.0.0",
    scrub: storage = "cairn:storage/scrub@1.0.0",
    device: fencing = "cairn:fencing/device@1.0.0",
    placement: policy = "cairn:policy/placement@1.0.0",
    admission: policy = "cairn:policy/admission@1.0.0",
    approval: policy = "cairn:policy/approval@1.0.0",
}

fn misshapen(name: &str, error: &wasmtime::Error) -> Error {
    let rule = format!(
        "its export `{name}` doesn't have the shape of the contract ({error:#}); rebuild the plugin \
         against the wit/ folder of this version of Cairn"
    );
    let mut refusal = Error::new(
        Code::Invalid,
        format!("this component can't be a plugin: {rule}"),
    );
    refusal.field = Some("component".to_owned());
    refusal.rule = Some(rule);
    refusal
}
