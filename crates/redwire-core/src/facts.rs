//! What is known about each command before a server is asked: arity, flags, where its keys are, how a
//! cluster routes it, whether it blocks, what it does to a connection's state.
//!
//! Promises: one [`Facts`] per command of the servers named in `spec/commands.json`, found without
//! allocation in any letter case. The table is generated from that file (`cargo xtask gen`) and never
//! edited by hand. Must not know: how a command is encoded beyond its name words, sockets, replies.

mod blocking;
mod index;
mod keys;
// Generated, one line per command: laid out by the generator.
#[rustfmt::skip]
mod table;
#[cfg(test)]
mod tests;

pub use blocking::{Blocking, TimeUnit, TimeoutArg, TimeoutPlace};
pub use keys::{BeginSearch, FindKeys, KeySpec, Keys};
pub use table::*;

use std::fmt;

/// The facts of one command or subcommand.
#[derive(Debug)]
pub struct Facts {
    /// The name in upper case; a subcommand bears its container's name first: `CLIENT SETINFO`.
    pub name: &'static str,
    /// The name as bulk strings, ready to be sent: `$3\r\nGET\r\n`, or two bulks for a subcommand. Empty: it
    /// is made of the name.
    pub wire: &'static [u8],
    /// How many bulks [`wire`](Self::wire) holds: 1, or 2 for a subcommand; 0 where it is empty.
    pub words: u8,
    /// How many words the whole command has, name included; a negative number means "at least".
    pub arity: i16,
    /// The servers' flags.
    pub flags: Flags,
    /// Where the keys are.
    pub keys: &'static [KeySpec],
    /// Which nodes of a cluster the command goes to.
    pub request_policy: RequestPolicy,
    /// How the replies of several nodes become one.
    pub response_policy: ResponsePolicy,
    /// What the command does to the connection it runs on.
    pub session: SessionEffect,
    /// Where a command that waits takes its timeout.
    pub timeout: Option<TimeoutArg>,
    /// Whether running it twice is the same as running it once; see [`Facts::is_repeatable`].
    pub repeatable: bool,
    /// The servers' own grouping: `string`, `sorted-set`, `connection`, …
    pub group: &'static str,
    /// The server version it came with; for a command that only Valkey has, Valkey's version.
    pub since: &'static str,
}

/// What is assumed of a command that no table names, such as a module's: it writes, must not be repeated, and
/// its first argument is its key, as with nearly all commands that have keys. A cluster's client sends it to
/// the node of that key. Where that is wrong the node says whose key it is, and the command goes there: it
/// takes twice the time. [`Facts::new`] says better.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::facts::{Facts, KeySpec};
/// use redwire::{Cmd, Value};
///
/// // The key is the second argument.
/// static GRAPH_COPY: Facts = Facts::new("GRAPH.COPY").with_keys(&[KeySpec::at(2)]);
/// // There is no key: any node will do.
/// static GRAPH_LIST: Facts = Facts::new("GRAPH.LIST").read_only();
///
/// let copy: Cmd<Value> = Cmd::of(&GRAPH_COPY).arg("deep").arg("a").arg("b");
/// let list: Cmd<Value> = Cmd::of(&GRAPH_LIST).arg("all");
/// ```
pub static UNKNOWN: Facts = Facts::new("").with_keys(&[KeySpec::at(1)]);

/// What is said of no command: no words, or an empty first word.
pub(crate) static NAMELESS: Facts = Facts { session: SessionEffect::Empty, ..Facts::new("") };

/// The facts of a command, by its first word and, if there is one, its second, in any letter case.
///
/// The second word matters only to containers such as `CLIENT`. A container's unknown subcommand gives the
/// container's own facts, so a newer server's subcommand still runs, as one that has no keys.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::facts;
/// assert_eq!(facts::lookup(b"get", Some(b"key")).unwrap().name, "GET");
/// assert_eq!(facts::lookup(b"Client", Some(b"setInfo")).unwrap().name, "CLIENT SETINFO");
/// assert!(facts::lookup(b"nosuch", None).is_none());
/// ```
pub fn lookup(first: &[u8], second: Option<&[u8]>) -> Option<&'static Facts> {
    let hash = index::hash(index::START, first);
    let place = index::find(hash, |name| name.eq_ignore_ascii_case(first))?;
    let facts = ALL[place];
    let (true, Some(second)) = (facts.is_container(), second) else { return Some(facts) };
    let hash = index::hash(index::hash(hash, b" "), second);
    let subcommand = index::find(hash, |name| {
        let halves = name.split_at_checked(first.len() + 1);
        halves.is_some_and(|(container, subcommand)| {
            container[..first.len()].eq_ignore_ascii_case(first) && subcommand.eq_ignore_ascii_case(second)
        })
    });
    Some(subcommand.map_or(facts, |place| ALL[place]))
}

/// Every command's facts, sorted by name.
pub fn all() -> &'static [&'static Facts] {
    &ALL
}

