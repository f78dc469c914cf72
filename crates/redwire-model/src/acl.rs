//! Users: who they are, and what they may do.
//!
//! Read and write permissions of keys (`%R~`), and selectors, are refused by name. This file must not know
//! how a connection comes to its user.

use std::collections::{BTreeMap, BTreeSet};

use crate::commands::{Args, Command, commands, named, reply_name};
use crate::glob;
use crate::reply::{Refusal, refusal};
use crate::sha256::sha256;

/// The user of a connection that has not said who it is.
pub(crate) const DEFAULT: &[u8] = b"default";

/// All users.
#[derive(Clone, Debug)]
pub(crate) struct Acl {
    pub(crate) users: BTreeMap<Vec<u8>, User>,
}

/// One user.
#[derive(Clone, Debug, Default)]
pub(crate) struct User {
    pub(crate) is_on: bool,
    pub(crate) nopass: bool,
    /// Their SHA-256.
    pub(crate) passwords: BTreeSet<String>,
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) channels: Vec<Vec<u8>>,
    /// What is allowed or forbidden; the last that fits counts.
    rules: Vec<(bool, Rule)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    All,
    Category(String),
    /// `GET`, or `CLIENT KILL`, or `CLIENT` for all that begin with it.
    Command(String),
}

impl Rule {
    fn fits(&self, command: &Command) -> bool {
        match self {
            Self::All => true,
            Self::Category(category) => command.is_in(category),
            Self::Command(name) => command
                .name
                .strip_prefix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::All => "@all".to_owned(),
            Self::Category(category) => format!("@{category}"),
            Self::Command(name) => reply_name(name),
        }
    }
}

impl Acl {
    /// The user `default`, who may do everything.
    pub(crate) fn new(password: Option<&str>) -> Self {
        let mut user = User { is_on: true, nopass: true, ..User::default() };
        for rule in ["~*", "&*", "+@all"] {
            user.apply(rule.as_bytes()).expect("the rule is known");
        }
        if let Some(password) = password {
            user.apply(format!(">{password}").as_bytes()).expect("a password is always taken");
        }
        Self { users: BTreeMap::from([(DEFAULT.to_vec(), user)]) }
    }

    /// The user of a new connection; `None` if it has to authenticate first.
    pub(crate) fn first_user(&self) -> Option<Vec<u8>> {
        let user = self.users.get(DEFAULT)?;
        (user.is_on && user.nopass).then(|| DEFAULT.to_vec())
    }

    /// What `requirepass` sets; nothing is asked for if it is empty.
    pub(crate) fn set_default_password(&mut self, password: &str) {
        if let Some(user) = self.users.get_mut(DEFAULT) {
            user.passwords.clear();
            user.nopass = password.is_empty();
            if !password.is_empty() {
                user.passwords.insert(sha256(password.as_bytes()));
            }
        }
    }

    /// Whether this is how a user proves who they are.
    pub(crate) fn authenticate(&self, name: &[u8], password: &[u8]) -> Result<(), Refusal> {
        let user = self.users.get(name).filter(|user| user.is_on);
        let is_right = user.is_some_and(|user| user.nopass || user.passwords.contains(&sha256(password)));
        let wrong = refusal("WRONGPASS invalid username-password pair or user is disabled.");
        if is_right { Ok(()) } else { Err(wrong) }
    }

    /// Whether a user may run a command.
    pub(crate) fn check(&self, name: &[u8], command: &Command, args: Args<'_>) -> Result<(), Refusal> {
        let Some(user) = self.users.get(name) else { return Ok(()) };
        if !user.may_run(command) && !command.has("no_auth") {
            return Err(Refusal::new(format!(
                "NOPERM User {} has no permissions to run the '{}' command",
                String::from_utf8_lossy(name),
                reply_name(command.name)
            )));
        }
        let fits =
            |patterns: &[Vec<u8>], text: &[u8]| patterns.iter().any(|pattern| glob::matches(pattern, text));
        if !command.has_shard_channels()
            && command.keys_of(args).into_iter().any(|key| !fits(&user.keys, key))
        {
            return Err(refusal("NOPERM No permissions to access a key"));
        }
        let channels = match command.name {
            "PUBLISH" | "SPUBLISH" => &args[1..2],
            "SUBSCRIBE" | "SSUBSCRIBE" | "PSUBSCRIBE" => &args[1..],
            _ => &[],
        };
        let literal = command.name == "PSUBSCRIBE";
        let may_hear = |channel: &Vec<u8>| {
            user.channels.iter().any(|pattern| pattern == b"*")
                || if literal { user.channels.contains(channel) } else { fits(&user.channels, channel) }
        };
        if channels.iter().any(|channel| !may_hear(channel)) {
            return Err(refusal("NOPERM No permissions to access a channel"));
        }
        Ok(())
    }
}

impl User {
    /// A user as `ACL SETUSER` makes one.
    pub(crate) fn new() -> Self {
        Self { rules: vec![(false, Rule::All)], ..Self::default() }
    }

    pub(crate) fn may_run(&self, command: &Command) -> bool {
        self.rules.iter().rev().find(|(_, rule)| rule.fits(command)).is_some_and(|(allowed, _)| *allowed)
    }

