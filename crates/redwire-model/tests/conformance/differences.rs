//! Which replies are alike though they are not the same: where order, chance or time decide, and where
//! versions of servers differ, each with its reason.
//!
//! This file must not know how replies are had.

use redwire_testkit::Server;

use crate::frames::Frame;

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) valkey: bool,
    pub(crate) version: (u32, u32),
}

impl About {
    pub(crate) fn of(server: &Server) -> Self {
        let (major, minor, _) = server.version();
        Self { valkey: server.is_valkey(), version: (major, minor) }
    }

    /// The version of Redis that it does as much as. Valkey began at 7.2.
    pub(crate) fn level(self) -> (u32, u32) {
        if self.valkey { (7, 2) } else { self.version }
    }
}

/// A reply of which the model's and the server's may differ.
struct Difference {
    on: fn(About) -> bool,
    /// How the model's reply begins, and how the server's: a `*` in front means *anywhere within*.
    model: &'static str,
    server: &'static str,
    /// Why it is right.
    why: &'static str,
}

const fn before(about: About, major: u32, minor: u32) -> bool {
    !about.valkey && (about.version.0 < major || about.version.0 == major && about.version.1 < minor)
}

const fn is_valkey(about: About) -> bool {
    about.valkey
}

const fn before_7_0(about: About) -> bool {
    before(about, 7, 0)
}

const fn before_8_0(about: About) -> bool {
    about.valkey || before(about, 8, 0)
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        on: before_7_0,
        model: "-ERR Can't execute",
        server: "-ERR Can't execute",
        why: "6.2 has no shard channels to name, and does not name subcommands",
    },
    Difference {
        on: before_7_0,
        model: "-EXECABORT Transaction discarded because of: Can't execute",
        server: "-EXECABORT Transaction discarded because of: Can't execute",
        why: "as above",
    },
    Difference {
        on: before_7_0,
        model: "-ERR Unknown option or number of arguments for CONFIG SET",
        server: "-ERR Unsupported CONFIG parameter",
        why: "6.2 sets one option at a time",
    },
    Difference {
        on: before_7_0,
        model: "-ERR unknown command '",
        server: "-ERR unknown command `",
        why: "6.2 quotes otherwise",
    },
    Difference {
        on: before_7_0,
        model: "-ERR unknown subcommand",
        server: "-ERR Unknown subcommand",
        why: "6.2 has no table of subcommands",
    },
    Difference {
        on: before_7_0,
        model: "-ERR at least 1 input key is needed for '",
        server: "-ERR at least 1 input key is needed for ",
        why: "6.2 does not quote",
    },
    Difference {
        on: before_7_0,
        model: "-ERR RANK can't be zero",
        server: "-ERR RANK can't be zero",
        why: "7.0 says more",
    },
    Difference {
        on: is_valkey,
        model: "-NOSCRIPT No matching script. Please use EVAL.",
        server: "-NOSCRIPT No matching script.",
        why: "Valkey leaves out the advice",
    },
    Difference {
        on: before_8_0,
        model: "-ERR MULTI calls can not be nested",
        server: "-ERR Command",
        why: "Valkey refuses it with all other commands that are not allowed there",
    },
    Difference {
        on: before_8_0,
        model: "-ERR WATCH inside MULTI is not allowed",
        server: "-ERR Command",
        why: "as above",
    },
    Difference {
        on: before_8_0,
        model: "-ERR value is out of range, value must between -2147483648 and 2147483647",
        server: "-ERR ",
        why: "8.0 says the range",
    },
];

/// Commands whose replies are in no order.
const UNORDERED: [&str; 14] = [
    "SMEMBERS",
    "SUNION",
    "SINTER",
    "SDIFF",
    "HGETALL",
    "HKEYS",
    "HVALS",
    "KEYS",
    "SPOP",
    "SRANDMEMBER",
    "HRANDFIELD",
    "ZRANDMEMBER",
    "UNSUBSCRIBE",
    "PUBSUB",
];

