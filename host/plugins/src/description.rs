//! What a component says of itself, checked and bounded.

use cairn_core::names::PluginName;
use cairn_core::plugin::{Asks, Inspection, Kind, Signature};
use cairn_core::schema::Schema;
use cairn_core::{Error, grant};

use crate::bindings::exports::cairn::plugin::identity;
use crate::check::Shape;
use crate::convert;
use crate::limits::{ASKS_MAX, SCHEMA_MAX_BYTES, TEXT_MAX_BYTES, TEXTS_MAX};

/// What is known of a component before it has described itself.
pub(crate) fn blank(digest: &str, size: usize, shape: &Shape) -> Result<Inspection, Error> {
    Ok(Inspection {
        name: "unknown".parse::<PluginName>()?,
        version: String::new(),
        kind: Kind::Storage,
        summary: String::new(),
        author: String::new(),
        license: String::new(),
        homepage: String::new(),
        digest: digest.to_owned(),
        size_bytes: size as u64,
        imports: shape.imports.clone(),
        exports: shape.exports.clone(),
        asks: Asks::default(),
        reuse_instances: false,
        memory_mib: 0,
        config_schema: serde_json::Value::Null,
        signature: Signature::None,
    })
}

/// What the component says of itself, checked; patterns are compiled, which takes its time.
pub(crate) fn inspection(
    blank: &Inspection,
    said: identity::Description,
    schema: &str,
) -> Result<Inspection, Error> {
    let about = |field: &str, e: Error| {
        Error::invalid(
            "component",
            format!(
                "what the plugin says of itself is not valid: its {field}: {}",
                e.message
            ),
        )
    };
    bounded(&said, schema)?;
    let name = said
        .name
        .parse::<PluginName>()
        .map_err(|e| about("name", e))?;
    let asks = convert::asks(said.asks);
    for ask in &asks.commands {
        grant::check_forms(ask).map_err(|e| about("asks", e))?;
    }
    let schema = Schema::parse(schema).map_err(|e| about("config schema", e))?;
    let semver = said.version.split('.').count() == 3 && said.version.len() <= 64;
    if !semver {
        return Err(about(
            "version",
            Error::invalid("version", "it must be a semantic version like 1.2.3"),
        ));
    }
    Ok(Inspection {
        name,
        version: said.version,
        kind: convert::kind(said.kind),
        summary: said.summary,
        author: said.author,
        license: said.license,
        homepage: said.homepage,
        asks,
        reuse_instances: said.run.reuse_instances,
        memory_mib: said.run.memory_mib,
        config_schema: schema.document().clone(),
        ..blank.clone()
    })
}

/// Refuses what is longer than people read, before anything else looks at it.
fn bounded(said: &identity::Description, schema: &str) -> Result<(), Error> {
    let (asks, texts) = (&said.asks, texts(said));
    let most = [
        asks.commands.len(),
        asks.files.len(),
        asks.http.len(),
        asks.secrets.len(),
    ];
    let rule = if most.iter().any(|n| *n > ASKS_MAX) {
        format!("it asks for more than {ASKS_MAX} things of one kind")
    } else if texts.iter().any(|text| text.len() > TEXT_MAX_BYTES) {
        format!("one of its texts has more than {TEXT_MAX_BYTES} bytes")
    } else if texts.len() > TEXTS_MAX {
        format!("it says more than {TEXTS_MAX} texts of itself")
    } else if schema.len() > SCHEMA_MAX_BYTES {
        format!("its config schema has more than {SCHEMA_MAX_BYTES} bytes")
    } else {
        return Ok(());
    };
    Err(Error::invalid(
        "component",
        format!("what the plugin says of itself is too much: {rule}"),
    ))
}

fn texts(said: &identity::Description) -> Vec<&String> {
    let mut all = vec![
        &said.name,
        &said.version,
        &said.summary,
        &said.author,
        &said.license,
        &said.homepage,
    ];
    for ask in &said.asks.commands {
        all.extend([&ask.command, &ask.why]);
        all.extend(&ask.arguments);
    }
    for ask in &said.asks.files {
        all.extend([&ask.directory, &ask.why]);
    }
    for ask in &said.asks.http {
        all.extend([&ask.host, &ask.why]);
        all.extend(&ask.methods);
    }
    for ask in &said.asks.secrets {
        all.extend([&ask.name, &ask.why]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(commands: usize, forms: usize, why: &str) -> identity::Description {
        let command = identity::CommandAsk {
            command: "ls".to_owned(),
            arguments: vec!["-l".to_owned(); forms],
            why: why.to_owned(),
            optional: false,
        };
        identity::Description {
            name: "p".to_owned(),
            version: "1.0.0".to_owned(),
            kind: identity::Kind::Storage,
            summary: String::new(),
            author: String::new(),
            license: String::new(),
            homepage: String::new(),
            asks: identity::Asks {
                commands: vec![command; commands],
                files: Vec::new(),
                http: Vec::new(),
                secrets: Vec::new(),
            },
            run: identity::RunWish {
                reuse_instances: false,
                memory_mib: 0,
            },
        }
    }

    #[test]
    fn a_description_has_an_end() {
        assert!(bounded(&said(ASKS_MAX, 8, "why"), "{}").is_ok());
        let long = "x".repeat(TEXT_MAX_BYTES + 1);
        let schema = "x".repeat(SCHEMA_MAX_BYTES + 1);
        for (said, schema, part) in [
            (said(ASKS_MAX + 1, 0, ""), "{}", "things of one kind"),
            (said(1, TEXTS_MAX, ""), "{}", "texts of itself"),
            (said(1, 0, &long), "{}", "one of its texts"),
            (said(1, 0, ""), schema.as_str(), "config schema"),
        ] {
            let error = bounded(&said, schema).unwrap_err();
            assert!(error.message.contains(part), "{error}");
        }
    }
}