    /// Applies one word of `ACL SETUSER`. `Err` says why not.
    pub(crate) fn apply(&mut self, word: &[u8]) -> Result<(), String> {
        let lower = String::from_utf8_lossy(word).to_ascii_lowercase();
        match lower.as_str() {
            "on" => self.is_on = true,
            "off" => self.is_on = false,
            "nopass" => {
                self.nopass = true;
                self.passwords.clear();
            }
            "resetpass" => {
                self.nopass = false;
                self.passwords.clear();
            }
            "allkeys" => self.keys = vec![b"*".to_vec()],
            "resetkeys" => self.keys.clear(),
            "allchannels" => self.channels = vec![b"*".to_vec()],
            "resetchannels" => self.channels.clear(),
            "allcommands" => self.set_rule(true, Rule::All),
            "nocommands" => self.set_rule(false, Rule::All),
            "sanitize-payload" | "skip-sanitize-payload" | "clearselectors" => {}
            "reset" => *self = Self::new(),
            _ => return self.apply_marked(word, &lower),
        }
        Ok(())
    }

    /// A word that begins with a mark.
    fn apply_marked(&mut self, word: &[u8], lower: &str) -> Result<(), String> {
        let rest = word.get(1..).unwrap_or_default();
        match word.first() {
            Some(b'>') => {
                self.passwords.insert(sha256(rest));
                self.nopass = false;
            }
            Some(b'<') => {
                if !self.passwords.remove(&sha256(rest)) {
                    return Err("The password you are trying to remove from the user does not exist".into());
                }
            }
            Some(b'#') => {
                let hash = String::from_utf8_lossy(rest).into_owned();
                let is_hash =
                    hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                if !is_hash {
                    return Err("The provided password hash must be exactly 64 characters and contain only \
                                lowercase hexadecimal characters"
                        .into());
                }
                self.passwords.insert(hash);
                self.nopass = false;
            }
            Some(b'~') => add_pattern(&mut self.keys, rest, "~")?,
            Some(b'&') => add_pattern(&mut self.channels, rest, "&")?,
            Some(mark @ (b'+' | b'-')) => {
                let rule = rule(&lower[1..])?;
                self.set_rule(*mark == b'+', rule);
            }
            Some(b'%' | b'(') => {
                return Err(
                    "the model server knows neither selectors nor read and write permissions of keys".into(),
                );
            }
            _ => return Err("Syntax error".into()),
        }
        Ok(())
    }

    fn set_rule(&mut self, allowed: bool, rule: Rule) {
        match rule {
            Rule::All => self.rules.clear(),
            _ => self.rules.retain(|(_, other)| *other != rule),
        }
        self.rules.push((allowed, rule));
    }

    /// The commands it may run, as rules.
    pub(crate) fn commands(&self) -> String {
        let words = self
            .rules
            .iter()
            .map(|(allowed, rule)| format!("{}{}", if *allowed { '+' } else { '-' }, rule.text()));
        words.collect::<Vec<_>>().join(" ")
    }

    /// Whether it may connect, and how.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static str> {
        let on = if self.is_on { "on" } else { "off" };
        [on].into_iter().chain(self.nopass.then_some("nopass")).chain(["sanitize-payload"])
    }

    /// The line of `ACL LIST`.
    pub(crate) fn line(&self, name: &[u8]) -> String {
        let mut words = vec![format!("user {}", String::from_utf8_lossy(name))];
        words.extend(self.flags().map(str::to_owned));
        words.extend(self.passwords.iter().map(|hash| format!("#{hash}")));
        words.extend(marked('~', &self.keys));
        if self.channels.iter().any(|pattern| pattern == b"*") {
            words.push("&*".to_owned());
        } else {
            words.push("resetchannels".to_owned());
            words.extend(marked('&', &self.channels));
        }
        words.push(self.commands());
        words.join(" ")
    }
}

/// Patterns behind their mark: `~session:*`.
pub(crate) fn marked(mark: char, patterns: &[Vec<u8>]) -> Vec<String> {
    patterns.iter().map(|pattern| format!("{mark}{}", String::from_utf8_lossy(pattern))).collect()
}

fn add_pattern(patterns: &mut Vec<Vec<u8>>, pattern: &[u8], mark: &str) -> Result<(), String> {
    let (pattern, all) = (pattern.to_vec(), b"*".to_vec());
    if patterns.contains(&all) && pattern != all {
        let (what, all, reset) = match mark {
            "~" => ("pattern", "allkeys", "resetkeys"),
            _ => ("channel", "allchannels", "resetchannels"),
        };
        return Err(format!(
            "Adding a {what} after the * {what} (or the '{all}' flag) is not valid and does not have any \
             effect. Try '{reset}' to start with an empty list of {what}s"
        ));
    }
    if pattern == all {
        patterns.clear();
    }
    if !patterns.contains(&pattern) {
        patterns.push(pattern);
    }
    Ok(())
}

/// What stands behind `+` and `-`.
fn rule(text: &str) -> Result<Rule, String> {
    let unknown = || "Unknown command or category name in ACL".to_owned();
    if let Some(category) = text.strip_prefix('@') {
        return match category {
            "all" => Ok(Rule::All),
            _ if categories().contains(category) => Ok(Rule::Category(category.to_owned())),
            _ => Err(unknown()),
        };
    }
    let name = text.to_ascii_uppercase().replace('|', " ");
    named(&name).map(|_| Rule::Command(name)).ok_or_else(unknown)
}

/// All categories.
pub(crate) fn categories() -> BTreeSet<&'static str> {
    commands().flat_map(|command| command.categories.split(' ')).filter(|word| !word.is_empty()).collect()
}