/// Commands that say when something ends, in milliseconds or seconds.
const TIMED: [&str; 6] = ["TIME", "TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", "XPENDING"];

/// By how much such numbers may differ.
const SLACK: i64 = 5000;

/// Whether a client has heard the same from both, after a line of its own or of another's (no words).
pub(crate) fn are_alike(
    about: About,
    words: &[Vec<u8>],
    queue: &[Vec<Vec<u8>>],
    model: &[Frame],
    server: &[Frame],
) -> bool {
    if model.len() != server.len() {
        return false;
    }
    let name = name_of(words);
    if about.level() < (7, 2)
        && queue.iter().any(|words| name_of(words) == "PUBLISH" || name_of(words) == "SPUBLISH")
    {
        // Before 7.2 a message to oneself goes in between the replies of a transaction.
        return true;
    }
    if name == "EXEC" && !model.is_empty() {
        return match (model[0].items(), server[0].items()) {
            (Some(said), Some(heard)) if said.len() == queue.len() && model.len() == 1 => {
                heard.len() == queue.len()
                    && (0..queue.len()).all(|at| one(about, &queue[at], &said[at], &heard[at]))
            }
            // SUBSCRIBE says more than one thing, so that it cannot be told what belongs to what.
            (Some(_), Some(_)) => deep(model) == deep(server),
            _ => model.iter().zip(server).all(|(model, server)| one(about, words, model, server)),
        };
    }
    let by_pattern = |frame: &Frame| {
        frame
            .items()
            .and_then(|items| items.first())
            .and_then(Frame::text)
            .is_some_and(|word| word == "pmessage")
    };
    if model.iter().any(by_pattern) && deep(model) == deep(server) {
        // A message goes by patterns in any order.
        return true;
    }
    let pushed = |frames: &[Frame]| frames.iter().any(|frame| matches!(frame, Frame::Items(b'>', _)));
    if about.level() < (7, 2) && !words.is_empty() && pushed(model) && deep(model) == deep(server) {
        // Before 7.2 a client hears what it published itself before the reply.
        return true;
    }
    if matches!(name.as_str(), "UNSUBSCRIBE" | "PUNSUBSCRIBE" | "SUNSUBSCRIBE") && words.len() == 1 {
        return in_any_order(model, server);
    }
    model.iter().zip(server).all(|(model, server)| one(about, words, model, server))
}

fn name_of(words: &[Vec<u8>]) -> String {
    words.first().map(|word| String::from_utf8_lossy(word).to_ascii_uppercase()).unwrap_or_default()
}

/// Channels are left in any order, so that only the counts and the set of names are determined.
fn in_any_order(model: &[Frame], server: &[Frame]) -> bool {
    let part = |frames: &[Frame], at: usize| {
        let mut parts: Vec<Frame> =
            frames.iter().filter_map(|frame| frame.items()?.get(at).cloned()).collect();
        parts.sort();
        parts
    };
    (0..3).all(|at| part(model, at) == part(server, at))
}

/// All that is within, in order of its own; without what cannot be told apart: channels that are left in any
/// order, times, and the words of errors.
fn deep(frames: &[Frame]) -> Vec<Frame> {
    let mut all: Vec<Frame> = frames.to_vec();
    let is_unsubscription = |frame: &Frame| {
        let first = frame.items().and_then(|items| items.first()?.text());
        first.is_some_and(|word| word.ends_with("unsubscribe"))
    };
    all.retain(|frame| !is_unsubscription(frame));
    for frame in &mut all {
        if frame.is_error() {
            let word = frame.text().and_then(|text| text.split(' ').next().map(str::to_owned));
            *frame = Frame::Line(b'-', word.unwrap_or_default().into_bytes());
        }
        let is_hello =
            frame.items().and_then(|items| items.first()?.text()).is_some_and(|word| word == "server");
        if is_hello || frame.number().is_some_and(|number| number.abs() > 10_000) {
            // A time, or what a server says of itself.
            *frame = Frame::Line(b'+', b"its own".to_vec());
        }
        if let Some(items) = frame.items_mut() {
            *items = deep(items);
        }
    }
    all.sort();
    all
}

