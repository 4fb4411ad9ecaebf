//! Who the plugin is, what it asks for, and its configuration.

use cairn_sdk::host::{self, Command};
use cairn_sdk::plugin::{
    Asks, CommandAsk, Configuration, Description, Error, FileAccess, FileAsk, Finding, Identity,
    Kind, RunWish, Severity,
};

use crate::StorageDir;
use crate::place::{MARKER, Place, TRANSFER, VOLUMES};

/// What `qemu-img` is run with; every file is under the storage's directory.
const FORMS: [&str; 12] = [
    "--version",
    "create -q -f qcow2 -o preallocation={off|metadata|falloc} {config.path}/volumes/{name}/{name} {number}",
    "create -q -f qcow2 -F {raw|qcow2} -b {name} {config.path}/volumes/{name}/{name} {number}",
    "create -q -f qcow2 -F {raw|qcow2} -b ../{name}/{name} {config.path}/volumes/{name}/{name} {number}",
    "resize -q -f {raw|qcow2} {config.path}/volumes/{name}/{name} {number}",
    "rebase -q -f qcow2 -F {raw|qcow2} -b {name} {config.path}/volumes/{name}/{name}",
    "rebase -q -f qcow2 -F {raw|qcow2} -b ../{name}/{name} {config.path}/volumes/{name}/{name}",
    "rebase -q -f qcow2 -b {|} {config.path}/volumes/{name}/{name}",
    "rebase -q -f qcow2 -u -F {raw|qcow2} -b {name} {config.path}/transfer/{name}",
    "convert -q -O qcow2 -B? {config.path}/volumes/{name}/{name}? -F? {raw|qcow2}? -f {raw|qcow2} \
     {config.path}/volumes/{name}/{name} {config.path}/transfer/{name}",
    "info --output=json -U -f qcow2 {config.path}/transfer/{name}",
    "dd -f raw -O raw -U bs=512 count=1 if={config.path}/transfer/{name} of={config.path}/transfer/{name}",
];

impl Identity for StorageDir {
    fn describe() -> Description {
        Description {
            name: "storage-dir".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: Kind::Storage,
            summary: "Volumes as qcow2 and raw files, or file trees, in a directory".to_owned(),
            author: "The Cairn developers".to_owned(),
            license: "Apache-2.0".to_owned(),
            homepage: String::new(),
            asks: Asks {
                commands: vec![CommandAsk {
                    command: "qemu-img".to_owned(),
                    arguments: FORMS.iter().map(|form| (*form).to_owned()).collect(),
                    why: "to make, resize, merge and copy disk images in the storage's directory"
                        .to_owned(),
                    optional: false,
                }],
                files: vec![FileAsk {
                    directory: "{config.path}".to_owned(),
                    access: FileAccess::ReadWrite,
                    why: "to keep the volumes there".to_owned(),
                }],
                http: Vec::new(),
                secrets: Vec::new(),
            },
            run: RunWish {
                reuse_instances: true,
                memory_mib: 32,
            },
        }
    }

    fn config_schema() -> String {
        serde_json::json!({
            "type": "object",
            "required": ["path"],
            "additionalProperties": false,
            "properties": {
                "path": {
                    "type": "string", "format": "path", "title": "Directory", "minLength": 2,
                    "description": "an existing directory on the node, best on a file system of its own",
                    "x-cairn-fixed": true, "x-cairn-order": 1
                },
                "format": {
                    "type": "string", "enum": ["qcow2", "raw"], "default": "qcow2", "title": "Default format",
                    "description": "format of new disks that don't ask for one", "x-cairn-order": 2
                },
                "preallocation": {
                    "type": "string", "enum": ["off", "metadata", "falloc"], "default": "off",
                    "title": "Preallocation", "description": "how much of a new qcow2 disk is laid out at once",
                    "x-cairn-order": 3
                },
                "shared": {
                    "type": "boolean", "default": false, "title": "Shared",
                    "description": "the directory is a network file system, mounted at the same place on every node",
                    "x-cairn-fixed": true, "x-cairn-order": 4
                }
            }
        })
        .to_string()
    }
}

impl Configuration for StorageDir {
    fn check() -> Result<Vec<Finding>, Error> {
        let place = Place::unchecked()?;
        let space = place.dir.space().map_err(|e| match e {
            host::FileError::NotFound => Error::unavailable(format!(
                "there is no directory {}; make it first",
                place.config.path
            )),
            host::FileError::NotADirectory => Error::invalid("path", "it is no directory"),
            other => other.into(),
        })?;
        if space.read_only {
            return Err(Error::invalid(
                "path",
                "its file system is mounted read-only",
            ));
        }
        version()?;
        let mut findings = Vec::new();
        let entries = place.dir.list("")?;
        if place.marker()?.is_none() && entries.iter().any(|e| e.name != "lost+found") {
            findings.push(Finding {
                severity: Severity::Warning,
                message: format!(
                    "{} is not empty; what is there is left alone",
                    place.config.path
                ),
            });
        }
        Ok(findings)
    }

    fn added() -> Result<(), Error> {
        let place = Place::unchecked()?;
        place.dir.make_directory(VOLUMES)?;
        place.dir.make_directory(TRANSFER)?;
        if place.marker()?.is_none() {
            place.dir.write(MARKER, new_guid().as_bytes())?;
        }
        Ok(())
    }

    fn changed(_previous: String) -> Result<(), Error> {
        Ok(())
    }

    fn removed() -> Result<(), Error> {
        let Ok(place) = Place::open() else {
            return Ok(());
        };
        let attached: Vec<String> = crate::meta::all(&place)?
            .into_iter()
            .filter(|meta| !meta.attached.is_empty())
            .map(|meta| meta.name)
            .collect();
        if attached.is_empty() {
            return Ok(());
        }
        Err(Error::in_use(
            attached.clone(),
            format!(
                "attached volumes: {}; detach them first",
                attached.join(", ")
            ),
        ))
    }
}

/// What `qemu-img` says it is: `10.0.2`.
pub(crate) fn version() -> Result<String, Error> {
    let output = Command::new("qemu-img").arg("--version").output()?;
    let version = output.stdout.split_whitespace().nth(2).unwrap_or("unknown");
    Ok(version.to_owned())
}

/// A name that nothing else has: 128 random bits in hexadecimal.
pub(crate) fn new_guid() -> String {
    host::random::bytes(16)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
