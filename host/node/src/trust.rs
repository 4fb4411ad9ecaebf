//! The trust list: whose signatures of plugins are taken.

use cairn_core::Error;
use cairn_core::names::PluginName;
use cairn_plugins::TrustedKey;
use cairn_store::Change;

use crate::Node;
use crate::plugins::parse;
use crate::records::TrustedSigner;

impl Node {
    /// The trust list.
    ///
    /// # Errors
    /// As the store says.
    pub fn trusted(&self) -> Result<Vec<TrustedSigner>, Error> {
        self.store()
            .list("trust")?
            .iter()
            .map(|(_, record)| parse(&record.value))
            .collect()
    }

    /// Takes signatures of this key from now on.
    ///
    /// # Errors
    /// `invalid` where it is no minisign public key.
    pub async fn trust(&self, signer: TrustedSigner) -> Result<TrustedSigner, Error> {
        // The rules for a plugin's name are fit for a signer's, too.
        let name: PluginName = signer.name.parse().map_err(|mut e: Error| {
            e.field = Some("name".to_owned());
            e
        })?;
        let key = TrustedKey {
            name: signer.name.clone(),
            public_key: signer.public_key.clone(),
        };
        let signer = TrustedSigner {
            id: key.id()?,
            ..signer
        };
        let value = serde_json::to_value(&signer).map_err(|e| Error::internal(e.to_string()))?;
        self.store()
            .transact(&[Change::put(format!("trust/{name}"), value)])
            .await?;
        Ok(signer)
    }

    /// Takes a key's signatures no more. What is installed stays.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn distrust(&self, name: &PluginName) -> Result<(), Error> {
        let path = format!("trust/{name}");
        if self.store().get(&path)?.is_none() {
            return Err(Error::not_found(format!("signer {name} in the trust list")));
        }
        self.store().transact(&[Change::remove(path)]).await?;
        Ok(())
    }

    pub(crate) fn trusted_keys(&self) -> Result<Vec<TrustedKey>, Error> {
        let signers = self.trusted()?;
        Ok(signers
            .into_iter()
            .map(|s| TrustedKey {
                name: s.name,
                public_key: s.public_key,
            })
            .collect())
    }
}
