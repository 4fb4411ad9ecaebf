//! `cairn-bed`: builds the test machines' image ahead of the tests, and shows that a bed works.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use cairn_bed::{Bed, Place, ZfsFuse, image};

const USAGE: &str = "usage: cairn-bed image      finds or builds the image; prints its folder
       cairn-bed smoke [N]  starts N machines (1), and tries them
       cairn-bed hold KIND  starts a place (local, zfs-fuse or vm), prints \"held\", and ends it
                            when its input ends: shows that nothing is left of it";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["image"] => build(),
        ["smoke"] => smoke(1),
        ["smoke", count] => match count.parse() {
            Ok(count) => smoke(count),
            Err(_) => return usage(),
        },
        ["hold", kind @ ("local" | "zfs-fuse" | "vm")] => hold(kind),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cairn-bed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn build() -> Result<()> {
    if let Some(reason) = Bed::missing() {
        bail!("{reason}");
    }
    println!("{}", image::ensure()?.display());
    Ok(())
}

fn smoke(count: usize) -> Result<()> {
    if let Some(reason) = Bed::missing() {
        bail!("{reason}");
    }
    let begin = Instant::now();
    image::ensure()?;
    println!("image: {:.1} s", begin.elapsed().as_secs_f32());
    let begin = Instant::now();
    let bed = Bed::up(count)?;
    println!("{count} up: {:.1} s", begin.elapsed().as_secs_f32());
    for node in bed.nodes() {
        let begin = Instant::now();
        node.sh("zpool create -O mountpoint=/tank tank mirror virtio-data-a virtio-data-b")?;
        let said =
            node.sh("echo hello >/tank/f; zfs snapshot tank@s; cat /tank/.zfs/snapshot/s/f")?;
        ensure!(
            said == "hello\n",
            "{}: read {said:?} from the snapshot",
            node.name()
        );
        let seconds = begin.elapsed().as_secs_f32();
        println!("{}: pool, file, snapshot: {seconds:.1} s", node.name());
    }
    Ok(())
}

/// Holds one place, with a program in its background, until the input ends.
fn hold(kind: &str) -> Result<()> {
    let (fuse, bed) = match kind {
        "zfs-fuse" => (Some(ZfsFuse::start()?), None),
        "vm" => (None, Some(Bed::up(1)?)),
        _ => (None, None),
    };
    let place = match (&fuse, &bed) {
        (Some(fuse), _) => fuse.place(),
        (_, Some(bed)) => bed.node(1).place(),
        _ => Place::local(),
    };
    if let Some(fuse) = &fuse {
        fuse.create_pool("tank", 64 << 20)?;
    }
    let log = std::env::temp_dir().join("program.log");
    let running = place.start("sleep 3600 & exec sleep 3601", &log)?;
    println!("held");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(running);
    if kind == "local" {
        std::fs::remove_file(&log)?;
    }
    Ok(())
}
