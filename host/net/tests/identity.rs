//! Identities as files, renewal, and what doesn't fit together.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "that is how a test fails"
)]

use std::os::unix::fs::PermissionsExt;

use cairn_net::certificate::CertificateFacts;
use cairn_net::{
    Authority, ClusterSecrets, Identity, IdentityError, IssueRequest, NodeCsr, NodeId, NodeKey,
    WitnessIdentity,
};

const NOW_S: u64 = 1_790_000_000;
const DAY_S: u64 = 86_400;

fn identity() -> Identity {
    let secrets = ClusterSecrets::create("prod", NOW_S).unwrap();
    let addresses = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
    Identity::issue_own(secrets, NodeId(7), "pve-7", &addresses, NOW_S).unwrap()
}

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_identity_is_saved_and_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("identity");
    let identity = identity();
    assert!(!Identity::is_saved(&folder));
    identity.save(&folder).unwrap();
    identity.save(&folder).unwrap();
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("identity.json")), 0o600);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    let loaded = Identity::load(&folder).unwrap();
    assert_eq!(
        (loaded.cluster(), loaded.node()),
        (identity.cluster(), NodeId(7))
    );
    assert_eq!((loaded.name(), loaded.facts()), ("pve-7", identity.facts()));
    let sealed = identity.secrets().cluster_key.seal(b"x", b"y").unwrap();
    assert_eq!(
        loaded.secrets().cluster_key.open(b"x", &sealed).unwrap(),
        b"y"
    );
    loaded.certified_key().unwrap();
}

#[test]
fn a_part_left_by_a_crash_does_not_matter_and_open_files_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let identity = identity();
    std::fs::write(dir.path().join("identity.json.part"), "half").unwrap();
    identity.save(dir.path()).unwrap();
    let file = dir.path().join("identity.json");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    Identity::load(dir.path()).unwrap();
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn damage_is_named_and_quotes_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    identity().save(dir.path()).unwrap();
    let file = dir.path().join("identity.json");
    let whole = std::fs::read_to_string(&file).unwrap();
    let other = serde_json::from_str::<serde_json::Value>(&whole).unwrap();
    let of_another = {
        let mut record = other.clone();
        record["node"] = 8.into();
        record.to_string()
    };
    let other_key = {
        let mut record = other.clone();
        record["key"] = record["secrets"]["authority_key"].clone();
        record.to_string()
    };
    let wrongs = [
        whole[..whole.len() / 2].to_owned(),
        String::new(),
        whole.replace("BEGIN PRIVATE", "BEGIN PRIVVATE"),
        of_another,
        other_key,
    ];
    for wrong in wrongs {
        std::fs::write(&file, &wrong).unwrap();
        let error = Identity::load(dir.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Damaged { .. }), "{error:?}");
        let key = other["key"].as_str().unwrap().lines().nth(1).unwrap();
        assert!(!format!("{error} {error:?}").contains(key), "{error}");
    }
    std::fs::write(&file, whole.replace("\"format\": 1", "\"format\": 2")).unwrap();
    let error = Identity::load(dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            IdentityError::NewerFormat {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error:?}"
    );
    std::fs::remove_file(&file).unwrap();
    let error = Identity::load(dir.path()).unwrap_err();
    assert!(
        matches!(error, IdentityError::Io { action: "open", .. }),
        "{error:?}"
    );
}

#[test]
fn renewal_is_due_at_two_thirds_and_keeps_the_node() {
    let identity = identity();
    assert!(!identity.renew_due(NOW_S));
    assert!(!identity.renew_due(NOW_S + 60 * DAY_S - 1));
    assert!(identity.renew_due(NOW_S + 60 * DAY_S));
    assert_eq!(identity.facts().not_after_s, NOW_S + 90 * DAY_S);
    let renewed = identity.renewed(&[], NOW_S + 60 * DAY_S).unwrap();
    assert_eq!(
        (renewed.node(), renewed.cluster()),
        (identity.node(), identity.cluster())
    );
    assert_ne!(renewed.facts().serial, identity.facts().serial);
    assert!(!renewed.renew_due(NOW_S + 60 * DAY_S));
    let late = identity.renewed(&[], NOW_S + 400 * DAY_S);
    assert!(late.is_ok(), "an expired identity can be renewed");
}

