//! What a witness is: a self-signed certificate that clusters pin by its fingerprint. It is of no
//! cluster's authority and holds no cluster's secret.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use crate::authority::{blank, check_name, dns, new_key, unsigned};
use crate::certificate::{CertificateFacts, from_pem};
use crate::error::IdentityError;
use crate::identity::{load_record, save_record};
use crate::limits::AUTHORITY_LIFE_S;
use crate::names::{ClusterId, Fingerprint};
use crate::secret::SecretText;

const FILE: &str = "witness.json";
const FORMAT: u32 = 1;

/// A witness's identity. Debug output shows no secret of it.
#[derive(Debug, Clone)]
pub struct WitnessIdentity {
    record: Record,
    facts: CertificateFacts,
}

/// The file's form.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    format: u32,
    id: ClusterId,
    name: String,
    key: SecretText,
    certificate: String,
}

impl WitnessIdentity {
    /// A new one.
    ///
    /// # Errors
    /// When the name doesn't fit into a certificate, or there are no random numbers.
    pub fn create(name: &str, addresses: &[IpAddr], now_s: u64) -> Result<Self, IdentityError> {
        check_name("witness's name", name)?;
        let mut params = blank(name, now_s, AUTHORITY_LIFE_S)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![dns(name)?];
        let addresses = addresses.iter().map(|address| SanType::IpAddress(*address));
        params.subject_alt_names.extend(addresses);
        let key = new_key()?;
        let certificate = params.self_signed(&key).map_err(unsigned)?.pem();
        Self::check(Record {
            format: FORMAT,
            id: ClusterId::random()?,
            name: name.to_owned(),
            key: SecretText::new(key.serialize_pem()),
            certificate,
        })
    }

    fn check(record: Record) -> Result<Self, IdentityError> {
        let certificate = from_pem(&record.certificate)?;
        let facts = CertificateFacts::read(&certificate)?;
        crate::keys::certified(vec![certificate], &record.key)?;
        Ok(Self { record, facts })
    }

    /// Writes it to `folder`: mode 0600 in 0700, whole or not at all, synced.
    ///
    /// # Errors
    /// When the system says no.
    pub fn save(&self, folder: &Path) -> Result<(), IdentityError> {
        save_record(folder, FILE, &self.record)
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// When it isn't there, is damaged, or is of a later format.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        Self::check(load_record(folder, FILE, FORMAT)?).map_err(|e| match e {
            IdentityError::Unfit(why) => IdentityError::Damaged {
                path: folder.join(FILE),
                why,
            },
            other => other,
        })
    }

    /// Whether `folder` holds a witness, whole or damaged.
    #[must_use]
    pub fn is_saved(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// Which witness: what stands for the cluster in its tokens.
    #[must_use]
    pub fn id(&self) -> ClusterId {
        self.record.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// What clusters pin.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.facts.fingerprint
    }

    /// Certificate and key as TLS shows them.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn certified_key(&self) -> Result<Arc<CertifiedKey>, IdentityError> {
        crate::keys::certified(vec![from_pem(&self.record.certificate)?], &self.record.key)
    }
}
