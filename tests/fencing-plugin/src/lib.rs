//! A fencing plugin for a device that speaks a little HTTP: `GET /TARGET` answers `on` or `off`,
//! `POST /TARGET` with `hard` or `soft` takes power. Tests play the device.

use cairn_sdk::export;
use cairn_sdk::fencing::{Device, Manner, Power, Target, TraitReport};
use cairn_sdk::host::http::{HttpError, Request};
use cairn_sdk::host::{self, http};
use cairn_sdk::plugin::{
    Asks, Cause, Description, Error, HttpAsk, Identity, Kind, RunWish, SecretAsk,
};
use serde::Deserialize;

/// The plugin.
#[derive(Debug)]
pub struct Outlet;

export!(Outlet: identity, device);

#[derive(Deserialize)]
struct Config {
    address: String,
}

impl Identity for Outlet {
    fn describe() -> Description {
        Description {
            name: "fencing-outlet".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: Kind::Fencing,
            summary: "Power outlets that a test plays".to_owned(),
            author: "The Cairn developers".to_owned(),
            license: "Apache-2.0".to_owned(),
            homepage: String::new(),
            asks: Asks {
                commands: Vec::new(),
                files: Vec::new(),
                http: vec![HttpAsk {
                    host: "http://{config.address}".to_owned(),
                    methods: vec!["GET".to_owned(), "POST".to_owned()],
                    why: "to speak to the device".to_owned(),
                }],
                secrets: vec![SecretAsk {
                    name: "password".to_owned(),
                    why: "to be let in by the device".to_owned(),
                }],
            },
            run: RunWish {
                reuse_instances: true,
                memory_mib: 16,
            },
        }
    }

    fn config_schema() -> String {
        r#"{"type": "object", "required": ["address"], "properties": {
            "address": {"type": "string", "format": "host"},
            "password": {"type": "string", "x-cairn-secret": true}}}"#
            .to_owned()
    }
}

impl Device for Outlet {
    fn traits() -> Result<TraitReport, Error> {
        Ok(TraitReport {
            confirms: true,
            shares_power: false,
            soft_off: true,
            reboot: false,
            effect_ms: 0,
        })
    }

    fn targets() -> Result<Vec<Target>, Error> {
        Ok(vec![Target {
            id: "outlet".to_owned(),
            name: "The only outlet".to_owned(),
            power: Power::Unknown,
        }])
    }

    fn monitor() -> Result<(), Error> {
        Ok(())
    }

    fn status(target: String) -> Result<Power, Error> {
        Ok(match exchange("GET", &target, "")?.as_str() {
            "on" => Power::On,
            "off" => Power::Off,
            _ => Power::Unknown,
        })
    }

    fn off(target: String, manner: Manner) -> Result<(), Error> {
        let manner = match manner {
            Manner::Hard => "hard",
            Manner::Soft => "soft",
        };
        exchange("POST", &target, manner).map(drop)
    }

    /// By a method that it never asked for.
    fn on(target: String) -> Result<(), Error> {
        exchange("PUT", &target, "on").map(drop)
    }

    fn reboot(_target: String) -> Result<(), Error> {
        Err(Error::unsupported("an outlet can't"))
    }
}

/// One exchange about a target, or with whatever server a target names by a whole URL.
fn exchange(method: &str, target: &str, body: &str) -> Result<String, Error> {
    let config: Config = host::config()?;
    // `header:NAME` tries to set one that it shouldn't.
    let header = target.strip_prefix("header:");
    let url = if target.starts_with("http") {
        target.to_owned()
    } else if header.is_some() {
        format!("http://{}/outlet", config.address)
    } else {
        format!("http://{}/{target}", config.address)
    };
    let request = Request {
        method: method.to_owned(),
        url,
        headers: header
            .map(|name| (name.to_owned(), "elsewhere".to_owned()))
            .into_iter()
            .collect(),
        secret_headers: vec![(
            "authorization".to_owned(),
            "Bearer ".to_owned(),
            "password".to_owned(),
        )],
        body: body.as_bytes().to_vec(),
        timeout_ms: 0,
    };
    let unavailable = |why: String| Error::new(Cause::Unavailable(why.clone()), why);
    match http::fetch(&request) {
        Ok(answer) if answer.status == 200 => {
            Ok(String::from_utf8_lossy(&answer.body).into_owned())
        }
        Ok(answer) => Err(unavailable(format!("the device answers {}", answer.status))),
        Err(HttpError::Denied(why)) => Err(Error::new(Cause::Denied(why.clone()), why)),
        Err(HttpError::TimedOut) => Err(Error::new(
            Cause::TimedOut,
            "the device is silent".to_owned(),
        )),
        Err(HttpError::TooLarge(most)) => Err(unavailable(format!(
            "the device says more than {most} bytes"
        ))),
        Err(HttpError::Failed(why)) => Err(unavailable(why)),
    }
}