impl Facts {
    /// The facts of a command that no table names, such as a module's: it writes, must not be repeated, and
    /// its keys are not known, unless more is said. Other fields are set by name:
    /// `Facts { timeout: …, ..Facts::new("…") }`.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// use redwire::facts::{Facts, KeySpec};
    /// use redwire::{Arg, Cmd, Run};
    ///
    /// static BF_ADD: Facts = Facts::new("BF.ADD").with_keys(&[KeySpec::at(1)]);
    /// static BF_EXISTS: Facts = Facts::new("BF.EXISTS").with_keys(&[KeySpec::at(1)]).read_only();
    ///
    /// trait BloomCommands: Run {
    ///     fn bf_add(self, key: impl Arg, item: impl Arg) -> Self::Out<bool> {
    ///         self.run(Cmd::of(&BF_ADD).arg(key).arg(item))
    ///     }
    ///     /// It only reads, so it is repeated when its reply was lost.
    ///     fn bf_exists(self, key: impl Arg, item: impl Arg) -> Self::Out<bool> {
    ///         self.run(Cmd::of(&BF_EXISTS).arg(key).arg(item))
    ///     }
    /// }
    /// impl<T: Run> BloomCommands for T {}
    /// ```
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            wire: b"",
            words: 0,
            arity: -1,
            flags: Flags::WRITE,
            keys: &[],
            request_policy: RequestPolicy::Default,
            response_policy: ResponsePolicy::Default,
            session: SessionEffect::None,
            timeout: None,
            repeatable: false,
            group: "",
            since: "",
        }
    }

    /// Says that the command only reads: it is repeated when its reply was lost, and a replica may answer it.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.flags = Flags::READONLY;
        self.repeatable = true;
        self
    }

    /// Says where the keys are.
    #[must_use]
    pub const fn with_keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.keys = keys;
        self
    }

    /// Whether a command of this many words (name included) has an allowed length.
    pub fn accepts(&self, words: usize) -> bool {
        let wanted = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= wanted } else { words == wanted }
    }

    /// Whether the server itself calls it read-only: it touches data only to read, so a replica may answer.
    pub fn is_read_only(&self) -> bool {
        self.flags.contains(Flags::READONLY)
    }

    /// Whether it may be sent again when it is not known whether it was executed: it is read-only, or asks
    /// something of the server (`PING`, `INFO`, `CLIENT LIST`, …) and changes nothing.
    pub fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// Whether an error may be the answer to one that did something all the same: a script or a function,
    /// unless it only reads; what no table names, such as a module's command, unless its facts say that it
    /// only reads; `MIGRATE`, which may have moved some of its keys.
    pub fn may_run_in_part(&self) -> bool {
        // Only facts of the table have their name packed.
        let is_foreign = self.words == 0 && !self.repeatable;
        is_foreign || matches!(self.name, "EVAL" | "EVALSHA" | "FCALL" | "MIGRATE")
    }

    /// Whether it may make its connection wait. `XREAD` and `XREADGROUP` say so even where `BLOCK` is not
    /// given: [`Facts::blocks`] looks at the words.
    pub fn is_blocking(&self) -> bool {
        self.flags.contains(Flags::BLOCKING)
    }

    /// Whether it leaves its connection in another state, so that it can't run on a shared one.
    pub fn changes_connection_state(&self) -> bool {
        self.session != SessionEffect::None
    }

    /// How long the server may wait before answering this command, given all its words, name included.
    pub fn blocks<'a, I>(&self, words: I) -> Blocking
    where
        I: Iterator<Item = &'a [u8]> + Clone,
    {
        match self.timeout {
            None => Blocking::No,
            Some(timeout) => timeout.read(words, self.is_blocking()),
        }
    }

    /// The keys among the words of the command (name included), each with its position, lazily.
    ///
    /// A shard channel (`SPUBLISH`, `SSUBSCRIBE`, …) is found too: it decides the slot as a key does, and its
    /// [`KeySpec::channel`] says what it is. Words that break the command's grammar give fewer keys, or none.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// use redwire::facts;
    /// let words: [&[u8]; 5] = [b"MSET", b"a", b"1", b"b", b"2"];
    /// let keys: Vec<_> = facts::MSET.keys(words.iter().copied()).collect();
    /// assert_eq!(keys, [(1, &b"a"[..]), (3, &b"b"[..])]);
    /// ```
    pub fn keys<'a, I>(&self, words: I) -> Keys<I>
    where
        I: Iterator<Item = &'a [u8]> + Clone,
    {
        Keys::new(self.keys, words)
    }

    /// Whether the next word may make another command of it: `CLIENT`, `CONFIG`, …
    #[inline]
    pub(crate) fn is_container(&self) -> bool {
        self.flags.contains(Flags::CONTAINER)
    }

    /// Whether facts of a user's own leave open what the command does to its connection: another word decides
    /// that, or the table, which knows that the command changes its connection.
    #[cold]
    pub(crate) fn leave_open(&self) -> bool {
        let mut words = self.name.split_ascii_whitespace().map(str::as_bytes);
        let Some(first) = words.next() else { return true };
        lookup(first, words.next())
            .is_some_and(|known| known.is_container() || known.session != SessionEffect::None)
    }
}

