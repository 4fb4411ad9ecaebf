//! What each command does.

mod cluster;
mod component;
mod config;
mod growth;
mod plugin;
mod serve;
mod storage;
mod volume;
mod witness;

use cairn_core::Error;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::arguments::{Arguments, Command, WitnessCommand};
use crate::client::Client;
use crate::output::Output;

pub(crate) async fn run(arguments: Arguments, output: &Output) -> Result<(), Error> {
    if let Command::Serve(options) = &arguments.command {
        return serve::serve(&arguments, options, output).await;
    }
    if let Command::Witness(WitnessCommand::Serve(options)) = &arguments.command {
        return witness::serve(&arguments, options, output).await;
    }
    let client = Client::new(&arguments)?;
    match &arguments.command {
        Command::Serve(_) => Ok(()),
        Command::Cluster(command) => cluster::run(command, &client, output).await,
        Command::Node(command) => cluster::node(command, &client, output).await,
        Command::Config(command) => config::run(command, &client, output).await,
        Command::Witness(command) => witness::run(command, &client, output).await,
        Command::Plugin(command) => plugin::run(&arguments, command, &client, output).await,
        Command::Storage(command) => storage::run(command, &client, output).await,
        Command::Volume(command) => volume::run(command, &client, output).await,
    }
}

/// A document of the daemon as its type.
fn read<T: DeserializeOwned>(document: &Value) -> Result<T, Error> {
    T::deserialize(document).map_err(|e| {
        Error::internal(format!(
            "the daemon's answer isn't understood ({e}); is it of another version?"
        ))
    })
}
