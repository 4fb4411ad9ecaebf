//! Several virtual machines on a bridge in a network of their own, which tests can cut.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail, ensure};

use crate::agent::lock;
use crate::cache::Held;
use crate::cell::{Cell, Spaces};
use crate::forward::Forward;
use crate::image;
use crate::limits::{COMMAND_LIMIT_S, MACHINES_MAX, SOCKET_DIR_MAX_BYTES};
use crate::machine::Machine;
use crate::needs::{missing, no_device, not_root};
use crate::node::Node;
use crate::place::Reach as _;
use crate::template::{self, model};
use crate::wait::seconds;

/// A bridge, and a tap for each machine, in the cell's network. 254 is the bed's own end.
const NETWORK: &str = r"ip link set lo up
ip link add br0 type bridge forward_delay 0 mcast_snooping 0
ip addr add 10.99.0.254/24 dev br0
ip link set br0 up
for ((i = 1; i <= machines; i++)); do
  ip tuntap add t$i mode tap
  ip link set t$i master br0 up
done";

/// Some virtual machines with OpenZFS 2.3, numbered from 1, on a network of their own. They, and
/// all that is theirs, go with this, or with the test.
#[derive(Debug)]
pub struct Bed {
    // In the order in which they go: what runs in the cell, and the cell, before what it is made of.
    forwards: Mutex<Vec<Forward>>,
    nodes: Vec<Node>,
    rig: Rig,
    /// Pairs (from, to) between which no packet passes.
    cuts: Mutex<BTreeSet<(usize, usize)>>,
    _template: Held,
    _image: Held,
}

/// The machines and their network, before any has power.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) machines: Vec<Arc<Machine>>,
    pub(crate) cell: Cell,
}

impl Rig {
    pub(crate) fn new(image: &Path, count: usize) -> Result<Rig> {
        let setup = format!("machines={count}\n{NETWORK}");
        let cell = Cell::start(Spaces::MountsAndNetwork, &setup)?;
        ensure!(
            cell.dir().as_os_str().len() <= SOCKET_DIR_MAX_BYTES,
            "{}: too long for sockets: set TMPDIR to a shorter path",
            cell.dir().display()
        );
        let machine = |index| Machine::new(index, cell.dir(), cell.enter(), model(image));
        let machines = (1..=count).map(|index| Arc::new(machine(index))).collect();
        Ok(Rig { machines, cell })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for machine in &self.machines {
            // The cell ends what doesn't end so.
            let _ = machine.power_cut();
        }
    }
}

impl Bed {
    /// The reason to skip if this machine can't run one.
    #[must_use]
    pub fn missing() -> Option<String> {
        let programs = [
            "qemu-system-x86_64",
            "qemu-img",
            "ip",
            "nft",
            "unshare",
            "nsenter",
            "setpriv",
            "mmdebstrap",
            "mke2fs",
            "cpio",
            "xz",
        ];
        not_root()
            .or_else(|| missing(&programs))
            .or_else(|| no_device("/dev/net/tun"))
            .or_else(template::qemu_too_old)
    }

    /// `count` machines, up and able to reach each other: seconds, once an image and a saved state
    /// of it are there; they are made if not.
    pub fn up(count: usize) -> Result<Bed> {
        ensure!(
            (1..=MACHINES_MAX).contains(&count),
            "a bed has 1 to {MACHINES_MAX} machines"
        );
        let image = image::ensure_held()?;
        let template = template::ensure(&image)?;
        let rig = Rig::new(&image.dir, count)?;
        std::thread::scope(|scope| {
            let start = |machine: &Arc<Machine>| -> Result<()> {
                machine.make_disks(&template.dir.join("root.qcow2"), "qcow2")?;
                machine.restore(&template.dir.join("state"), count)
            };
            let starting: Vec<_> = rig
                .machines
                .iter()
                .map(|machine| scope.spawn(move || start(machine)))
                .collect();
            starting
                .into_iter()
                .try_for_each(|thread| match thread.join() {
                    Ok(result) => result,
                    Err(_) => bail!("the thread that starts a machine panicked"),
                })
        })
        .context("starting the bed")?;
        let nodes = rig
            .machines
            .iter()
            .map(|m| Node::new(Arc::clone(m), count))
            .collect();
        Ok(Bed {
            forwards: Mutex::default(),
            nodes,
            rig,
            cuts: Mutex::default(),
            _template: template,
            _image: image,
        })
    }

    /// Machine `index`, from 1.
    ///
    /// # Panics
    /// If there is none of that number.
    #[must_use]
    #[expect(
        clippy::panic,
        reason = "a number that isn't there is a slip of the test itself"
    )]
    pub fn node(&self, index: usize) -> &Node {
        let node = index.checked_sub(1).and_then(|index| self.nodes.get(index));
        node.unwrap_or_else(|| panic!("the bed has machines 1 to {}", self.nodes.len()))
    }

    /// All machines, in their order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Drops every packet between machines `a` and `b`, until [`Bed::heal`].
    pub fn cut(&self, a: usize, b: usize) -> Result<()> {
        self.add_cuts([(a, b), (b, a)])
    }

    /// Drops every packet from machine `from` to machine `to`; the other way they pass.
    pub fn cut_one_way(&self, from: usize, to: usize) -> Result<()> {
        self.add_cuts([(from, to)])
    }

    /// Cuts machine `index` off from all others.
    pub fn isolate(&self, index: usize) -> Result<()> {
        let others = (1..=self.nodes.len()).filter(|other| *other != index);
        self.add_cuts(others.flat_map(|other| [(index, other), (other, index)]))
    }

    /// Takes back all cuts.
    pub fn heal(&self) -> Result<()> {
        let mut cuts = lock(&self.cuts);
        cuts.clear();
        self.apply(&cuts)
    }

    /// Passes connections to the given port of 127.0.0.1 on to `port` of machine `index`, as long as
    /// the bed lives. Cuts don't touch them: they come from the bed's own address.
    pub fn forward(&self, index: usize, port: u16) -> Result<u16> {
        let last = u8::try_from(self.node(index).number())?;
        let target = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 99, 0, last)), port);
        let forward = Forward::start(self.rig.cell.network(), target)?;
        let local = forward.port();
        lock(&self.forwards).push(forward);
        Ok(local)
    }

    fn add_cuts(&self, pairs: impl IntoIterator<Item = (usize, usize)>) -> Result<()> {
        let mut cuts = lock(&self.cuts);
        for (from, to) in pairs {
            cuts.insert((self.node(from).number(), self.node(to).number()));
        }
        self.apply(&cuts)
    }

    /// Makes the bridge drop just these; all at once, as nft does.
    fn apply(&self, cuts: &BTreeSet<(usize, usize)>) -> Result<()> {
        let mut rules = "add table bridge bed\n\
             add chain bridge bed forward { type filter hook forward priority 0; }\n\
             flush chain bridge bed forward\n"
            .to_owned();
        for (from, to) in cuts {
            writeln!(
                rules,
                "add rule bridge bed forward iifname t{from} oifname t{to} drop"
            )?;
        }
        let host = self.rig.cell.host("network".to_owned());
        let output = host.run("nft -f -", rules.as_bytes(), seconds(COMMAND_LIMIT_S))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status == 0, "cutting the bed's network: nft: {said}");
        Ok(())
    }
}
