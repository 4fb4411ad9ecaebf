//! `cairn witness …`

use cairn_core::Error;
use cairn_node::cluster_records::PrintedToken;
use cairn_node::{WitnessReport, WitnessService};
use serde_json::json;

use super::{cluster, read, serve};
use crate::arguments::{Arguments, WitnessCommand, WitnessServe};
use crate::client::Client;
use crate::output::{Output, bytes, facts, say, table};

pub(super) async fn run(
    command: &WitnessCommand,
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    match command {
        WitnessCommand::Serve(_) => Ok(()),
        WitnessCommand::Token => {
            let document = client.post("witness/tokens", &json!({})).await?;
            let token: PrintedToken = read(&document)?;
            output.show(&document, || {
                cluster::print_token(&token, "cairn cluster witness add")
            });
            Ok(())
        }
        WitnessCommand::Status => {
            let document = client.get("witness").await?;
            let report: WitnessReport = read(&document)?;
            output.show(&document, || show(&report));
            Ok(())
        }
    }
}

fn show(report: &WitnessReport) {
    facts(&[
        ("name", report.name.clone()),
        ("fingerprint", report.fingerprint.clone()),
        ("addresses", report.addresses.join(", ")),
    ]);
    let rows = report.clusters.iter().map(|c| {
        let led = if c.led { "yes" } else { "no" };
        vec![
            c.name.clone(),
            c.id.clone(),
            c.members.join(" "),
            led.to_owned(),
            bytes(c.log_bytes),
        ]
    });
    table(
        &["cluster", "id", "members", "led", "log"],
        rows.collect(),
        "no cluster; `cairn witness token` prints a token for one",
    );
}

pub(super) async fn serve(
    arguments: &Arguments,
    options: &WitnessServe,
    output: &Output,
) -> Result<(), Error> {
    serve::log_to_stderr(&options.log)?;
    let name = match &options.name {
        Some(name) => name.clone(),
        None => serve::host_name()?,
    };
    let stop = serve::stopped()?;
    let service = WitnessService::open(&arguments.data, &name).await?;
    let ready = |listening: &cairn_api::Listening| {
        let addresses: Vec<String> = listening.https.iter().map(ToString::to_string).collect();
        let line = if output.json {
            json!({"witness": name, "addresses": addresses}).to_string()
        } else {
            format!("cairn: witness {name} is ready at {}", addresses.join(", "))
        };
        say(line);
    };
    let serve_options = cairn_api::ServeOptions {
        addresses: options.addresses.clone(),
        port: options.port,
    };
    cairn_api::serve_witness(service, &arguments.data, serve_options, ready, stop).await
}
