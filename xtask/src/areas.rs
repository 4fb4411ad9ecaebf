//! The one table of test areas: which packages' tests belong to which area.

use anyhow::{Result, bail};
use clap::builder::PossibleValuesParser;

use crate::workspace::Workspace;

/// A part of the tests that one can ask for by name.
pub(crate) struct Area {
    pub(crate) name: &'static str,
    about: &'static str,
    pub(crate) parts: &'static [Part],
}

/// Where an area's tests come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Tests inside the libraries and programs of every package.
    Inside,
    /// The integration tests (`tests/*.rs`) of these packages.
    Integration(&'static [&'static str]),
    /// Examples in doc comments.
    Examples,
    /// What is checked of the Markdown files.
    Documents,
    /// The demo, as one test.
    Demo,
}

/// In the order in which they run: what is quick and tells most comes first.
pub(crate) const AREAS: &[Area] = &[
    Area {
        name: "docs",
        about: "links and the map in the Markdown files, examples in doc comments",
        parts: &[Part::Documents, Part::Examples],
    },
    Area {
        name: "unit",
        about: "tests inside every crate, and whole-crate tests of those without I/O",
        parts: &[Part::Inside, Part::Integration(&["cairn-core", "xtask"])],
    },
    Area {
        name: "plugins",
        about: "the plugin host, SDK, hostile plugins, and storage plugins on real backends",
        parts: &[Part::Integration(&[
            "cairn-plugins",
            "cairn-componentize",
            "cairn-sdk",
            "storage-dir",
            "storage-zfs",
            "hostile-plugins",
            "cairn-bed",
            "cairn-storage-tests",
        ])],
    },
    Area {
        name: "api",
        about: "REST, OpenAPI, the daemon and the command line",
        parts: &[Part::Integration(&["cairn-node", "cairn-api", "cairn"])],
    },
    Area {
        name: "cluster",
        about: "consensus, the network between daemons, clusters of real daemons",
        parts: &[Part::Integration(&[
            "cairn-store",
            "cairn-net",
            "cairn-cluster-tests",
        ])],
    },
    Area {
        name: "guests",
        about: "virtual machines and containers",
        parts: &[],
    },
    Area {
        name: "replication",
        about: "replication jobs, failover and failback",
        parts: &[],
    },
    Area {
        name: "ha",
        about: "leases, fencing and recovery",
        parts: &[],
    },
    Area {
        name: "web",
        about: "the dashboard in a browser",
        parts: &[],
    },
    Area {
        name: "demo",
        about: "./x demo, as one test",
        parts: &[Part::Demo],
    },
];

/// Programs that take minutes and mostly wait for one emulated machine: they run beside the others,
/// and are shown after them.
pub(crate) const ASIDE: &[&str] = &["cairn-storage-tests::openzfs"];

/// For clap: the areas one may name.
pub(crate) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(AREAS.iter().map(|area| area.name))
}

/// For `./x test --help`.
pub(crate) fn help() -> String {
    let mut help = String::from("Areas:\n");
    for area in AREAS {
        help.push_str(&format!("  {:<12} {}\n", area.name, area.about));
    }
    help
}

/// The areas asked for, in the table's order; all of them if none is named.
pub(crate) fn chosen(asked: &[String]) -> Vec<&'static Area> {
    AREAS
        .iter()
        .filter(|area| asked.is_empty() || asked.iter().any(|name| name == area.name))
        .collect()
}

/// Fails if some package's integration tests belong to no area, and so would never run.
pub(crate) fn check_complete(workspace: &Workspace) -> Result<()> {
    let covered = |name: &str| {
        AREAS
            .iter()
            .flat_map(|area| area.parts)
            .any(|part| matches!(part, Part::Integration(packages) if packages.contains(&name)))
    };
    for package in &workspace.packages {
        if !package.integration_tests.is_empty() && !covered(&package.name) {
            bail!(
                "the tests of {} belong to no area: add it to the table in xtask/src/areas.rs",
                package.name
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_package_is_in_two_areas() {
        let mut seen = BTreeSet::new();
        for part in AREAS.iter().flat_map(|area| area.parts) {
            if let Part::Integration(packages) = part {
                for package in *packages {
                    assert!(seen.insert(package), "{package} is in two areas");
                }
            }
        }
    }

    #[test]
    fn naming_none_means_all() {
        assert_eq!(chosen(&[]).len(), AREAS.len());
        let names: Vec<_> = chosen(&["api".into(), "unit".into()])
            .iter()
            .map(|area| area.name)
            .collect();
        assert_eq!(names, ["unit", "api"]);
    }
}
