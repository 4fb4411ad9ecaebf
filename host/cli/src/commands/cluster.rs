//! `cairn cluster …` and `cairn node …`

use std::io::Read;

use cairn_core::Error;
use cairn_node::cluster_records::{ClusterStatus, MemberStatus, PrintedToken};
use serde_json::json;

use super::read;
use crate::arguments::{ClusterCommand, ClusterWitnessCommand, NodeCommand};
use crate::client::{Client, segment};
use crate::output::{Output, bytes, clean, facts, moment, say, table};

pub(super) async fn run(
    command: &ClusterCommand,
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    match command {
        ClusterCommand::Create { name } => {
            let document = client.put("cluster", &json!({"name": name})).await?;
            output.show(&document, || {
                say(format!(
                    "this node's cluster is {name} now; `cairn cluster token` lets nodes in"
                ))
            });
            Ok(())
        }
        ClusterCommand::Token => {
            let document = client.post("cluster/tokens", &json!({})).await?;
            let token: PrintedToken = read(&document)?;
            output.show(&document, || print_token(&token, "cairn cluster join"));
            Ok(())
        }
        ClusterCommand::Join { token } => {
            let document = client
                .post("cluster/join", &json!({"token": given(token)?}))
                .await?;
            let status: ClusterStatus = read(&document)?;
            output.show(&document, || {
                let name = status.name.as_deref().unwrap_or_default();
                say(format!(
                    "node {} has joined cluster {}, {} nodes",
                    status.node,
                    clean(name),
                    status.nodes.len()
                ));
            });
            Ok(())
        }
        ClusterCommand::Status => {
            let document = client.get("cluster").await?;
            let status: ClusterStatus = read(&document)?;
            output.show(&document, || show(&status));
            Ok(())
        }
        ClusterCommand::Leave { force } => {
            let document = client
                .post(&format!("cluster/leave?force={force}"), &json!({}))
                .await?;
            output.show(&document, || {
                say("this node has left, and is a cluster of one")
            });
            Ok(())
        }
        ClusterCommand::Remove { node, force } => {
            client
                .delete(&format!("nodes/{}?force={force}", segment(node)))
                .await?;
            output.show(&json!({"removed": node}), || {
                say(format!(
                    "node {node} is out: its certificate is worth nothing any more"
                ));
            });
            Ok(())
        }
        ClusterCommand::ForceQuorum { cluster } => {
            let document = client
                .post("cluster/force-quorum", &json!({"cluster": cluster}))
                .await?;
            output.show(&document, || {
                say("this node goes on alone. Keep the others off; they come back by joining anew");
            });
            Ok(())
        }
        ClusterCommand::Witness(command) => witness(command, client, output).await,
    }
}

async fn witness(
    command: &ClusterWitnessCommand,
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    match command {
        ClusterWitnessCommand::Add { token } => {
            let document = client
                .post("cluster/witnesses", &json!({"token": given(token)?}))
                .await?;
            output.show(&document, || {
                say("the witness serves this cluster; it votes while the nodes are even in number")
            });
            Ok(())
        }
        ClusterWitnessCommand::Remove { name } => {
            client
                .delete(&format!("cluster/witnesses/{}", segment(name)))
                .await?;
            output.show(&json!({"removed": name}), || {
                say(format!("witness {name} is removed"))
            });
            Ok(())
        }
        ClusterWitnessCommand::Status => {
            let status: ClusterStatus = read(&client.get("cluster").await?)?;
            output.show(&status.witnesses, || {
                members(
                    &status.witnesses,
                    "no witness; `cairn cluster witness add TOKEN` adds one",
                )
            });
            Ok(())
        }
    }
}

pub(super) async fn node(
    command: &NodeCommand,
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    match command {
        NodeCommand::List => {
            let document = client.get("nodes").await?;
            let nodes: Vec<MemberStatus> = read(&document)?;
            output.show(&document, || members(&nodes, "no node"));
            Ok(())
        }
        NodeCommand::Show { node } => {
            let document = client.get(&format!("nodes/{}", segment(node))).await?;
            let node: MemberStatus = read(&document)?;
            output.show(&document, || {
                members(std::slice::from_ref(&node), "");
                links(std::slice::from_ref(&node));
            });
            Ok(())
        }
    }
}

/// A token, or standard input for `-`.
pub(super) fn given(token: &str) -> Result<String, Error> {
    if token != "-" {
        return Ok(token.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().take(1 << 16).read_to_string(&mut text);
    read.map_err(|e| Error::invalid("token", format!("standard input can't be read: {e}")))?;
    Ok(text.trim().to_owned())
}

pub(super) fn print_token(token: &PrintedToken, command: &str) {
    say(&token.token);
    eprintln!(
        "\nGood until {}, once. Use it with:\n  {command} TOKEN",
        moment(token.expires_s * 1_000)
    );
}

fn show(status: &ClusterStatus) {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    facts(&[
        (
            "name",
            status
                .name
                .clone()
                .unwrap_or_else(|| "none yet; `cairn cluster create NAME`".to_owned()),
        ),
        ("id", status.id.clone()),
        ("config version", status.config_version.to_string()),
        ("store", bytes(status.store_bytes)),
        ("nodes", status.nodes.len().to_string()),
        ("expected votes", status.votes.expected.to_string()),
        ("total votes", status.votes.total.to_string()),
        ("quorum", status.votes.quorum.to_string()),
        ("quorate", yes(status.quorate)),
        (
            "leader",
            status.leader.clone().unwrap_or_else(|| "none".to_owned()),
        ),
    ]);
    say("");
    let mut all = status.nodes.clone();
    all.extend(status.witnesses.clone());
    members(&all, "");
    links(&all);
    for alarm in &status.alarms {
        say(format!("! {}", clean(alarm)));
    }
}

fn members(members: &[MemberStatus], nothing: &str) {
    let row = |m: &MemberStatus| {
        let here = if m.local {
            "this node"
        } else if m.online {
            "online"
        } else {
            "offline"
        };
        let contact = m
            .last_contact_ms
            .map(|ms| format!("{:.1} s ago", ms as f64 / 1_000.0));
        vec![
            m.name.clone(),
            here.to_owned(),
            m.votes.to_string(),
            m.addresses.join(" "),
            contact.unwrap_or_default(),
            m.clock_skew_ms
                .map(|ms| format!("{ms} ms"))
                .unwrap_or_default(),
        ]
    };
    table(
        &[
            "name",
            "state",
            "votes",
            "addresses",
            "last contact",
            "clock",
        ],
        members.iter().map(row).collect(),
        nothing,
    );
}

fn links(members: &[MemberStatus]) {
    let rows: Vec<Vec<String>> = members
        .iter()
        .flat_map(|m| m.links.iter().map(move |l| (m, l)))
        .map(|(m, l)| {
            let latency = l
                .latency_us
                .map(|us| format!("{:.2} ms", us as f64 / 1_000.0));
            vec![
                m.name.clone(),
                l.address.clone(),
                l.state.clone(),
                latency.unwrap_or_default(),
                l.why.clone().unwrap_or_default(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        table(&["link to", "address", "state", "latency", "why"], rows, "");
    }
}
