//! Argument patterns of granted commands: which argument lists a plugin may run a program with.
//!
//! The language is the one of `command-ask` in `wit/plugin`. Each form becomes one regular expression
//! over the arguments, each ended by a NUL, which no argument can hold: so a word matches exactly one
//! argument, and the cost is linear in the length of the arguments.

use regex::Regex;
use serde_json::Value;

use crate::Error;
use crate::plugin::CommandAsk;

/// Arguments of one command.
const ARGUMENTS_MAX: usize = 4_096;
/// All arguments of one command together.
const ARGUMENTS_MAX_BYTES: usize = 256 << 10;
/// Forms of one program.
const FORMS_MAX: usize = 256;
/// Words of one form.
const WORDS_MAX: usize = 64;

/// The forms a program may be run with, for one configuration.
#[derive(Debug)]
pub struct CommandGrant {
    forms: Vec<Regex>,
}

impl CommandGrant {
    /// Fills the configuration in. A form that needs a key which isn't set, or whose value can't be
    /// an argument, allows nothing.
    ///
    /// # Errors
    /// `invalid` where a form doesn't follow the language; see [`check_forms`].
    pub fn compile(ask: &CommandAsk, config: &Value) -> Result<Self, Error> {
        check_size(ask)?;
        let mut forms = Vec::new();
        for form in &ask.arguments {
            if let Some(pattern) = pattern(&ask.command, form, Some(config))? {
                forms.push(regex(&ask.command, form, &pattern)?);
            }
        }
        Ok(Self { forms })
    }

    /// May the program be run with exactly these arguments?
    #[must_use]
    pub fn allows(&self, arguments: &[String]) -> bool {
        let bytes: usize = arguments.iter().map(String::len).sum();
        let has_nul = arguments.iter().any(|a| a.contains('\0'));
        if has_nul || arguments.len() > ARGUMENTS_MAX || bytes > ARGUMENTS_MAX_BYTES {
            return false;
        }
        let mut line = String::with_capacity(bytes + arguments.len());
        for argument in arguments {
            line.push_str(argument);
            line.push('\0');
        }
        self.forms.iter().any(|form| form.is_match(&line))
    }
}

/// Checks the forms of an ask, whatever the configuration will be.
///
/// # Errors
/// `invalid`, naming the form, the word and what is allowed.
pub fn check_forms(ask: &CommandAsk) -> Result<(), Error> {
    let plain = !ask.command.is_empty() && !ask.command.contains(['/', '\0', ' ']);
    if !plain {
        return Err(Error::invalid(
            "command",
            format!("`{}` must be a program's name, not a path", ask.command),
        ));
    }
    check_size(ask)?;
    for form in &ask.arguments {
        if let Some(pattern) = pattern(&ask.command, form, None)? {
            regex(&ask.command, form, &pattern)?;
        }
    }
    Ok(())
}

fn check_size(ask: &CommandAsk) -> Result<(), Error> {
    if ask.arguments.len() > FORMS_MAX {
        let rule = format!("`{}` has more than {FORMS_MAX} argument forms", ask.command);
        return Err(Error::invalid("arguments", rule));
    }
    Ok(())
}

fn regex(command: &str, form: &str, pattern: &str) -> Result<Regex, Error> {
    Regex::new(pattern).map_err(|_| {
        Error::invalid(
            "arguments",
            format!("`{command} {form}` is too large a form; split it"),
        )
    })
}

/// The regular expression of a form; `None` where the configuration has no usable value for it.
/// Without a configuration, values stand for themselves: only the syntax counts.
fn pattern(command: &str, form: &str, config: Option<&Value>) -> Result<Option<String>, Error> {
    let words: Vec<&str> = form.split(' ').filter(|w| !w.is_empty()).collect();
    if words.len() > WORDS_MAX {
        let rule = format!("`{command} {form}` has more than {WORDS_MAX} words");
        return Err(Error::invalid("arguments", rule));
    }
    let mut whole = String::from(r"\A");
    for word in words {
        let (body, suffix) = match word.char_indices().last() {
            Some((at, c @ ('?' | '*' | '+'))) if at > 0 => {
                (word.get(..at).unwrap_or(word), Some(c))
            }
            _ => (word, None),
        };
        let place = Place {
            command,
            form,
            word,
        };
        let Some(body) = argument(&place, body, config)? else {
            return Ok(None);
        };
        whole.push_str("(?:");
        whole.push_str(&body);
        whole.push_str(r"\x00)");
        whole.extend(suffix);
    }
    whole.push_str(r"\z");
    Ok(Some(whole))
}

