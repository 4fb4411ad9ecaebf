//! The small interfaces: context, secrets, scratch, log, notices, clock and random.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::TryRngCore;

use crate::bindings::cairn::host::{clock, context, log, notices, random, scratch, secrets};
use crate::limits::{
    NOTICES_MAX, RANDOM_MAX_BYTES, SCRATCH_KEY_MAX_BYTES, SCRATCH_MAX_BYTES, SCRATCH_MAX_KEYS,
    SCRATCH_VALUE_MAX_BYTES, TEXT_MAX_BYTES,
};
use crate::state::CallState;
use crate::text::clipped;

impl context::Host for CallState {
    async fn get(&mut self) -> wasmtime::Result<context::CallContext> {
        Ok(context::CallContext {
            instance: self.binding.instance.name.clone(),
            node: self.binding.here.node.clone(),
            config: self.binding.instance.config.to_string(),
            deadline_ms: u32::try_from(self.remaining().as_millis()).unwrap_or(u32::MAX),
        })
    }
}

impl secrets::Host for CallState {
    async fn get(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<String, secrets::SecretError>> {
        if !self.binding.grants.secrets.contains(&name) {
            return Ok(Err(secrets::SecretError::Denied(format!(
                "the secret `{}` is not granted; grant `secret:{0}`",
                clipped(&name, 80)
            ))));
        }
        let secret = self.binding.instance.secrets.get(&name).cloned();
        Ok(secret.ok_or(secrets::SecretError::NotSet))
    }
}

impl scratch::Host for CallState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.binding.scratch().get(&key).cloned())
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), scratch::ScratchError>> {
        if key.len() > SCRATCH_KEY_MAX_BYTES || value.len() > SCRATCH_VALUE_MAX_BYTES {
            return Ok(Err(scratch::ScratchError::TooLarge));
        }
        let mut all = self.binding.scratch();
        let others: usize = all
            .iter()
            .filter(|(k, _)| **k != key)
            .map(|(_, v)| v.len())
            .sum();
        let more_keys = usize::from(!all.contains_key(&key));
        if others + value.len() > SCRATCH_MAX_BYTES || all.len() + more_keys > SCRATCH_MAX_KEYS {
            return Ok(Err(scratch::ScratchError::Full));
        }
        all.insert(key, value);
        Ok(Ok(()))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        self.binding.scratch().remove(&key);
        Ok(())
    }
}

impl log::Host for CallState {
    async fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.log.write(level, &message);
        Ok(())
    }
}

impl notices::Host for CallState {
    async fn raise(
        &mut self,
        severity: notices::Severity,
        subject: String,
        message: String,
    ) -> wasmtime::Result<()> {
        self.notices = self.notices.saturating_add(1);
        if self.notices > NOTICES_MAX {
            return Ok(());
        }
        let subject = self.binding.shown(&subject, 256);
        let message = self.binding.shown(&message, TEXT_MAX_BYTES);
        let (plugin, instance) = (&self.binding.plugin, &self.binding.instance.name);
        match severity {
            notices::Severity::Cleared => {
                tracing::info!(target: "notice", %plugin, %instance, %subject, "cleared: {message}");
            }
            notices::Severity::Warning => {
                tracing::warn!(target: "notice", %plugin, %instance, %subject, "{message}");
            }
            notices::Severity::Critical => {
                tracing::error!(target: "notice", %plugin, %instance, %subject, "{message}");
            }
        }
        Ok(())
    }
}

impl clock::Host for CallState {
    async fn wall_ms(&mut self) -> wasmtime::Result<u64> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }

    async fn monotonic_ms(&mut self) -> wasmtime::Result<u64> {
        static START: OnceLock<Instant> = OnceLock::new();
        let since = START.get_or_init(Instant::now).elapsed();
        Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl random::Host for CallState {
    async fn bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        if length > RANDOM_MAX_BYTES {
            wasmtime::bail!("asked for {length} random bytes; at most {RANDOM_MAX_BYTES} a call");
        }
        let mut bytes = vec![0; length as usize];
        rand::rngs::OsRng.try_fill_bytes(&mut bytes)?;
        Ok(bytes)
    }
}

impl crate::bindings::cairn::plugin::types::Host for CallState {}
impl crate::bindings::cairn::storage::types::Host for CallState {}
impl crate::bindings::cairn::storage::streams::Host for CallState {}
impl crate::bindings::cairn::policy::types::Host for CallState {}