/// A set of flags, as the servers give them in `COMMAND INFO`, two of their tips, and whether there are
/// subcommands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags(u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
            const NAMES: &[(Self, &str)] = &[$((Self::$name, stringify!($name))),*];
        }
    };
}

flags! {
    /// Only reads data.
    READONLY = 0;
    /// May change data.
    WRITE = 1;
    /// Refused when the server is out of memory.
    DENYOOM = 2;
    /// An administrator's command.
    ADMIN = 3;
    /// Belongs to publish/subscribe.
    PUBSUB = 4;
    /// Not allowed in scripts.
    NOSCRIPT = 5;
    /// May make the connection wait.
    BLOCKING = 6;
    /// Runs while the server loads its data.
    LOADING = 7;
    /// Runs on a replica that has lost its primary.
    STALE = 8;
    /// Not shown by `MONITOR`.
    SKIP_MONITOR = 9;
    /// Not kept in the slow log.
    SKIP_SLOWLOG = 10;
    /// Accepted for a slot that is being imported, even without `ASKING`.
    ASKING = 11;
    /// Takes constant or logarithmic time.
    FAST = 12;
    /// Needs no authentication.
    NO_AUTH = 13;
    /// Its keys can't be described by the first, last and step of old servers.
    MOVABLE_KEYS = 14;
    /// Runs while a script that is too slow blocks the server.
    ALLOW_BUSY = 15;
    /// Refused while a replica loads its data beside the old.
    NO_ASYNC_LOADING = 16;
    /// Not allowed in a transaction.
    NO_MULTI = 17;
    /// May be given no key at all.
    NO_MANDATORY_KEYS = 18;
    /// Comes from a module, even if the server is built with it.
    MODULE = 19;
    /// The same call on the same data may give different replies.
    NONDETERMINISTIC_OUTPUT = 20;
    /// The same call on the same data may give its elements in another order.
    NONDETERMINISTIC_ORDER = 21;
    /// Has subcommands, which are commands of their own.
    CONTAINER = 22;
}

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(Self::NAMES.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| name))
            .finish()
    }
}

/// Which nodes of a cluster a command goes to (the tip `request_policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestPolicy {
    /// The node of its keys; any node if it has none.
    Default,
    /// Every node, replicas too.
    AllNodes,
    /// Every primary.
    AllShards,
    /// The primaries of its keys, each with its own part of them.
    MultiShard,
    /// As the command's own documentation says.
    Special,
}

/// How the replies of several nodes become one (the tip `response_policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponsePolicy {
    /// With keys: put together in the order of the keys. Without: the replies' elements, in any order.
    Default,
    /// The first reply that is no error.
    OneSucceeded,
    /// One reply if none is an error, else the error.
    AllSucceeded,
    /// The logical *and* of all.
    AggLogicalAnd,
    /// The logical *or* of all.
    AggLogicalOr,
    /// The smallest.
    AggMin,
    /// The largest.
    AggMax,
    /// The sum.
    AggSum,
    /// As the command's own documentation says.
    Special,
}

/// What a command does to the state of the connection it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEffect {
    /// Nothing.
    None,
    /// Chooses a database: `SELECT`.
    Selects,
    /// Becomes another user: `AUTH`.
    Authenticates,
    /// Changes the protocol, and perhaps user and name: `HELLO`.
    Greets,
    /// Opens or ends a transaction: `MULTI`, `EXEC`, `DISCARD`.
    Transaction,
    /// Watches keys: `WATCH`.
    Watches,
    /// Forgets the watched keys: `UNWATCH`.
    Unwatches,
    /// Changes what the connection listens to: the `SUBSCRIBE` and `UNSUBSCRIBE` families.
    Subscribes,
    /// Turns the connection into a stream of all commands: `MONITOR`.
    Monitors,
    /// Changes whether replies come: `CLIENT REPLY`.
    Replies,
    /// Client-side caching: `CLIENT TRACKING`, `CLIENT CACHING`.
    Tracks,
    /// Marks this client in a way that `RESET` undoes: `CLIENT SETNAME`, `CLIENT NO-TOUCH`.
    Describes,
    /// Marks this client in a way that not even `RESET` undoes on every server: `CLIENT NO-EVICT`,
    /// `CLIENT SETINFO`, …
    Lasts,
    /// Lets the next command into an importing slot: `ASKING`.
    Asks,
    /// Allows or forbids reads on a cluster's replica: `READONLY`, `READWRITE`.
    Reads,
    /// Back to the state of a new connection: `RESET`.
    Resets,
    /// Closes the connection: `QUIT`.
    Quits,
    /// Ends the server, and its connections with it: `SHUTDOWN`. Where it is called off, servers are not
    /// ready for what comes next on the same connection (Redis 7.0 falls over it).
    Ends,
    /// Turns the connection into a replica's: `SYNC`, `PSYNC`, `REPLCONF`, …
    Replicates,
    /// Debugs scripts on this connection: `SCRIPT DEBUG`.
    Debugs,
    /// It is no command: it has no words, or an empty first one. A server answers nothing to no words.
    Empty,
}
