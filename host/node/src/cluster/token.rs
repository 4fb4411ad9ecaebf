//! Tokens that let in a node.

use cairn_core::{Code, Error};
use cairn_net::limits::TOKEN_LIFE_S;
use cairn_net::{JoinToken, Role, StoredToken};
use cairn_store::{Change, Expect};

use super::records::{PrintedToken, Settings, token_path};
use super::{Cluster, SETTINGS, unusable};

/// Secrets need random numbers.
use cairn_net::secret::Secret;

impl Cluster {
    /// Names a cluster of one, which then takes others in.
    pub(crate) async fn create(&self, name: &str) -> Result<Settings, Error> {
        check_name(name)?;
        let store = self.store();
        store.sync().await?;
        if let Some(there) = self.settings()? {
            if there.name == name {
                return Ok(there);
            }
            let message = format!(
                "this node is in cluster {} already; `cairn cluster leave` takes it out",
                there.name
            );
            return Err(Error::new(Code::AlreadyExists, message));
        }
        let settings = Settings {
            name: name.to_owned(),
            epoch: 0,
        };
        let me = self.part().identity().node();
        let node = super::records::NodeRecord {
            id: me.0,
            joined_s: self.clock.now_s(),
        };
        let changes = [
            Change::put(SETTINGS, to_value(&settings)?).expecting(Expect::Absent),
            Change::put(format!("nodes/{}", self.name), to_value(&node)?),
        ];
        store.transact(&changes).await?;
        Ok(settings)
    }

    pub(super) fn settings(&self) -> Result<Option<Settings>, Error> {
        self.store()
            .get(SETTINGS)?
            .map(|r| crate::plugins::parse(&r.value))
            .transpose()
    }

    pub(super) fn named(&self) -> Result<Settings, Error> {
        self.settings()?.ok_or_else(|| {
            let message = "this cluster has no name yet, and takes nobody in; name it with `cairn cluster create NAME`";
            Error::new(Code::Blocked, message).with_command("cairn cluster create NAME")
        })
    }

    /// A token that lets in one node within the hour.
    pub(crate) async fn token(&self) -> Result<PrintedToken, Error> {
        self.named()?;
        let part = self.part();
        let identity = part.identity();
        let expires_s = self.clock.now_s() + TOKEN_LIFE_S;
        let mut addresses = self.addresses();
        for member in part
            .store
            .membership()
            .members
            .into_values()
            .filter(|m| !m.witness)
        {
            addresses.extend(
                member
                    .addresses
                    .into_iter()
                    .filter(|a| !a.ip().is_unspecified()),
            );
        }
        let mut seen = std::collections::BTreeSet::new();
        addresses.retain(|a| seen.insert(*a));
        addresses.truncate(cairn_net::limits::MAX_TOKEN_ADDRESSES);
        let token = JoinToken {
            cluster: identity.cluster(),
            fingerprint: identity
                .secrets()
                .authority()
                .map_err(unusable)?
                .fingerprint(),
            addresses,
            secret: Secret::random().map_err(unusable)?,
            role: Role::Node,
            expires_s,
        };
        let printed = token
            .print()
            .map_err(|e| Error::internal(format!("no token can be made: {e}")))?;
        let verifier = token.verifier().map_err(unusable)?;
        let path = token_path(&verifier);
        let stored = StoredToken {
            verifier,
            role: Role::Node,
            expires_s,
            used_by: None,
        };
        part.store
            .transact(&[Change::put(path, to_value(&stored)?).expecting(Expect::Absent)])
            .await?;
        Ok(PrintedToken {
            token: printed.to_string(),
            expires_s,
        })
    }
}

pub(super) fn to_value<T: serde::Serialize>(value: &T) -> Result<serde_json::Value, Error> {
    serde_json::to_value(value).map_err(|e| Error::internal(e.to_string()))
}

fn check_name(name: &str) -> Result<(), Error> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if first && name.len() <= 32 && name.chars().all(plain) {
        return Ok(());
    }
    let rule = "1 to 32 letters, digits and dashes, beginning with a letter or digit";
    Err(Error::invalid("name", format!("it must be {rule}")))
}
