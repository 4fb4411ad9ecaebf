//! A storage plugin that misbehaves on request: its configuration's `mode` says what `volumes.create`
//! does, or its start, its `status`, its `check`. Listing works but for the start's, so a test can see that the
//! daemon still serves it.

use std::sync::{Mutex, PoisonError};

use cairn_sdk::export;
use cairn_sdk::host::http::{HttpError, Request};
use cairn_sdk::host::secrets::SecretError;
use cairn_sdk::host::{self, Command, Directory, log};
use cairn_sdk::plugin::{
    Asks, Cause, CommandAsk, Configuration, Description, Error, Fact, FileAccess, FileAsk, Finding,
    Health, Identity, Kind, Level, RunWish, SecretAsk, Severity,
};
use cairn_sdk::storage::{
    AttachRequest, Attachment, Backend, CapabilityReport, Changes, Concurrency, Content,
    DetachRequest, Format, GroupSnapshot, Holder, Page, PageRequest, Reach, State, StatusReport,
    Volume, VolumeSpec, Volumes,
};
use serde::Deserialize;

/// The plugin.
#[derive(Debug)]
pub struct Hostile;

export!(Hostile: identity, configuration, health, backend, volumes);

/// What an instance remembers from one call to the next.
static REMEMBERED: Mutex<Option<String>> = Mutex::new(None);

#[derive(Deserialize)]
struct Config {
    mode: String,
    path: String,
    #[serde(default)]
    greeting: String,
}

/// What a component does before any call of it.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)] // its name is what makes it run
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    match host::config::<Config>() {
        Ok(config) if config.mode == "start-loop" => loop {
            std::hint::black_box(());
        },
        _ => {}
    }
}

impl Identity for Hostile {
    fn describe() -> Description {
        let command = |command: &str, form: &str| CommandAsk {
            command: command.to_owned(),
            arguments: vec![form.to_owned()],
            why: "to misbehave with".to_owned(),
            optional: false,
        };
        Description {
            name: "storage-hostile".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: Kind::Storage,
            summary: "Misbehaves on request".to_owned(),
            author: "The Cairn developers".to_owned(),
            license: "Apache-2.0".to_owned(),
            homepage: String::new(),
            asks: Asks {
                commands: vec![
                    command("ls", "{config.path}"),
                    command("sleep", "{number}"),
                    command("yes", ""),
                    // Tests make another version by writing over these forms.
                    CommandAsk {
                        arguments: vec!["kept".to_owned(), "an-old-form-of-arguments".to_owned()],
                        optional: true,
                        ..command("echo", "")
                    },
                ],
                files: vec![FileAsk {
                    directory: "{config.path}".to_owned(),
                    access: FileAccess::ReadWrite,
                    why: "to look for a way out".to_owned(),
                }],
                http: Vec::new(),
                secrets: vec![SecretAsk {
                    name: "password".to_owned(),
                    why: "to tell it to everyone".to_owned(),
                }],
            },
            run: RunWish {
                reuse_instances: false,
                memory_mib: 16,
            },
        }
    }

    fn config_schema() -> String {
        r#"{"type": "object", "required": ["path", "mode"], "properties": {
            "path": {"type": "string", "format": "path"}, "mode": {"type": "string"},
            "greeting": {"type": "string", "default": "good morning"},
            "password": {"type": "string", "x-cairn-secret": true}}}"#
            .to_owned()
    }
}

impl Configuration for Hostile {
    fn check() -> Result<Vec<Finding>, Error> {
        Ok(vec![Finding {
            severity: Severity::Note,
            message: told()?,
        }])
    }

    fn added() -> Result<(), Error> {
        Ok(())
    }

    fn changed(_previous: String) -> Result<(), Error> {
        Ok(())
    }

    fn removed() -> Result<(), Error> {
        Ok(())
    }
}

impl Health for Hostile {
    fn report() -> Result<Vec<Fact>, Error> {
        Ok(vec![Fact {
            subject: told()?,
            level: Level::Ok,
            message: told()?,
            since_ms: None,
        }])
    }
}

impl Backend for Hostile {
    fn capabilities() -> Result<CapabilityReport, Error> {
        Ok(CapabilityReport {
            contents: vec![Content::Images],
            formats: vec![Format::Raw],
            reach: Reach::ThisNode,
            concurrency: Concurrency::OneNodeTrusted,
            group_snapshot: GroupSnapshot::OneByOne,
            size_step_bytes: 1,
            max_volume_bytes: 0,
            dialect: "none".to_owned(),
        })
    }

    fn identity() -> Result<String, Error> {
        Ok(host::instance())
    }

    fn activate() -> Result<(), Error> {
        Ok(())
    }

    fn deactivate() -> Result<(), Error> {
        Ok(())
    }

    fn status() -> Result<StatusReport, Error> {
        let config: Config = host::config()?;
        let state = match config.mode.as_str() {
            "tell" => State::Degraded(told()?),
            "read-pipe" => match Directory::new(config.path).read("pipe") {
                Ok(_) => State::Active,
                // It doesn't even try to say what is wrong.
                Err(_) => return Err(Error::internal("something")),
            },
            _ => State::Active,
        };
        Ok(StatusReport {
            total_bytes: 1,
            used_bytes: 0,
            available_bytes: 1,
            state,
        })
    }
}

impl Volumes for Hostile {
    fn create(spec: VolumeSpec) -> Result<Volume, Error> {
        let config: Config = host::config()?;
        misbehave(&config)?;
        let mut made = volume(&spec.name);
        if config.mode == "tell" {
            made.notes = told()?;
            made.properties = vec![(told()?, told()?)];
        }
        Ok(made)
    }

    fn get(name: String) -> Result<Volume, Error> {
        Ok(volume(&name))
    }

