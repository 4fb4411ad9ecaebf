//! The fencing contract as the host calls it. Each call runs on the fencing lane's own threads, and to
//! its end even where nobody waits for it any more: a power cut that was begun isn't taken back.

use std::future::Future;
use std::sync::Arc;

use cairn_core::Error;
use cairn_core::fencing::{Manner, Power, Target, Traits};

use crate::bindings::exports::cairn::fencing::device;
use crate::bound::Bound;
use crate::call::Plugin;
use crate::limits::STATUS_DEADLINE;
use crate::state::Instance;
use crate::typed::{self, call};

/// A fencing device: a plugin tied to a configuration.
#[derive(Clone)]
pub struct FencingCalls {
    plugin: Arc<Plugin>,
    bound: Arc<Bound>,
}

impl Plugin {
    /// The plugin as the fencing device that `instance` configures.
    #[must_use]
    pub fn fencing(self: &Arc<Self>, instance: Arc<Instance>) -> FencingCalls {
        FencingCalls {
            plugin: Arc::clone(self),
            bound: self.bind(instance),
        }
    }
}

#[allow(missing_docs, clippy::missing_errors_doc)] // each is documented in wit/fencing
impl FencingCalls {
    pub async fn traits(&self) -> Result<Traits, Error> {
        let this = self.clone();
        let report = self
            .apart(async move { call!(this, STATUS_DEADLINE, device.traits()) })
            .await?;
        Ok(Traits {
            confirms: report.confirms,
            shares_power: report.shares_power,
            soft_off: report.soft_off,
            reboot: report.reboot,
            effect_ms: report.effect_ms,
        })
    }

    pub async fn targets(&self) -> Result<Vec<Target>, Error> {
        let this = self.clone();
        let found = self
            .apart(async move { call!(this, STATUS_DEADLINE, device.targets()) })
            .await?;
        let target = |t: device::Target| Target {
            id: t.id,
            name: t.name,
            power: t.power.into(),
        };
        Ok(found.into_iter().map(target).collect())
    }

    pub async fn monitor(&self) -> Result<(), Error> {
        let this = self.clone();
        self.apart(async move { call!(this, STATUS_DEADLINE, device.monitor()) })
            .await
    }

    pub async fn status(&self, target: &str) -> Result<Power, Error> {
        let (this, target) = (self.clone(), target.to_owned());
        self.apart(async move { call!(this, STATUS_DEADLINE, device.status(&target)) })
            .await
            .map(Power::from)
    }

    pub async fn off(&self, target: &str, manner: Manner) -> Result<(), Error> {
        let (this, target) = (self.clone(), target.to_owned());
        let manner = match manner {
            Manner::Hard => device::Manner::Hard,
            Manner::Soft => device::Manner::Soft,
        };
        self.apart(async move { call!(this, STATUS_DEADLINE, device.off(&target, manner)) })
            .await
    }

    pub async fn on(&self, target: &str) -> Result<(), Error> {
        let (this, target) = (self.clone(), target.to_owned());
        self.apart(async move { call!(this, STATUS_DEADLINE, device.on(&target)) })
            .await
    }

    pub async fn reboot(&self, target: &str) -> Result<(), Error> {
        let (this, target) = (self.clone(), target.to_owned());
        self.apart(async move { call!(this, STATUS_DEADLINE, device.reboot(&target)) })
            .await
    }

    async fn apart<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        self.plugin.lane().apart(call).await
    }

    fn lacks(&self, interface: &str) -> Error {
        typed::lacks(&self.plugin, &self.bound, "fencing device", interface)
    }
}

impl From<device::Power> for Power {
    fn from(power: device::Power) -> Self {
        match power {
            device::Power::On => Self::On,
            device::Power::Off => Self::Off,
            device::Power::Changing => Self::Changing,
            device::Power::Unknown => Self::Unknown,
        }
    }
}
