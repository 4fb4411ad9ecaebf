//! The saved state of one booted machine, from which beds start in seconds.
//!
//! It is taken before the machine has a name, and before ZFS is loaded: image/guest/vmident says
//! why. It fits one image, one kind of machine and one version of QEMU.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::bed::Rig;
use crate::cache::{self, Held};
use crate::host::command;
use crate::image::short;
use crate::limits::{
    BOOT_LIMIT_S, DATA_DISK_BYTES, IDENTITY_LIMIT_S, MACHINE_MEMORY_MIB, MONITOR_LIMIT_S,
    QEMU_MAJOR_MIN, SAVE_LIMIT_S,
};
use crate::machine::{Machine, Model};
use crate::wait::{seconds, wait_until};

/// What all machines are made of. Always TCG: a saved state of it runs under nothing else.
pub(crate) fn model(image: &Path) -> Model {
    let kernel = "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check tsc=reliable \
                  cryptomgr.notests apparmor=0";
    let file = |name| image.join(name).display().to_string();
    // With room for 64 MiB of translated code, a daemon's debug build was translated again and again, and
    // took twice as long. A second processor costs more than it brings.
    let fixed = "-nodefaults -no-user-config -display none -no-reboot -cpu qemu64 -smp 1 \
                 -accel tcg,thread=multi,tb-size=256";
    let mut model: Model = fixed.split_whitespace().map(str::to_owned).collect();
    model.extend(["-m".to_owned(), MACHINE_MEMORY_MIB.to_string()]);
    model.extend([
        "-kernel".to_owned(),
        file("vmlinuz"),
        "-initrd".to_owned(),
        file("initrd.gz"),
    ]);
    model.extend(["-append".to_owned(), kernel.to_owned()]);
    model
}

/// The saved state of a machine of `image`, made if there is none: `root.qcow2` and `state`.
pub(crate) fn ensure(image: &Held) -> Result<Held> {
    let mut digest = Sha256::new();
    let made_of = (model(&image.dir), DATA_DISK_BYTES, qemu_version()?);
    digest.update(format!("{made_of:?}"));
    let name = format!("template-{}", short(digest));
    let dir = image.dir.join(&name);
    let _lock = cache::lock(&image.dir)?;
    cache::discard(&image.dir, |other| {
        other.contains("template-") && other != name
    })?;
    if !dir.exists() {
        let work = tempfile::Builder::new()
            .prefix(".template-")
            .tempdir_in(&image.dir)?;
        let rig = Rig::new(&image.dir, 1)?;
        for machine in &rig.machines {
            save(machine, &image.dir, work.path()).context("saving a booted machine's state")?;
        }
        fs::rename(work.keep(), &dir)?;
    }
    cache::hold(dir)
}

fn save(machine: &Machine, image: &Path, work: &Path) -> Result<()> {
    machine.make_disks(&image.join("root.ext4"), "raw")?;
    machine.power_on(None)?;
    machine.wait_agent(seconds(BOOT_LIMIT_S))?;
    let settled = "sync; echo 3 >/proc/sys/vm/drop_caches";
    machine.run(settled, None, seconds(IDENTITY_LIMIT_S))?;
    machine.disconnect();
    machine.qmp("stop", json!({}))?;
    let uri = format!("file:{}", work.join("state").display());
    machine.qmp("migrate", json!({ "uri": uri }))?;
    wait_until(
        "the state is saved",
        seconds(SAVE_LIMIT_S),
        || match machine.qmp("query-migrate", json!({})) {
            Err(error) => Some(Err(error)),
            Ok(progress) => match progress.get("status").and_then(Value::as_str) {
                Some("completed") => Some(Ok(())),
                Some("failed" | "cancelled") => Some(Err(anyhow::anyhow!("{progress}"))),
                _ => None,
            },
        },
    )??;
    // In order, so that its disk is whole.
    machine.qmp("quit", json!({}))?;
    machine.wait_off(seconds(MONITOR_LIMIT_S))?;
    fs::copy(machine.file("root"), work.join("root.qcow2"))?;
    Ok(())
}

/// Why this machine's QEMU won't do, if so.
pub(crate) fn qemu_too_old() -> Option<String> {
    let version = match qemu_version() {
        Ok(version) => version,
        Err(error) => return Some(error.to_string()),
    };
    let major = version
        .split("version ")
        .nth(1)
        .and_then(|rest| rest.split('.').next());
    match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major >= QEMU_MAJOR_MIN => None,
        _ => Some(format!(
            "needs QEMU {QEMU_MAJOR_MIN} or later, this is {version}"
        )),
    }
}

/// The first line of what QEMU says of itself.
fn qemu_version() -> Result<String> {
    let output = command(&[], "qemu-system-x86_64").arg("--version").output();
    let output = output.context("qemu-system-x86_64")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match text.lines().next() {
        Some(line) => Ok(line.to_owned()),
        None => bail!("qemu-system-x86_64 doesn't tell its version"),
    }
}
