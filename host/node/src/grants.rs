//! What a plugin's version is granted: at install what is named, at an upgrade what was granted before
//! and what is named beyond that.

use cairn_core::plugin::{Inspection, Version};
use cairn_core::{Code, Error};

/// The version with these grants, if they are all it needs.
pub(crate) fn granted(inspection: Inspection, grants: &[String]) -> Result<Version, Error> {
    known(&inspection, grants)?;
    let missing: Vec<String> = inspection
        .asks
        .required_ids()
        .into_iter()
        .filter(|id| !grants.contains(id))
        .collect();
    if !missing.is_empty() {
        let message = format!(
            "plugin {} {} asks for what was not granted: {}; nothing was installed",
            inspection.name,
            inspection.version,
            missing.join(", ")
        );
        return Err(Error::new(Code::Denied, message).with_by(inspection.asks.ids()));
    }
    let granted = inspection.asks.select(grants);
    Ok(Version {
        inspection,
        granted,
    })
}

/// The upgraded version. What was granted stays, narrowed to what is still asked; what goes beyond is
/// granted where `grants` names it. An optional ask that grew keeps its old part; a needed one that
/// grew refuses the upgrade.
pub(crate) fn regranted(
    inspection: Inspection,
    old: &Version,
    grants: &[String],
) -> Result<Version, Error> {
    known(&inspection, grants)?;
    let asks = &inspection.asks;
    let mut missing = asks.required_ids();
    missing.retain(|id| {
        let alone = asks.select(std::slice::from_ref(id));
        !grants.contains(id) && !alone.beyond(&old.granted).is_empty()
    });
    if !missing.is_empty() {
        let more = asks.select(&missing).beyond(&old.granted).join("; ");
        let options: Vec<String> = missing.iter().map(|id| format!("--grant '{id}'")).collect();
        let message = format!(
            "{} {} needs more than {} was granted ({more}); grant it with {}; nothing was changed",
            inspection.name,
            inspection.version,
            old.inspection.version,
            options.join(" ")
        );
        return Err(Error::new(Code::Denied, message).with_by(missing));
    }
    let mut granted = asks.select(grants);
    let named = granted.ids();
    let mut others = asks.ids();
    others.retain(|id| !named.contains(id));
    granted.extend(asks.select(&others).within(&old.granted));
    Ok(Version {
        inspection,
        granted,
    })
}

/// Refuses a grant of what isn't asked for.
pub(crate) fn known(inspection: &Inspection, grants: &[String]) -> Result<(), Error> {
    let ids = inspection.asks.ids();
    match grants.iter().find(|g| !ids.contains(g)) {
        None => Ok(()),
        Some(unknown) => Err(Error::invalid(
            "grant",
            format!(
                "plugin {} doesn't ask for `{unknown}`; it asks for: {}",
                inspection.name,
                if ids.is_empty() {
                    "nothing".to_owned()
                } else {
                    ids.join(", ")
                }
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use cairn_core::plugin::Asks;
    use serde_json::{Value, json};

    use super::*;

    /// A version that asks for these programs: name, forms, optional.
    fn inspection(version: &str, commands: &[(&str, &[&str], bool)]) -> Inspection {
        let commands: Vec<Value> = commands
            .iter()
            .map(|(name, forms, optional)| {
                json!({"command": name, "arguments": forms, "why": "", "optional": optional})
            })
            .collect();
        let inspection = json!({
            "name": "storage-x", "version": version, "kind": "storage", "summary": "", "author": "",
            "license": "", "homepage": "", "digest": "sha256:0", "size_bytes": 0, "imports": [],
            "exports": [], "reuse_instances": false, "memory_mib": 1, "config_schema": {},
            "asks": {"commands": commands, "files": [], "http": [], "secrets": []},
            "signature": {"state": "none"},
        });
        serde_json::from_value(inspection).unwrap()
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn forms(granted: &Asks, command: &str) -> Vec<String> {
        let found = granted.commands.iter().find(|c| c.command == command);
        found.map(|c| c.arguments.clone()).unwrap_or_default()
    }

    #[test]
    fn an_optional_ask_that_grew_keeps_what_was_granted() {
        let old = inspection(
            "1.0.0",
            &[("zfs", &["list"], false), ("lz4", &["-1", "-2"], true)],
        );
        let old = granted(old, &ids(&["command:zfs", "command:lz4"])).unwrap();
        let new = || {
            inspection(
                "2.0.0",
                &[("zfs", &["list"], false), ("lz4", &["-1", "-9"], true)],
            )
        };
        let kept = regranted(new(), &old, &[]).unwrap();
        assert_eq!(forms(&kept.granted, "lz4"), ["-1"]);
        assert_eq!(forms(&kept.granted, "zfs"), ["list"]);
        assert_eq!(
            kept.inspection.asks.ungranted(&kept.granted),
            ["command:lz4 -9"]
        );
        let all = regranted(new(), &old, &ids(&["command:lz4"])).unwrap();
        assert_eq!(forms(&all.granted, "lz4"), ["-1", "-9"]);
    }

    #[test]
    fn an_optional_ask_that_was_declined_stays_declined() {
        let asks: &[(&str, &[&str], bool)] = &[("zfs", &["list"], false), ("lz4", &["-1"], true)];
        let old = granted(inspection("1.0.0", asks), &ids(&["command:zfs"])).unwrap();
        let kept = regranted(inspection("2.0.0", asks), &old, &[]).unwrap();
        assert_eq!(kept.granted.ids(), ["command:zfs"]);
        assert_eq!(
            kept.inspection.asks.ungranted(&kept.granted),
            ["command:lz4"]
        );
    }

    #[test]
    fn a_needed_ask_that_grew_refuses_the_upgrade() {
        let old = inspection("1.0.0", &[("zfs", &["list"], false)]);
        let old = granted(old, &ids(&["command:zfs"])).unwrap();
        let new = || {
            inspection(
                "2.0.0",
                &[("zfs", &["list", "destroy"], false), ("lz4", &["-1"], true)],
            )
        };
        let error = regranted(new(), &old, &[]).unwrap_err();
        assert_eq!(
            (error.code, error.by),
            (Code::Denied, ids(&["command:zfs"]))
        );
        assert!(
            error.message.contains("command:zfs destroy"),
            "{}",
            error.message
        );
        assert!(
            !error.message.contains("lz4"),
            "it isn't needed: {}",
            error.message
        );
        let version = regranted(new(), &old, &ids(&["command:zfs"])).unwrap();
        assert_eq!(forms(&version.granted, "zfs"), ["list", "destroy"]);
        assert!(regranted(new(), &old, &ids(&["command:rm"])).is_err());
    }
}
