//! The committed document is the served one.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[test]
fn the_committed_document_is_what_the_handlers_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let made = format!("{}\n", cairn_api::document().to_pretty_json().unwrap());
    if std::env::var_os("CAIRN_UPDATE").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        made.contains("\"openapi\": \"3.1"),
        "the document is OpenAPI 3.1"
    );
    assert!(
        committed == made,
        "host/api/openapi.json is not what the handlers say; look at the change, then run \
         CAIRN_UPDATE=1 cargo test -p cairn-api --test openapi"
    );
}
