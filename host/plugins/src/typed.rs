//! What the typed calls of every contract share: the macro that makes one, and the refusal of what a
//! plugin doesn't export.

use cairn_core::{Code, Error};

use crate::call::Plugin;
use crate::state::Binding;

/// Calls `$interface.$function($argument…)` within `$limit`.
macro_rules! call {
    ($self:ident, $limit:expr, $interface:ident.$function:ident($($argument:expr),*)) => {{
        const NAME: &str = concat!(stringify!($interface), ".", stringify!($function));
        let Some(indices) = &$self.plugin.exports().$interface else {
            return Err($self.lacks(stringify!($interface)));
        };
        let mut started = $self.plugin.start(&$self.bound, NAME, $limit).await?;
        let left = started.left();
        let live = &mut started.live;
        let outcome = paste::paste! {
            $crate::failure::bounded(left, async {
                let guest = indices.load(&mut live.store, &live.instance)?;
                guest.[<call_ $function>](&mut live.store, $($argument),*).await
            })
            .await
        };
        started.end(outcome)
    }};
}

pub(crate) use call;

/// The refusal of a call whose interface the plugin doesn't export.
pub(crate) fn lacks(plugin: &Plugin, binding: &Binding, what: &str, interface: &str) -> Error {
    let interface = interface.replace('_', "-");
    let inspection = &plugin.version().inspection;
    Error::new(
        Code::Unsupported,
        format!(
            "{what} {} can't do this: plugin {} {} has no interface `{interface}`",
            binding.instance.name, inspection.name, inspection.version
        ),
    )
}