    fn list(_request: PageRequest) -> Result<Page, Error> {
        Ok(Page {
            volumes: vec![volume("still-here")],
            next: None,
        })
    }

    fn delete(_name: String) -> Result<(), Error> {
        Ok(())
    }

    fn rename(_name: String, new_name: String, _guest: Option<u32>) -> Result<Volume, Error> {
        Ok(volume(&new_name))
    }

    fn set_attributes(name: String, _changes: Changes) -> Result<Volume, Error> {
        Ok(volume(&name))
    }

    fn attach(_name: String, _request: AttachRequest) -> Result<Attachment, Error> {
        Err(Error::unsupported("nothing is here"))
    }

    fn detach(_name: String, _request: DetachRequest) -> Result<(), Error> {
        Ok(())
    }

    fn holders(_name: String) -> Result<Vec<Holder>, Error> {
        Ok(Vec::new())
    }
}

fn misbehave(config: &Config) -> Result<(), Error> {
    let dir = Directory::new(config.path.clone());
    let read = |path: &str| match dir.read(path) {
        Ok(bytes) => Err(Error::corrupt(format!("it got out: {} bytes", bytes.len()))),
        Err(e) => Err(Error::from(e)),
    };
    match config.mode.as_str() {
        "loop" => loop {
            std::hint::black_box(());
        },
        "memory" => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(vec![1; 1 << 20]);
                std::hint::black_box(&hoard);
            }
        }
        "recurse" => Err(Error::internal(recurse(0).to_string())),
        "trap" => {
            #[allow(clippy::panic)] // that is what it is for
            {
                panic!("on request")
            }
        }
        "flood-log" => {
            (0..1_000_000).for_each(|i| log::write(log::Level::Info, &format!("line {i}")));
            Ok(())
        }
        "gigabyte" => Err(Error::internal("x".repeat(1 << 30))),
        "gigabyte-claimed" => Err(Error {
            cause: Cause::TimedOut,
            message: lie(),
        }),
        "huge-answer" => Err(Error::internal("x".repeat(12 << 20))),
        "bad-arguments" => run("ls", &["/etc"]),
        "more-arguments" => run("ls", &[config.path.as_str(), "/etc"]),
        "ungranted-command" => run("cat", &["/etc/shadow"]),
        "path-command" => run("/bin/ls", &[config.path.as_str()]),
        "slow-command" => run("sleep", &["1000"]),
        "output-bomb" => run("yes", &[]),
        "path-dotdot" => read("../../../../etc/shadow"),
        "path-absolute" => read("/etc/shadow"),
        "path-symlink" => read("link"),
        "path-proc" => read("/proc/self/environ"),
        "other-directory" => match Directory::new("/etc").read("shadow") {
            Ok(_) => Err(Error::corrupt("it got out")),
            Err(e) => Err(e.into()),
        },
        "secret-told" => {
            let told = told()?;
            log::write(log::Level::Info, &told);
            Err(Error::internal(told))
        }
        "secret-at-the-cut" => Err(Error::internal(format!(
            "{}{}",
            "x".repeat(4_093),
            password()?
        ))),
        "remember" => {
            let mut remembered = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
            *remembered = Some(password()?);
            Ok(())
        }
        "recall" => {
            let remembered = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
            Err(Error::internal(format!("it remembers {remembered:?}")))
        }
        "greet" => Err(Error::internal(config.greeting.clone())),
        "remove-deep" => dir.remove_tree("deep").map_err(Error::from),
        "secret-ungranted" => match host::secrets::get("token") {
            Err(SecretError::Denied(why)) => Err(Error::new(Cause::Denied(why.clone()), why)),
            _ => Err(Error::corrupt("it got a secret")),
        },
        "http-ungranted" => {
            let request = Request {
                method: "GET".to_owned(),
                url: "http://127.0.0.1:1/".to_owned(),
                headers: Vec::new(),
                secret_headers: Vec::new(),
                body: Vec::new(),
                timeout_ms: 0,
            };
            match host::http::fetch(&request) {
                Err(HttpError::Denied(why)) => Err(Error::new(Cause::Denied(why.clone()), why)),
                _ => Err(Error::corrupt("it reached a server")),
            }
        }
        _ => Ok(()),
    }
}

fn password() -> Result<String, Error> {
    host::secrets::get("password").map_err(|_| Error::internal("no password"))
}

/// A text with the secret in it, where there is one.
fn told() -> Result<String, Error> {
    match host::secrets::get("password") {
        Ok(secret) => Ok(format!("the password is {secret}")),
        Err(SecretError::NotSet) => Ok("no password".to_owned()),
        Err(SecretError::Denied(why)) => Err(Error::internal(why)),
    }
}

/// A text that claims a gigabyte which isn't there.
#[allow(unsafe_code, clippy::same_length_and_capacity)] // what a plugin of bad faith would do
fn lie() -> String {
    // SAFETY: none; nothing reads or frees it here, and what the host makes of it is the test.
    unsafe { String::from_raw_parts(std::ptr::without_provenance_mut(8), 1 << 30, 1 << 30) }
}

#[allow(unconditional_recursion)] // that is what it is for
fn recurse(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 64]);
    recurse(depth + 1) + here.iter().sum::<u64>()
}

fn run(command: &str, arguments: &[&str]) -> Result<(), Error> {
    let output = Command::new(command)
        .args(arguments.iter().copied())
        .output()?;
    Err(Error::corrupt(format!("it ran: {}", output.stdout.len())))
}

fn volume(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        content: Content::Images,
        format: Format::Raw,
        size_bytes: 1,
        used_bytes: None,
        parent: None,
        guest: None,
        created_ms: None,
        notes: String::new(),
        protected: false,
        template: false,
        epoch: 0,
        properties: Vec::new(),
    }
}