/// Where a word stands, for the sentence of an error.
struct Place<'a> {
    command: &'a str,
    form: &'a str,
    word: &'a str,
}

impl Place<'_> {
    fn wrong(&self, what: &str) -> Error {
        Error::invalid(
            "arguments",
            format!(
                "in `{} {}` the word `{}` {what}; allowed are plain text, {{word}}, {{name}}, {{path}}, \
                 {{number}}, {{text}}, {{config.KEY}} and {{a|b|c}}",
                self.command, self.form, self.word
            ),
        )
    }
}

fn argument(
    place: &Place<'_>,
    body: &str,
    config: Option<&Value>,
) -> Result<Option<String>, Error> {
    let mut regex = String::new();
    let mut rest = body;
    while let Some((plain, after)) = rest.split_once('{') {
        let (inside, tail) = after
            .split_once('}')
            .ok_or_else(|| place.wrong("has a `{` without its `}`"))?;
        regex.push_str(&regex::escape(plain));
        let first = regex.is_empty();
        let Some(part) = placeholder(place, inside, first, config)? else {
            return Ok(None);
        };
        regex.push_str(&part);
        rest = tail;
    }
    if rest.contains('}') {
        return Err(place.wrong("has a `}` without its `{`"));
    }
    regex.push_str(&regex::escape(rest));
    Ok(Some(regex))
}

const NAME: &str = "[A-Za-z0-9_][A-Za-z0-9_.:-]*";

fn placeholder(
    place: &Place<'_>,
    inside: &str,
    first: bool,
    config: Option<&Value>,
) -> Result<Option<String>, Error> {
    let regex = match inside {
        "word" => "[A-Za-z0-9_:@%+=,~][A-Za-z0-9_:@%+=,~.-]*".to_owned(),
        "name" => NAME.to_owned(),
        "path" => format!("{NAME}(?:/{NAME})*"),
        "number" => "[0-9]+".to_owned(),
        "text" if first => r"(?:[^\x00-][^\x00]*)?".to_owned(),
        "text" => r"[^\x00]*".to_owned(),
        _ => return special(place, inside, first, config),
    };
    Ok(Some(regex))
}

fn special(
    place: &Place<'_>,
    inside: &str,
    first: bool,
    config: Option<&Value>,
) -> Result<Option<String>, Error> {
    if let Some(key) = inside.strip_prefix("config.") {
        if key.is_empty() {
            return Err(place.wrong("names no configuration key"));
        }
        return Ok(match config {
            None => Some(regex::escape(key)),
            Some(config) => value(config, key, first).map(|v| regex::escape(&v)),
        });
    }
    if inside.contains('|') {
        let choices: Vec<String> = inside.split('|').map(regex::escape).collect();
        return Ok(Some(format!("(?:{})", choices.join("|"))));
    }
    Err(place.wrong(&format!("has `{{{inside}}}`, which means nothing")))
}