/// As RESP3 of 6.2 has it, where an empty set is an array.
fn plain(frame: &Frame) -> Frame {
    match frame {
        Frame::Items(b'~', Some(items)) if items.is_empty() => Frame::Items(b'*', Some(Vec::new())),
        other => other.clone(),
    }
}

/// Whether one reply is alike.
fn one(about: About, words: &[Vec<u8>], model: &Frame, server: &Frame) -> bool {
    if model == server || about.level() < (7, 0) && plain(model) == plain(server) {
        return true;
    }
    let name = name_of(words);
    if name == "SCRIPT" && server.text().is_some_and(|text| text.contains("Error compiling script")) {
        // The model reads no Lua, right or wrong.
        return true;
    }
    if model.is_error() || server.is_error() {
        return is_known(about, model, server);
    }
    if name == "HELLO" {
        // The version, the id and the modules are the server's own.
        let proto = |frame: &Frame| {
            frame.items().map(|items| items[..6].iter().map(Frame::text).collect::<Vec<_>>()[5].clone())
        };
        return proto(model) == proto(server);
    }
    if name.contains("RAND") && !words.iter().any(|word| word == b"100") {
        return std::mem::discriminant(model) == std::mem::discriminant(server);
    }
    if name.ends_with("EXPIRE") && words.iter().any(|word| word == b"GT" || word == b"LT") {
        // Whether a millisecond has passed since the last one decides.
        return true;
    }
    if UNORDERED.contains(&name.as_str()) && sorted(model, &name) == sorted(server, &name) {
        return true;
    }
    if name.ends_with("SCAN") {
        let keyed =
            if words.iter().any(|word| word == b"NOVALUES") { "SSCAN".to_owned() } else { name.clone() };
        let name = keyed;
        let both = (sorted_page(model, &name), sorted_page(server, &name));
        return both.0.is_some() && both.0 == both.1;
    }
    if TIMED.contains(&name.as_str()) && is_near(model, server) {
        return true;
    }
    is_known(about, model, server)
}

fn is_near(model: &Frame, server: &Frame) -> bool {
    match (model.items(), server.items()) {
        (Some(model), Some(server)) => {
            model.len() == server.len()
                && model.iter().zip(server).all(|(model, server)| is_near(model, server))
        }
        _ => {
            model == server
                || model.number().zip(server.number()).is_some_and(|(one, other)| {
                    one.signum() == other.signum() && one.abs_diff(other) <= SLACK.unsigned_abs()
                        // Microseconds of a second that may have turned over.
                        || one < 1_000_000 && other < 1_000_000 && one >= 0 && other >= 0
                })
        }
    }
}

/// The items sorted; those of flat lists of pairs stay together.
fn sorted(frame: &Frame, name: &str) -> Frame {
    let mut frame = frame.clone();
    let in_pairs = matches!(name, "HGETALL" | "HSCAN" | "ZSCAN");
    if let Some(items) = frame.items_mut() {
        if in_pairs && items.len().is_multiple_of(2) {
            let mut pairs: Vec<[Frame; 2]> =
                items.chunks_exact(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect();
            pairs.sort();
            *items = pairs.into_iter().flatten().collect();
        } else {
            items.sort();
        }
    }
    frame
}

fn sorted_page(frame: &Frame, name: &str) -> Option<(Frame, Frame)> {
    let items = frame.items()?;
    Some((items.first()?.clone(), sorted(items.get(1)?, name)))
}

fn is_known(about: About, model: &Frame, server: &Frame) -> bool {
    let fits = |pattern: &str, frame: &Frame| {
        let text = format!("{frame:?}");
        match pattern.strip_prefix('*') {
            Some(within) if !pattern.starts_with("*[") => text.contains(within),
            _ => text.starts_with(pattern),
        }
    };
    DIFFERENCES.iter().any(|difference| {
        let _ = difference.why;
        (difference.on)(about) && fits(difference.model, model) && fits(difference.server, server)
    })
}
