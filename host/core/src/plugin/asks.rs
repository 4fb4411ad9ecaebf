//! What a plugin asks for, and what of it was granted: programs, directories, servers, secrets.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A program a plugin wants to run, and the forms of its argument list (see [`crate::grant`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandAsk {
    /// The program's name.
    pub command: String,
    /// Allowed forms of the argument list.
    pub arguments: Vec<String>,
    /// Why, for the operator.
    pub why: String,
    /// The plugin also works without it.
    pub optional: bool,
}

/// What may be done with files under a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileAccess {
    /// Reading only.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// A directory a plugin wants to use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileAsk {
    /// An absolute path, or `{config.KEY}`.
    pub directory: String,
    /// What it wants to do there.
    pub access: FileAccess,
    /// Why, for the operator.
    pub why: String,
}

/// A server a plugin wants to reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HttpAsk {
    /// `host` or `host:port`, or `{config.KEY}` for either part; `http://` before it allows plain HTTP.
    pub host: String,
    /// Methods, upper case.
    pub methods: Vec<String>,
    /// Why, for the operator.
    pub why: String,
}

/// A secret field of the configuration a plugin wants to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretAsk {
    /// The field in the configuration schema.
    pub name: String,
    /// Why, for the operator.
    pub why: String,
}

/// What a plugin asks for, or the part of it that was granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Asks {
    /// Programs.
    pub commands: Vec<CommandAsk>,
    /// Directories.
    pub files: Vec<FileAsk>,
    /// Servers.
    pub http: Vec<HttpAsk>,
    /// Secrets.
    pub secrets: Vec<SecretAsk>,
}

impl Asks {
    /// The name of each ask as `--grant` takes it: `command:zfs`, `files:{config.path}`,
    /// `http:HOST`, `secret:NAME`, in this order.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let commands = self
            .commands
            .iter()
            .map(|a| format!("command:{}", a.command));
        let files = self.files.iter().map(|a| format!("files:{}", a.directory));
        let http = self.http.iter().map(|a| format!("http:{}", a.host));
        let secrets = self.secrets.iter().map(|a| format!("secret:{}", a.name));
        commands.chain(files).chain(http).chain(secrets).collect()
    }

    /// The part of it whose ids are among `ids`.
    #[must_use]
    pub fn select(&self, ids: &[String]) -> Self {
        let has = |id: String| ids.contains(&id);
        Self {
            commands: keep(&self.commands, |a| has(format!("command:{}", a.command))),
            files: keep(&self.files, |a| has(format!("files:{}", a.directory))),
            http: keep(&self.http, |a| has(format!("http:{}", a.host))),
            secrets: keep(&self.secrets, |a| has(format!("secret:{}", a.name))),
        }
    }

    /// Ids of what it can't work without: everything but commands said to be optional.
    #[must_use]
    pub fn required_ids(&self) -> Vec<String> {
        let mut needed = self.clone();
        needed.commands.retain(|a| !a.optional);
        needed.ids()
    }

    /// The part of it that `granted` covers: of each ask what was granted of it before, and nothing of
    /// one that wasn't.
    #[must_use]
    pub fn within(&self, granted: &Self) -> Self {
        let commands = self.commands.iter().filter_map(|ask| {
            let had = granted.commands.iter().find(|g| g.command == ask.command)?;
            let mut kept = ask.clone();
            kept.arguments.retain(|form| had.arguments.contains(form));
            (!kept.arguments.is_empty() || ask.arguments.is_empty()).then_some(kept)
        });
        let files = self.files.iter().filter_map(|ask| {
            let had = granted
                .files
                .iter()
                .find(|g| g.directory == ask.directory)?;
            let mut kept = ask.clone();
            if had.access == FileAccess::Read {
                kept.access = FileAccess::Read;
            }
            Some(kept)
        });
        let http = self.http.iter().filter_map(|ask| {
            let had = granted.http.iter().find(|g| g.host == ask.host)?;
            let mut kept = ask.clone();
            kept.methods.retain(|method| had.methods.contains(method));
            (!kept.methods.is_empty()).then_some(kept)
        });
        let has = |ask: &SecretAsk| granted.secrets.iter().any(|g| g.name == ask.name);
        Self {
            commands: commands.collect(),
            files: files.collect(),
            http: http.collect(),
            secrets: keep(&self.secrets, has),
        }
    }

    /// Adds these asks to it.
    pub fn extend(&mut self, more: Self) {
        self.commands.extend(more.commands);
        self.files.extend(more.files);
        self.http.extend(more.http);
        self.secrets.extend(more.secrets);
    }

    /// What of this isn't granted, for people: the id of an ask of which nothing is, and of one that is
    /// granted in part what is missing.
    #[must_use]
    pub fn ungranted(&self, granted: &Self) -> Vec<String> {
        let had = granted.ids();
        let missing = self.ids().into_iter().map(|id| {
            if had.contains(&id) {
                self.select(&[id]).beyond(granted)
            } else {
                vec![id]
            }
        });
        missing.flatten().collect()
    }

    /// What of this goes beyond `granted`, word for word: a new program, a new form of arguments,
    /// a directory for writing that was for reading, a new method. Reasons don't count.
    #[must_use]
    pub fn beyond(&self, granted: &Self) -> Vec<String> {
        let mut more = Vec::new();
        for ask in &self.commands {
            let had = granted.commands.iter().find(|g| g.command == ask.command);
            for form in &ask.arguments {
                if !had.is_some_and(|g| g.arguments.contains(form)) {
                    more.push(format!("command:{} {form}", ask.command));
                }
            }
        }
        for ask in &self.files {
            let had = granted.files.iter().find(|g| g.directory == ask.directory);
            if !had.is_some_and(|g| g.access == ask.access || g.access == FileAccess::ReadWrite) {
                let how = match ask.access {
                    FileAccess::Read => "read",
                    FileAccess::ReadWrite => "read-write",
                };
                more.push(format!("files:{} {how}", ask.directory));
            }
        }
        for ask in &self.http {
            let had = granted.http.iter().find(|g| g.host == ask.host);
            for method in &ask.methods {
                if !had.is_some_and(|g| g.methods.contains(method)) {
                    more.push(format!("http:{} {method}", ask.host));
                }
            }
        }
        for ask in &self.secrets {
            if !granted.secrets.iter().any(|g| g.name == ask.name) {
                more.push(format!("secret:{}", ask.name));
            }
        }
        more
    }
}