/// A configuration value as part of an argument. One that would begin an argument with `-` could be
/// taken for an option, so it never matches.
fn value(config: &Value, key: &str, first: bool) -> Option<String> {
    let text = match config.get(key)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return None,
    };
    let option = first && text.starts_with('-');
    let usable = !(text.is_empty() || text.contains('\0') || option);
    usable.then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn grant(forms: &[&str], config: Value) -> CommandGrant {
        CommandGrant::compile(&ask(forms), &config).unwrap()
    }

    fn ask(forms: &[&str]) -> CommandAsk {
        CommandAsk {
            command: "zfs".to_owned(),
            arguments: forms.iter().map(|f| (*f).to_owned()).collect(),
            why: String::new(),
            optional: false,
        }
    }

    fn allows(grant: &CommandGrant, arguments: &[&str]) -> bool {
        grant.allows(
            &arguments
                .iter()
                .map(|a| (*a).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_word_is_one_argument() {
        let g = grant(&["list -H? -o name {config.pool}"], json!({"pool": "tank"}));
        assert!(allows(&g, &["list", "-H", "-o", "name", "tank"]));
        assert!(allows(&g, &["list", "-o", "name", "tank"]));
        assert!(!allows(&g, &["list", "-o name", "tank"]));
        assert!(!allows(&g, &["list", "-o", "name", "tank", "other"]));
        assert!(!allows(&g, &["list", "-o", "name", "other"]));
        assert!(!allows(&g, &["list", "-o", "name", "tank\0x"]));
        assert!(!allows(&g, &[]));
    }

    #[test]
    fn paths_never_lead_out() {
        let g = grant(
            &["destroy {config.pool}/{path}"],
            json!({"pool": "tank/vms"}),
        );
        assert!(allows(&g, &["destroy", "tank/vms/vm-1"]));
        assert!(allows(&g, &["destroy", "tank/vms/a/b.c"]));
        for bad in [
            "tank/vms",
            "tank/vms/",
            "tank/vms/..",
            "tank/vms/../x",
            "tank/vms/a/../b",
            "tank/vms//a",
            "tank/vms/a/",
            "tank/vms/.",
            "/tank/vms/a",
            "tank/vmsx/a",
            "tank/vms/a b",
            "tank/vms/a\nb",
            "tank/vms/-r",
        ] {
            assert!(!allows(&g, &["destroy", bad]), "{bad}");
        }
    }

    #[test]
    fn suffixes_repeat_whole_arguments() {
        let g = grant(
            &["snapshot {config.pool}/{path}@{name}+"],
            json!({"pool": "t"}),
        );
        assert!(allows(&g, &["snapshot", "t/a@s"]));
        assert!(allows(&g, &["snapshot", "t/a@s", "t/b@s"]));
        assert!(!allows(&g, &["snapshot"]));
        let g = grant(&["get {word}*"], json!({}));
        assert!(allows(&g, &["get"]));
        assert!(allows(&g, &["get", "a", "b,c"]));
        assert!(!allows(&g, &["get", "-r"]));
    }

    #[test]
    fn options_are_never_smuggled_in() {
        let g = grant(&["set x={text} {text}", "{config.a}"], json!({"a": "-R"}));
        assert!(allows(&g, &["set", "x=-anything goes", "plain"]));
        assert!(!allows(&g, &["set", "x=", "-rf"]));
        assert!(!allows(&g, &["-R"]));
    }

    #[test]
    fn values_are_literal_and_needed() {
        let g = grant(&["list {config.pool}"], json!({"pool": ".*"}));
        assert!(allows(&g, &["list", ".*"]));
        assert!(!allows(&g, &["list", "tank"]));
        for config in [json!({}), json!({"pool": ""}), json!({"pool": null})] {
            assert!(!allows(
                &grant(&["list {config.pool}"], config),
                &["list", ""]
            ));
        }
    }

    #[test]
    fn alternatives_are_plain() {
        let g = grant(&["{on|off|-a.b}"], json!({}));
        assert!(allows(&g, &["on"]));
        assert!(allows(&g, &["-a.b"]));
        assert!(!allows(&g, &["-aXb"]));
    }

    #[test]
    fn bad_forms_name_form_and_word() {
        for (form, part) in [
            ("list {what}", "{what}"),
            ("list {path", "without"),
            ("a }", "without"),
        ] {
            let error = check_forms(&ask(&[form])).unwrap_err();
            assert!(
                error.message.contains(part) && error.message.contains(form),
                "{}",
                error.message
            );
        }
        assert!(check_forms(&ask(&["list {config.pool}/{path}@{name}+"])).is_ok());
        let mut path = ask(&[]);
        path.command = "/bin/sh".to_owned();
        assert!(check_forms(&path).is_err());
    }

    #[test]
    fn too_much_is_refused() {
        let g = grant(&["{word}*"], json!({}));
        assert!(allows(&g, &vec!["a"; ARGUMENTS_MAX]));
        assert!(!allows(&g, &vec!["a"; ARGUMENTS_MAX + 1]));
        assert!(!allows(&g, &["a".repeat(ARGUMENTS_MAX_BYTES + 1).as_str()]));
    }
}
