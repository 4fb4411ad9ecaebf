//! `cairn volume …`

use cairn_core::Error;
use cairn_core::names::VolumeId;
use cairn_core::storage::{Attachment, Content, Format, Snapshot, Volume};
use cairn_node::records::{Attached, Copied, VolumeDetail, VolumePage};
use serde_json::{Value, json};

use super::read;
use crate::arguments::{ContentName, FormatName, VolumeCommand};
use crate::client::{Client, segment};
use crate::output::{Output, bytes, clean, facts, moment, say, table};

pub(super) async fn run(
    command: &VolumeCommand,
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    match command {
        VolumeCommand::Create {
            volume,
            size,
            format,
            content,
            guest,
        } => {
            let spec = json!({
                "name": volume.name, "size_bytes": size, "format": format.map(Format::from),
                "content": Content::from(*content), "guest": guest,
            });
            let path = format!("storage/{}/volumes", volume.storage);
            made(client.post(&path, &spec).await?, "is there", volume, output)
        }
        VolumeCommand::List {
            storage,
            guest,
            content,
        } => {
            let mut only = guest.map(|g| format!("&guest={g}")).unwrap_or_default();
            if let Some(content) = content {
                only.push_str(&format!("&content={}", word(&Content::from(*content))));
            }
            list(storage.as_str(), &only, client, output).await
        }
        VolumeCommand::Show { volume } => show(volume, client, output).await,
        VolumeCommand::Set {
            volume,
            notes,
            protected,
            guest,
        } => {
            let changes = json!({"notes": notes, "protected": protected, "guest": guest});
            made(
                client.patch(&path(volume), &changes).await?,
                "is changed",
                volume,
                output,
            )
        }
        VolumeCommand::Resize {
            volume,
            size,
            shrink,
        } => {
            let body = json!({"size_bytes": size, "shrink": shrink});
            made(
                client.post(&below(volume, "resize"), &body).await?,
                "is resized",
                volume,
                output,
            )
        }
        VolumeCommand::Rename { volume, name } => {
            let document = client
                .post(&below(volume, "rename"), &json!({"name": name}))
                .await?;
            made(document, "has its new name", volume, output)
        }
        VolumeCommand::Remove { volume } => {
            client.delete(&path(volume)).await?;
            done(
                json!({"removed": volume.to_string()}),
                &format!("volume {volume} is gone"),
                output,
            )
        }
        VolumeCommand::Clone {
            volume,
            snapshot,
            name,
            guest,
            size,
        } => {
            let body =
                json!({"name": name, "snapshot": snapshot, "guest": guest, "size_bytes": size});
            made(
                client.post(&below(volume, "clone"), &body).await?,
                "is cloned",
                volume,
                output,
            )
        }
        VolumeCommand::Dependants { volume, snapshot } => {
            let only = snapshot
                .as_ref()
                .map(|s| format!("?snapshot={}", segment(s.as_str())))
                .unwrap_or_default();
            dependants(volume, &only, client, output).await
        }
        VolumeCommand::Flatten { volume } => made(
            client.post(&below(volume, "flatten"), &json!({})).await?,
            "stands alone",
            volume,
            output,
        ),
        VolumeCommand::Template { volume, undo } => {
            let body = json!({"template": !undo});
            made(
                client.post(&below(volume, "template"), &body).await?,
                "is changed",
                volume,
                output,
            )
        }
        VolumeCommand::Attach {
            volume,
            epoch,
            read_only,
            snapshot,
        } => {
            let body = json!({"epoch": epoch, "read_only": read_only, "snapshot": snapshot});
            attached(client.post(&below(volume, "attach"), &body).await?, output)
        }
        VolumeCommand::Detach {
            volume,
            epoch,
            force,
        } => {
            let body = json!({"epoch": epoch, "force": force});
            client.post(&below(volume, "detach"), &body).await?;
            done(
                json!({"detached": volume.to_string()}),
                &format!("volume {volume} is detached"),
                output,
            )
        }
        VolumeCommand::Copy {
            volume,
            snapshot,
            to,
            base,
        } => {
            let body = json!({"snapshot": snapshot, "to_storage": to.storage, "to_name": to.name, "base": base});
            copied(
                client.post(&below(volume, "copy"), &body).await?,
                to,
                output,
            )
        }
        _ => snapshot(command, client, output).await,
    }
}