fn keep<T: Clone>(asks: &[T], wanted: impl Fn(&T) -> bool) -> Vec<T> {
    asks.iter().filter(|a| wanted(a)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(command: &str, forms: &[&str]) -> CommandAsk {
        CommandAsk {
            command: command.to_owned(),
            arguments: forms.iter().map(|f| (*f).to_owned()).collect(),
            why: String::new(),
            optional: false,
        }
    }

    fn asks(commands: &[CommandAsk], access: FileAccess, methods: &[&str]) -> Asks {
        Asks {
            commands: commands.to_vec(),
            files: vec![FileAsk {
                directory: "/srv".to_owned(),
                access,
                why: String::new(),
            }],
            http: vec![HttpAsk {
                host: "bmc".to_owned(),
                methods: methods.iter().map(|m| (*m).to_owned()).collect(),
                why: String::new(),
            }],
            secrets: Vec::new(),
        }
    }

    #[test]
    fn what_was_granted_stays_and_nothing_more() {
        let old = asks(
            &[command("zfs", &["list", "get"])],
            FileAccess::Read,
            &["GET"],
        );
        let new = asks(
            &[command("zfs", &["list", "destroy"]), command("rm", &["x"])],
            FileAccess::ReadWrite,
            &["GET", "POST"],
        );
        let kept = new.within(&old);
        let expected = asks(&[command("zfs", &["list"])], FileAccess::Read, &["GET"]);
        assert_eq!(kept, expected);
        assert!(kept.beyond(&old).is_empty());
        assert_eq!(
            new.ungranted(&kept),
            [
                "command:zfs destroy",
                "command:rm",
                "files:/srv read-write",
                "http:bmc POST"
            ]
        );
        assert_eq!(new.within(&Asks::default()), Asks::default());
        assert!(new.ungranted(&new).is_empty());
    }

    #[test]
    fn an_ask_of_which_nothing_is_left_is_gone() {
        let old = asks(&[command("zfs", &["list"])], FileAccess::Read, &["GET"]);
        let new = asks(&[command("zfs", &["get"])], FileAccess::Read, &["PUT"]);
        let kept = new.within(&old);
        assert_eq!(kept.ids(), ["files:/srv"]);
        assert_eq!(new.ungranted(&kept), ["command:zfs", "http:bmc"]);
    }
}
