//! The forms of commands the plugin asks to run. Each dataset argument lies below the configured pool.

/// `zfs`.
pub(crate) const ZFS: [&str; 34] = [
    "version",
    "get -H -p -o name,property,value,source {word} {config.pool}",
    "get -H -p -r -d {1|2} -o name,property,value,source {word} {config.pool}",
    "get -H -p -r? -d? {1|2}? -o name,property,value,source {word} {config.pool}/{path}",
    "create -ocanmount={noauto|off} -oatime=off? -ocompression={lz4|zstd|off}? -orecordsize={number}? \
     -orefquota={number}? -orefreservation={number}? -ocairn:{word}* {config.pool}/{path}",
    "create -s? -b{number} -ocompression={lz4|zstd|off}? -ocairn:{word}* -V {number} {config.pool}/{name}",
    "clone -ocanmount=noauto? -oreadonly=on? -ovolmode=none? -ocairn:{word}* {config.pool}/{name}@{name} {config.pool}/{path}",
    "destroy -n? -r? {config.pool}/{path}",
    "destroy {config.pool}/{name}@{name}",
    "rename {config.pool}/{name} {config.pool}/{name}",
    "rename {config.pool}/cairn-incoming/{name}/data {config.pool}/{name}",
    "promote {config.pool}/{name}",
    "promote {config.pool}/cairn-removed/{name}",
    "set canmount=noauto? readonly={on|off}? cairn:{word}* {config.pool}/{path}",
    "set cairn:{word}+ readonly=off {config.pool}/{name}",
    "set cairn:{word}+ {config.pool}/{path}@{name}",
    "set {volsize|quota|refquota|refreservation}={number} {config.pool}/{name}",
    "set quota=none {config.pool}/{name}",
    "inherit cairn:content {config.pool}/{name}",
    "inherit {sharenfs|sharesmb|mountpoint|exec|setuid|devices} {config.pool}/{name}",
    "inherit {sharenfs|sharesmb|mountpoint|exec|setuid|devices} {config.pool}/cairn-incoming/{name}/data",
    "mount {config.pool}/{path}",
    "unmount {config.pool}/{path}",
    "snapshot -ocairn:size={number}? {config.pool}/{name}@{name}+",
    "rollback {config.pool}/{name}@{name}",
    "hold {name} {config.pool}/{name}@{name}",
    "release {name} {config.pool}/{name}@{name}",
    "holds -H {config.pool}/{name}@{name}+",
    "send -n? -P? -w? {config.pool}/{name}@{name}",
    "send -n? -P? -w? -i {config.pool}/{name}@{name} {config.pool}/{name}@{name}",
    "send -n? -P? -t {word}",
    "receive -A {config.pool}/{path}",
    "receive -u {config.pool}/{path}",
    "receive -u -s -x sharenfs -x sharesmb -x mountpoint -x exec -x setuid -x devices -x canmount \
     {config.pool}/{path}",
];

/// `zpool`.
pub(crate) const ZPOOL: [&str; 1] = ["list -H -o name,guid,health,capacity {name}"];

/// For the file of a disk where the tools have no zvols.
pub(crate) const INSTALL: [&str; 1] = ["-m 0600 /dev/null /{path}/disk.raw"];
/// Its length; never makes a file.
pub(crate) const TRUNCATE: [&str; 1] = ["-c -s {number} /{path}/disk.raw"];
/// Waits until a zvol's device is there.
pub(crate) const UDEVADM: [&str; 2] = [
    "settle --timeout=10 --exit-if-exists=/dev/zvol/{config.pool}/{path}",
    "settle --timeout=10",
];
/// Says which processes have a zvol's device open.
pub(crate) const FUSER: [&str; 1] = ["/dev/zvol/{config.pool}/{path}"];

#[cfg(test)]
mod tests {
    use cairn_core::grant::{CommandGrant, check_forms};
    use cairn_core::plugin::CommandAsk;
    use serde_json::json;

    use super::*;
    use crate::plan;
    use crate::record::{LIST_PROPERTIES, MORE_PROPERTIES};
    use crate::zfs::Dialect;

    fn ask(command: &str, forms: &[&str]) -> CommandAsk {
        CommandAsk {
            command: command.to_owned(),
            arguments: forms.iter().map(|f| (*f).to_owned()).collect(),
            why: String::new(),
            optional: false,
        }
    }