async fn snapshot(command: &VolumeCommand, client: &Client, output: &Output) -> Result<(), Error> {
    match command {
        VolumeCommand::Snapshot { volumes, name } => {
            let Some(first) = volumes.first() else {
                return Err(Error::invalid("volume", "name at least one"));
            };
            if let Some(other) = volumes.iter().find(|v| v.storage != first.storage) {
                let rule = format!(
                    "{first} and {other} are on two storages; only volumes of one can be taken at once"
                );
                return Err(Error::invalid("volume", rule));
            }
            let names: Vec<&str> = volumes.iter().map(|v| v.name.as_str()).collect();
            let body = json!({"volumes": names, "name": name});
            let document = client
                .post(&format!("storage/{}/snapshots", first.storage), &body)
                .await?;
            let taken: Vec<Snapshot> = read(&document)?;
            output.show(&document, || show_snapshots(&taken));
            Ok(())
        }
        VolumeCommand::Snapshots { volume } => {
            let document = client.get(&below(volume, "snapshots")).await?;
            let found: Vec<Snapshot> = read(&document)?;
            output.show(&document, || show_snapshots(&found));
            Ok(())
        }
        VolumeCommand::RemoveSnapshot { volume, name } => {
            client
                .delete(&below(volume, &format!("snapshots/{name}")))
                .await?;
            done(
                json!({"removed": format!("{volume}@{name}")}),
                &format!("snapshot {volume}@{name} is gone"),
                output,
            )
        }
        VolumeCommand::Hold { volume, name, tag } => {
            let path = below(volume, &format!("snapshots/{name}/holds/{}", segment(tag)));
            client.put(&path, &json!({})).await?;
            done(
                json!({"held": format!("{volume}@{name}"), "tag": tag}),
                &format!("{volume}@{name} is held by {tag}"),
                output,
            )
        }
        VolumeCommand::Release { volume, name, tag } => {
            let path = below(volume, &format!("snapshots/{name}/holds/{}", segment(tag)));
            client.delete(&path).await?;
            done(
                json!({"released": format!("{volume}@{name}"), "tag": tag}),
                &format!("{tag} holds {volume}@{name} no more"),
                output,
            )
        }
        VolumeCommand::Rollback { volume, name } => {
            client
                .post(
                    &below(volume, &format!("snapshots/{name}/rollback")),
                    &json!({}),
                )
                .await?;
            done(
                json!({"rolled_back": format!("{volume}@{name}")}),
                &format!("volume {volume} is what it was at {name}"),
                output,
            )
        }
        _ => Err(Error::internal("a command without its action")),
    }
}

fn path(volume: &VolumeId) -> String {
    format!("storage/{}/volumes/{}", volume.storage, volume.name)
}

fn below(volume: &VolumeId, what: &str) -> String {
    format!("{}/{what}", path(volume))
}

fn done(document: Value, sentence: &str, output: &Output) -> Result<(), Error> {
    output.show(&document, || say(sentence));
    Ok(())
}

fn made(document: Value, what: &str, asked: &VolumeId, output: &Output) -> Result<(), Error> {
    let volume: Volume = read(&document)?;
    output.show(&document, || {
        say(format!("volume {}:{} {what}", asked.storage, volume.name));
        show_volume(&volume);
    });
    Ok(())
}

fn attached(document: Value, output: &Output) -> Result<(), Error> {
    let attached: Attached = read(&document)?;
    output.show(&document, || {
        let (kind, path) = match &attached.attachment {
            Attachment::BlockDevice(path) => ("block device", path),
            Attachment::File(path) => ("file", path),
            Attachment::Uri(uri) => ("URI", uri),
            Attachment::Directory(path) => ("directory", path),
        };
        facts(&[(kind, path.clone()), ("epoch", attached.epoch.to_string())]);
    });
    Ok(())
}

fn copied(document: Value, to: &VolumeId, output: &Output) -> Result<(), Error> {
    let copied: Copied = read(&document)?;
    output.show(&document, || {
        say(clean(&format!(
            "{} went over as {}; {to}@{} is there (guid {})",
            bytes(copied.bytes),
            copied.format,
            copied.snapshot.name,
            copied.snapshot.guid
        )));
    });
    Ok(())
}