#[test]
fn a_joining_node_keeps_its_key_and_gets_what_it_needs() {
    let secrets = ClusterSecrets::create("prod", NOW_S).unwrap();
    let authority = secrets.authority().unwrap();
    let key = NodeKey::generate().unwrap();
    let csr = key.csr().unwrap();
    let wanted = IssueRequest {
        csr: &csr,
        node: NodeId(3),
        name: "pve-3",
        addresses: &[],
    };
    let certificate = authority.issue(&wanted, NOW_S).unwrap();
    let sent = serde_json::to_vec(&secrets).unwrap();
    let received: ClusterSecrets = serde_json::from_slice(&sent).unwrap();
    let identity = Identity::assemble(&key, &certificate, received).unwrap();
    assert_eq!(
        (identity.node(), identity.cluster()),
        (NodeId(3), authority.cluster())
    );
    let other = NodeKey::generate().unwrap();
    let error = Identity::assemble(&other, &certificate, secrets.clone()).unwrap_err();
    assert!(error.to_string().contains("doesn't belong"), "{error}");
    let foreign = ClusterSecrets::create("prod", NOW_S).unwrap();
    let error = Identity::assemble(&key, &certificate, foreign).unwrap_err();
    assert!(
        error.to_string().contains("isn't of this authority"),
        "{error}"
    );
    let mut lines: Vec<String> = csr.0.lines().map(str::to_owned).collect();
    lines[2] = lines[2]
        .chars()
        .map(|c| if c == 'A' { 'B' } else { 'A' })
        .collect();
    let forged = NodeCsr(lines.join("\n"));
    let wanted = IssueRequest {
        csr: &forged,
        ..wanted
    };
    assert!(authority.issue(&wanted, NOW_S).is_err());
}

#[test]
fn an_authority_lives_long_and_knows_its_own() {
    let authority = Authority::create("prod", NOW_S).unwrap();
    let loaded = Authority::load(authority.certificate_pem(), authority.key_pem()).unwrap();
    assert_eq!(loaded.fingerprint(), authority.fingerprint());
    assert_eq!(
        (loaded.cluster(), loaded.cluster_name()),
        (authority.cluster(), "prod")
    );
    let other = Authority::create("prod", NOW_S).unwrap();
    assert!(Authority::load(authority.certificate_pem(), other.key_pem()).is_err());
    let pem = authority.certificate_pem().as_bytes();
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).unwrap();
    let facts = CertificateFacts::read(&pem.contents).unwrap();
    assert!(facts.not_after_s > NOW_S + 10 * 366 * DAY_S);
    for name in ["", "a\nb", &"x".repeat(65)] {
        assert!(matches!(
            Authority::create(name, NOW_S),
            Err(IdentityError::Name { .. })
        ));
    }
}

#[test]
fn a_witness_is_saved_and_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let witness = WitnessIdentity::create("w", &[], NOW_S).unwrap();
    witness.save(dir.path()).unwrap();
    let loaded = WitnessIdentity::load(dir.path()).unwrap();
    assert_eq!(loaded.fingerprint(), witness.fingerprint());
    assert_eq!((loaded.id(), loaded.name()), (witness.id(), "w"));
    assert_eq!(mode(&dir.path().join("witness.json")), 0o600);
    loaded.certified_key().unwrap();
}

#[test]
fn debug_output_has_no_key() {
    let identity = identity();
    let authority = identity.secrets().authority().unwrap();
    let witness = WitnessIdentity::create("w", &[], NOW_S).unwrap();
    let shown = format!(
        "{identity:?} {authority:?} {witness:?} {:?}",
        NodeKey::generate()
    );
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    let key = authority
        .key_pem()
        .expose()
        .lines()
        .nth(1)
        .unwrap()
        .to_owned();
    assert!(!shown.contains(&key));
}
