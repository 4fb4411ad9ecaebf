//! Fencing devices: what can take power from nodes, and how far it can be believed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Power of a target as read back from its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// It runs.
    On,
    /// It doesn't.
    Off,
    /// Between the two.
    Changing,
    /// The device answers but can't tell.
    Unknown,
}

/// How power is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Manner {
    /// At once.
    Hard,
    /// By asking the operating system. Never used to fence.
    Soft,
}

/// What a device can do and how far it can be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Traits {
    /// Power is read back from the machine, not remembered from the last command.
    pub confirms: bool,
    /// The device loses power together with the node.
    pub shares_power: bool,
    /// It can ask the operating system.
    pub soft_off: bool,
    /// It can take and give power in one go.
    pub reboot: bool,
    /// Longest time from command to effect, milliseconds.
    pub effect_ms: u32,
}

/// One outlet or system behind a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Target {
    /// As the device knows it.
    pub id: String,
    /// For people.
    pub name: String,
    /// Power when the device was asked.
    pub power: Power,
}