async fn list(storage: &str, only: &str, client: &Client, output: &Output) -> Result<(), Error> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let document = client
            .get(&format!(
                "storage/{storage}/volumes?limit=10000{only}{after}"
            ))
            .await?;
        let page: VolumePage = read(&document)?;
        all.extend(page.volumes);
        match page.next {
            Some(next) => after = format!("&after={}", segment(&next)),
            None => break,
        }
    }
    output.show(&all, || {
        let rows = all.iter().map(|v| {
            let parent = v
                .parent
                .as_ref()
                .map(|p| format!("{}@{}", p.volume, p.snapshot))
                .unwrap_or_default();
            vec![
                v.name.clone(),
                word(&v.format),
                bytes(v.size_bytes),
                v.used_bytes.map(bytes).unwrap_or_default(),
                v.guest.map(|g| g.to_string()).unwrap_or_default(),
                parent,
            ]
        });
        table(
            &["name", "format", "size", "used", "guest", "clone of"],
            rows.collect(),
            "no volumes; `cairn volume create STORAGE:NAME --size SIZE` makes one",
        );
    });
    Ok(())
}

async fn dependants(
    volume: &VolumeId,
    only: &str,
    client: &Client,
    output: &Output,
) -> Result<(), Error> {
    let document = client
        .get(&below(volume, &format!("dependants{only}")))
        .await?;
    let found: Vec<String> = read(&document)?;
    output.show(&document, || {
        let rows = found.into_iter().map(|name| vec![name]).collect();
        table(&["volume"], rows, "nothing stands on it");
    });
    Ok(())
}

async fn show(volume: &VolumeId, client: &Client, output: &Output) -> Result<(), Error> {
    let document = client.get(&path(volume)).await?;
    let detail: VolumeDetail = read(&document)?;
    output.show(&document, || {
        show_volume(&detail.volume);
        for holder in &detail.holders {
            let how = if holder.read_only {
                ", for reading"
            } else {
                ""
            };
            say(clean(&format!(
                "attached on node {} under epoch {}{how}",
                holder.node, holder.epoch
            )));
        }
    });
    Ok(())
}

fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn show_volume(volume: &Volume) {
    let mut rows = vec![
        ("name", volume.name.clone()),
        ("content", word(&volume.content)),
        ("format", word(&volume.format)),
        ("size", bytes(volume.size_bytes)),
        (
            "used",
            volume.used_bytes.map_or("unknown".to_owned(), bytes),
        ),
        ("epoch", volume.epoch.to_string()),
    ];
    if let Some(created) = volume.created_ms {
        rows.push(("made", moment(created)));
    }
    if let Some(parent) = &volume.parent {
        rows.push(("clone of", format!("{}@{}", parent.volume, parent.snapshot)));
    }
    if let Some(guest) = volume.guest {
        rows.push(("guest", guest.to_string()));
    }
    if !volume.notes.is_empty() {
        rows.push(("notes", volume.notes.clone()));
    }
    if volume.protected {
        rows.push(("protected", "it can't be removed".to_owned()));
    }
    if volume.template {
        rows.push(("template", "a source for clones only".to_owned()));
    }
    for (key, value) in &volume.properties {
        rows.push(("property", format!("{key} = {value}")));
    }
    facts(&rows);
}

fn show_snapshots(snapshots: &[Snapshot]) {
    let rows = snapshots.iter().map(|s| {
        vec![
            s.volume.clone(),
            s.name.clone(),
            moment(s.created_ms),
            s.guid.clone(),
            bytes(s.size_bytes),
            s.used_bytes.map(bytes).unwrap_or_default(),
            s.holds.join(", "),
        ]
    });
    table(
        &[
            "volume", "snapshot", "taken", "guid", "size", "used", "held by",
        ],
        rows.collect(),
        "no snapshots; `cairn volume snapshot STORAGE:NAME SNAPSHOT` takes one",
    );
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Raw => Self::Raw,
            FormatName::Qcow2 => Self::Qcow2,
            FormatName::Vmdk => Self::Vmdk,
            FormatName::Directory => Self::Directory,
        }
    }
}

impl From<ContentName> for Content {
    fn from(name: ContentName) -> Self {
        match name {
            ContentName::Images => Self::Images,
            ContentName::Rootdir => Self::Rootdir,
            ContentName::Iso => Self::Iso,
            ContentName::Templates => Self::Templates,
            ContentName::Backup => Self::Backup,
            ContentName::Snippets => Self::Snippets,
        }
    }
}
