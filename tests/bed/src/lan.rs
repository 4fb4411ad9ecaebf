//! Several nodes on one machine, each with a network of its own, joined by two switches that can fail.
//!
//! Node *i* has the addresses 10.99.0.*i* and 10.99.1.*i*, one on each switch. Cuts are made by nftables in
//! the network of the node that is cut, packet by packet, as a cable or a switch would: nothing is refused,
//! nothing is told. All is gone with the [`Lan`], or with the test.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::cell::{Cell, Spaces};
use crate::host::Host;
use crate::needs::{missing, not_root};
use crate::place::Place;

/// Switches, and so links of a node.
pub const LAN_LINKS: u8 = 2;

/// The names of networks lie in /run, which is the cell's own.
const SETUP: &str = r#"mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns
ip link set lo up
for link in 0 1; do ip link add "sw$link" type bridge forward_delay 0; ip link set "sw$link" up; done
for ((i = 1; i <= NODES; i++)); do
  ip netns add "n$i"
  ip -n "n$i" link set lo up
  for link in 0 1; do
    ip link add "p$i-$link" type veth peer name "eth$link" netns "n$i"
    ip link set "p$i-$link" master "sw$link" up
    ip -n "n$i" addr add "10.99.$link.$i/24" dev "eth$link"
    ip -n "n$i" link set "eth$link" up
  done
  ip netns exec "n$i" nft -f - <<'RULES'
table inet cut {
  set from { type ipv4_addr; }
  set to { type ipv4_addr; }
  chain in { type filter hook input priority 0; ip saddr @from drop; }
  chain out { type filter hook output priority 0; ip daddr @to drop; }
}
RULES
done"#;

/// Nodes with networks of their own. Files and /tmp are this machine's; process numbers are the cell's.
#[derive(Debug)]
pub struct Lan {
    _cell: Cell,
    places: Vec<Place>,
}

impl Lan {
    /// The reason to skip if this machine can't have one.
    #[must_use]
    pub fn missing() -> Option<String> {
        not_root().or_else(|| missing(&["ip", "nft", "unshare", "nsenter", "setpriv", "pkill"]))
    }

    /// Nodes 1 to `count`.
    ///
    /// # Errors
    /// With what the tools said.
    pub fn up(count: u8) -> Result<Lan> {
        let setup = SETUP.replace("NODES", &count.to_string());
        let cell =
            Cell::start(Spaces::MountsAndNetwork, &setup).context("setting up the networks")?;
        let places = (1..=count).map(|node| {
            let mut enter = cell.enter();
            enter.extend(["ip", "netns", "exec"].map(Into::into));
            enter.push(format!("n{node}").into());
            Place::new(Arc::new(Host::inside(format!("n{node}"), enter)))
        });
        Ok(Lan {
            places: places.collect(),
            _cell: cell,
        })
    }

    /// Where node `node`'s programs run.
    ///
    /// # Panics
    /// Where there is no such node.
    #[must_use]
    #[allow(clippy::expect_used)] // a fault of the test that asks
    pub fn place(&self, node: u8) -> Place {
        let place = self.places.get(usize::from(node).wrapping_sub(1));
        place.expect("nodes of a LAN are numbered from 1").clone()
    }

    /// The address of a node on a switch.
    #[must_use]
    pub fn address(&self, node: u8, link: u8) -> IpAddr {
        Ipv4Addr::new(10, 99, link, node).into()
    }

    /// Nothing passes between two nodes.
    ///
    /// # Errors
    /// With what nft said.
    pub fn cut(&self, a: u8, b: u8) -> Result<()> {
        self.cut_one_way(a, b)?;
        self.cut_one_way(b, a)
    }

    /// Nothing passes from `from` to `to`; the other way it does.
    ///
    /// # Errors
    /// With what nft said.
    pub fn cut_one_way(&self, from: u8, to: u8) -> Result<()> {
        (0..LAN_LINKS).try_for_each(|link| self.block(from, to, link))
    }

    /// Nothing passes between two nodes over one switch.
    ///
    /// # Errors
    /// With what nft said.
    pub fn cut_link(&self, a: u8, b: u8, link: u8) -> Result<()> {
        self.block(a, b, link)?;
        self.block(b, a, link)
    }

    /// Nothing passes between a node and all others.
    ///
    /// # Errors
    /// With what nft said.
    pub fn isolate(&self, node: u8) -> Result<()> {
        let count = u8::try_from(self.places.len())?;
        (1..=count)
            .filter(|other| *other != node)
            .try_for_each(|other| self.cut(node, other))
    }

    /// Everything passes again.
    ///
    /// # Errors
    /// With what nft said.
    pub fn heal(&self) -> Result<()> {
        let rules = "nft flush set inet cut from && nft flush set inet cut to";
        self.places
            .iter()
            .try_for_each(|place| place.sh(rules).map(drop))
    }

    fn block(&self, from: u8, to: u8, link: u8) -> Result<()> {
        let (a, b) = (self.address(from, link), self.address(to, link));
        self.place(from)
            .sh(&format!("nft add element inet cut to '{{ {b} }}'"))?;
        self.place(to)
            .sh(&format!("nft add element inet cut from '{{ {a} }}'"))?;
        Ok(())
    }
}