    #[test]
    fn forms_follow_the_language() {
        for (command, forms) in [
            ("zfs", &ZFS[..]),
            ("zpool", &ZPOOL),
            ("install", &INSTALL),
            ("truncate", &TRUNCATE),
            ("udevadm", &UDEVADM),
            ("fuser", &FUSER),
        ] {
            check_forms(&ask(command, forms)).unwrap();
        }
    }

    fn planned() -> Vec<Vec<String>> {
        let own = |name: &'static str, value: &str| (name, value.to_owned());
        let meta = [own("cairn:format", "raw"), own("cairn:notes", "~a+%25")];
        let disk = [
            own("atime", "off"),
            own("recordsize", "16384"),
            own("cairn:format", "raw"),
        ];
        let size = [
            (own("tank/vms/a", "").0.to_owned(), Some(1)),
            ("tank/vms/b".to_owned(), None),
        ];
        let mut all = vec![
            plan::create_filesystem("tank/vms/a", &disk),
            plan::create_holder("tank/vms/cairn-incoming/a", &meta),
            plan::create_zvol("tank/vms/a", 5, 16384, true, &meta),
            plan::create_zvol("tank/vms/a", 5, 16384, false, &meta),
            plan::clone("tank/vms/a@s:1", "tank/vms/c", false, &meta),
            plan::clone(
                "tank/vms/a@s",
                "tank/vms/cairn-views/a:s",
                true,
                &[own("readonly", "on")],
            ),
            plan::stand_in("tank/vms/a", "s", "tank/vms/cairn-removed/a", true),
            plan::stand_in("tank/vms/a", "s", "tank/vms/cairn-removed/a", false),
            plan::words(["promote", "tank/vms/cairn-removed/a"]),
            plan::words(["destroy", "-n", "-r", "tank/vms/a"]),
            plan::words(["receive", "-A", "tank/vms/a"]),
            plan::send("tank/vms/a", "s", None, plan::PLAIN_STREAM),
            plan::send("tank/vms/a", "s", Some("r"), plan::RAW_STREAM),
            plan::estimate(&plan::send("tank/vms/a", "s", Some("r"), plan::RAW_STREAM)),
        ];
        for dialect in [Dialect::Fuse, Dialect::Open(String::new())] {
            all.extend(plan::snapshot(&dialect, &size, "s"));
            all.extend(plan::set(&dialect, "tank/vms/a", &meta));
            all.extend(plan::set(&dialect, "tank/vms/a@s", &meta));
            all.push(plan::receive(&dialect, "tank/vms/a"));
            all.push(plan::receive(&dialect, "tank/vms/cairn-incoming/a/data"));
        }
        for property in plan::NOT_FROM_STREAMS {
            all.push(plan::words(["inherit", property, "tank/vms/a"]));
            let data = "tank/vms/cairn-incoming/a/data";
            all.push(plan::words(["inherit", property, data]));
        }
        let properties = format!("{LIST_PROPERTIES},{MORE_PROPERTIES}");
        let columns = "name,property,value,source";
        all.push(plan::words([
            "get",
            "-H",
            "-p",
            "-r",
            "-d",
            "1",
            "-o",
            columns,
            &properties,
            "tank/vms",
        ]));
        all
    }

    #[test]
    fn what_is_planned_is_asked_for() {
        let config = json!({"pool": "tank/vms"});
        let grant = CommandGrant::compile(&ask("zfs", &ZFS), &config).unwrap();
        for line in planned() {
            assert!(grant.allows(&line), "{}", line.join(" "));
            let elsewhere: Vec<String> = line
                .iter()
                .map(|w| w.replace("tank/vms", "tank/home"))
                .collect();
            assert!(!grant.allows(&elsewhere), "{}", elsewhere.join(" "));
        }
        for refused in [
            "destroy -r tank/vms",
            "destroy tank",
            "create -omountpoint=/etc tank/vms/a",
            "destroy -R tank/vms/a",
            "receive -u -F tank/vms/a",
            "receive -u -o mountpoint=/etc tank/vms/a",
            "inherit readonly tank/vms/a",
            "inherit -S mountpoint tank/vms/a",
            "inherit mountpoint tank/vms",
        ] {
            let line: Vec<String> = refused.split(' ').map(str::to_owned).collect();
            assert!(!grant.allows(&line), "{refused}");
        }
    }
}
