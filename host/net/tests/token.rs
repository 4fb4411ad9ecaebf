//! Join tokens: what is printed is what is read, and every way in which one is of no use has its
//! own sentence.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "that is how a test fails"
)]

use cairn_net::secret::Secret;
use cairn_net::token::{JoinToken, TokenError};
use cairn_net::{ClusterId, Fingerprint, Role};

fn token(addresses: &[&str]) -> JoinToken {
    JoinToken {
        cluster: ClusterId::random().unwrap(),
        fingerprint: Fingerprint::of(Secret::random().unwrap().expose()),
        addresses: addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect(),
        secret: Secret::random().unwrap(),
        role: Role::Node,
        expires_s: 1_800_000_000,
    }
}

#[test]
fn what_is_printed_is_read() {
    for addresses in [
        &["10.0.0.1:8006"][..],
        &["[fd00::1]:1", "192.168.1.1:65535"],
    ] {
        let token = token(addresses);
        let text = token.print().unwrap();
        assert!(text.starts_with("cairn1-"));
        let read = JoinToken::parse(&text).unwrap();
        assert_eq!(read.addresses, token.addresses);
        assert_eq!(read.secret.expose(), token.secret.expose());
        assert_eq!(
            (read.cluster, read.fingerprint),
            (token.cluster, token.fingerprint)
        );
        assert_eq!((read.role, read.expires_s), (Role::Node, 1_800_000_000));
        assert_eq!(read.verifier().unwrap(), token.verifier().unwrap());
    }
}

#[test]
fn white_space_that_terminals_add_does_not_count() {
    let text = token(&["10.0.0.1:8006"]).print().unwrap();
    let (head, tail) = text.split_at(80);
    assert!(JoinToken::parse(&format!("  {head}\n   {tail}\r\n")).is_ok());
}

/// Every place, every character that could come there by hand: exhaustive rather than random.
#[test]
fn every_one_character_change_is_refused() {
    for round in 0..4 {
        let addresses: Vec<_> = (0..=round).map(|n| format!("10.0.0.{n}:8006")).collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        let text = token(&addresses)
            .print()
            .unwrap()
            .chars()
            .collect::<Vec<_>>();
        let letters = || (' '..='~').chain(['é', '\u{2010}', '\n']);
        for place in 0..text.len() {
            for letter in letters().filter(|letter| *letter != text[place]) {
                let mut changed = text.clone();
                changed[place] = letter;
                let changed: String = changed.into_iter().collect();
                assert!(
                    JoinToken::parse(&changed).is_err(),
                    "{letter:?} at {place} is taken"
                );
            }
            let mut cut = text.clone();
            cut.remove(place);
            let doubled = text[..place]
                .iter()
                .chain(&text[place.saturating_sub(1)..])
                .collect();
            // Doubling where two equal letters stand gives a longer token, never the same.
            for wrong in [cut.into_iter().collect::<String>(), doubled] {
                let same = wrong.len() == text.len();
                assert!(same || JoinToken::parse(&wrong).is_err(), "{wrong}");
            }
        }
    }
}

#[test]
fn every_cut_is_refused_and_named() {
    let text = token(&["10.0.0.1:8006"]).print().unwrap();
    for end in 0..text.len() {
        let wanted = if end < 7 {
            TokenError::NotAToken
        } else {
            TokenError::Mistyped
        };
        assert_eq!(
            JoinToken::parse(&text[..end]).unwrap_err(),
            wanted,
            "cut at {end}"
        );
    }
}

#[test]
fn each_fault_has_its_own_sentence() {
    let good = token(&["10.0.0.1:8006"]);
    let text = good.print().unwrap();
    let newer = text.replacen("cairn1", "cairn2", 1);
    let faults = [
        JoinToken::parse("SECRETJOINTOKEN").unwrap_err(),
        JoinToken::parse(&text.to_uppercase().replacen("CAIRN1", "cairn1", 1)).unwrap_err(),
        JoinToken::parse(&newer).unwrap_err(),
        good.check(Role::Node, 1_800_000_060).unwrap_err(),
        good.check(Role::Witness, 0).unwrap_err(),
        token(&[]).print().unwrap_err(),
    ];
    assert_eq!(faults[0], TokenError::NotAToken);
    assert_eq!(faults[1], TokenError::Mistyped);
    assert_eq!(faults[2], TokenError::NewerVersion { found: 2 });
    assert_eq!(faults[3], TokenError::Expired { since_s: 60 });
    assert_eq!(
        faults[4],
        TokenError::OtherRole {
            found: Role::Node,
            wanted: Role::Witness
        }
    );
    assert_eq!(faults[5], TokenError::Addresses(0));
    let mut sentences: Vec<_> = faults.iter().map(ToString::to_string).collect();
    sentences.sort();
    sentences.dedup();
    assert_eq!(sentences.len(), faults.len());
    assert_eq!(good.check(Role::Node, 1_800_000_000), Ok(()));
}

#[test]
fn neither_debug_output_nor_what_is_stored_tells_the_secret() {
    let token = token(&["10.0.0.1:8006"]);
    let secret = format!("{:02x?}", token.secret.expose());
    let hex: String = token
        .secret
        .expose()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let stored = serde_json::to_string(&token.verifier().unwrap()).unwrap();
    for shown in [
        format!("{token:?}"),
        format!("{:?}", token.verifier().unwrap()),
        stored,
    ] {
        assert!(!shown.contains(&hex) && !shown.contains(secret.trim_matches(['[', ']'])));
    }
    assert!(!format!("{token:?}").contains(&token.print().unwrap()[150..]));
}
