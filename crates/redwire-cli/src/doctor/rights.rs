//! The layer of rights: what this user may do, of what clients need.
//!
//! Asks the server to say it (`ACL DRYRUN`), and where it does not, tries what does no harm. Nothing is ever
//! written.

use redwire::{AuthenticationFault, ErrorKind, Value, cmd};

use super::report::{Finding, Layer};
use crate::session::Session;

/// What a command is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Clients do not work without it.
    Vital,
    /// Clients work without it, and lose something.
    Useful(&'static str),
    /// What the user is there for.
    Data,
}

/// A command and whether it may be tried without harm.
struct Right {
    words: &'static [&'static str],
    need: Need,
    harmless: bool,
}

const fn right(words: &'static [&'static str], need: Need, harmless: bool) -> Right {
    Right { words, need, harmless }
}

const RIGHTS: [Right; 11] = [
    right(&["PING"], Need::Vital, true),
    right(&["HELLO"], Need::Useful("RESP3"), true),
    right(&["CLIENT", "ID"], Need::Useful("the connection's number"), true),
    right(&["CLIENT", "SETNAME", "redwire-cli"], Need::Useful("its name in CLIENT LIST"), true),
    right(
        &["CLIENT", "SETINFO", "LIB-NAME", "redwire"],
        Need::Useful("the library's name in CLIENT LIST"),
        true,
    ),
    right(&["RESET"], Need::Useful("making a used connection clean, so that no other one is needed"), false),
    right(&["INFO"], Need::Useful("what this doctor asks the server"), true),
    right(&["GET", KEY], Need::Data, true),
    // With XX it sets nothing, since there is no such key.
    right(&["SET", KEY, "x", "XX"], Need::Data, false),
    right(&["SUBSCRIBE", KEY], Need::Data, false),
    right(&["PUBLISH", KEY, "x"], Need::Data, false),
];

/// A name that no program uses.
const KEY: &str = "redwire:doctor:none";

/// What the user may, as far as it is known.
pub(crate) async fn examine(session: &mut Session, user: &str) -> Layer {
    let begun = std::time::Instant::now();
    let mut layer = Layer::new("acl");
    let user = match session.call(cmd("ACL WHOAMI")).await {
        Ok(name) => name.as_str().unwrap_or(user).to_owned(),
        Err(_) => user.to_owned(),
    };
    let (mut may, mut may_not, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for right in &RIGHTS {
        let list = match allowed(session, &user, right).await {
            Some(true) => &mut may,
            Some(false) => &mut may_not,
            None => &mut unknown,
        };
        list.push(right);
    }
    layer.took(begun.elapsed());
    layer.summary(format!("{user} may {}", names(&may)));
    layer.detail("user", user.as_str());
    for (name, list) in [("may", &may), ("may_not", &may_not), ("unknown", &unknown)] {
        layer.detail(name, list.iter().map(|right| right.name()).collect::<Vec<String>>());
    }
    judge(&mut layer, &user, &may, &may_not);
    layer
}

fn judge(layer: &mut Layer, user: &str, may: &[&Right], may_not: &[&Right]) {
    if may.iter().all(|right| right.name() == "HELLO") {
        layer.found(Finding::bad(
            format!("The user {user:?} may connect, and may do nothing else."),
            format!("Give it rights, such as `ACL SETUSER {user} ~* &* +@all -@dangerous`."),
        ));
        return;
    }
    let vital: Vec<&Right> = may_not.iter().copied().filter(|right| right.need == Need::Vital).collect();
    if !vital.is_empty() {
        layer.found(Finding::bad(
            format!(
                "The user {user:?} may not run {}, by which clients learn whether a server lives.",
                names(&vital)
            ),
            format!("Give it `+@connection` (`ACL SETUSER {user} +@connection`)."),
        ));
    }
    let lost: Vec<String> = may_not.iter().filter_map(|right| right.loss()).collect();
    if !lost.is_empty() {
        layer.found(Finding::warning(
            format!("The user {user:?} has no right to {}. Clients work without it.", lost.join(", ")),
            format!("`ACL SETUSER {user} +@connection +info` gives it."),
        ));
    }
    if may_not.iter().filter(|right| right.need == Need::Data).count() == 4 {
        layer.found(Finding::warning(
            format!(
                "The user {user:?} may neither read nor write keys nor publish or subscribe, with the most \
                 common commands."
            ),
            "If it is meant to, give it the commands, keys (`~PATTERN`) and channels (`&PATTERN`).",
        ));
    }
}

/// `None`: that cannot be tried without harm.
async fn allowed(session: &mut Session, user: &str, right: &Right) -> Option<bool> {
    let mut dry = cmd("ACL DRYRUN").arg(user);
    for word in right.words {
        dry = dry.arg(*word);
    }
    match session.call(dry).await {
        Ok(Value::Status(_)) => return Some(true),
        // It may also be a key or a channel that is denied: that is no question of commands.
        Ok(told) => return Some(!told.as_str().is_some_and(denies_command)),
        Err(_) => {}
    }
    if !right.harmless {
        return None;
    }
    let (name, args) = right.words.split_first()?;
    let mut trial = cmd(name);
    for word in args {
        trial = trial.arg(*word);
    }
    match session.call(trial).await {
        Ok(_) => Some(true),
        Err(error) if error.kind() == ErrorKind::Authentication(AuthenticationFault::NoPermission) => {
            Some(!denies_command(error.message()))
        }
        // A server that is too old for it.
        Err(error) if error.message().contains("nknown") => None,
        // Refused for another reason: by the order in which servers ask, the right is there.
        Err(error) if error.code().is_some() => Some(true),
        Err(_) => None,
    }
}

fn denies_command(told: &str) -> bool {
    told.contains("to run the") || told.contains("run the '")
}

fn names(rights: &[&Right]) -> String {
    rights.iter().map(|right| right.name()).collect::<Vec<_>>().join(", ")
}

impl Right {
    fn name(&self) -> String {
        match self.words {
            ["CLIENT", sub, ..] => format!("CLIENT {sub}"),
            [name, ..] => (*name).to_owned(),
            [] => String::new(),
        }
    }

    fn loss(&self) -> Option<String> {
        match self.need {
            Need::Useful(what) => Some(format!("{} ({what})", self.name())),
            Need::Vital | Need::Data => None,
        }
    }
}
