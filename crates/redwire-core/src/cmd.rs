//! A command: its encoded words, what is known about it, and the type of its reply.
//!
//! A command is written once and sent by any executor ([`Run`](crate::Run)). This file must not know
//! executors.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::arg::{Absent, Arg, Args};
use crate::error::{Error, Result};
use crate::facts::{self, Facts};
use crate::outbox::Outbox;
use crate::script::Script;
use crate::secret::{self, Secret};

/// One command that answers with an `R`.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::{Cmd, Value};
///
/// let cmd: Cmd<Value> = Cmd::new("CLIENT NO-EVICT").arg("ON");
/// assert_eq!(cmd.name(), "CLIENT NO-EVICT");
/// assert_eq!(cmd.to_bytes(), b"*3\r\n$6\r\nCLIENT\r\n$8\r\nNO-EVICT\r\n$2\r\nON\r\n");
/// ```
#[doc(alias = "execute_command")]
#[must_use = "a command does nothing until it is run"]
pub struct Cmd<R> {
    /// `None` where the words tell: they are looked up when it is asked for.
    facts: Option<&'static Facts>,
    args: Args,
    /// Boxed, since few commands have it: a command is moved several times on its way, and the fewer bytes it
    /// has, the faster.
    rare: Option<Box<Rare>>,
    reply: PhantomData<fn() -> R>,
}

/// What few commands have.
#[derive(Clone, Debug, Default)]
struct Rare {
    options: CmdOptions,
    /// The script that the command names by its SHA-1.
    script: Option<Script>,
}

/// What a caller may say about one call, beyond its words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CmdOptions {
    /// The call may be repeated even if it has been executed already.
    pub idempotent: bool,
    /// The deadline of this call, in place of the client's.
    pub timeout: Option<Duration>,
    /// How often this call is repeated at most, in place of the client's.
    pub retries: Option<u32>,
}

/// A [`Cmd`] of any name, for commands without a method of their own.
///
/// Words in the name are sent as words: `cmd("CONFIG GET")` is `CONFIG` with a first argument `GET`.
pub fn cmd<R>(name: &str) -> Cmd<R> {
    Cmd::new(name)
}

impl<R> Cmd<R> {
    /// A command by its name, such as `GET` or `CONFIG GET`.
    pub fn new(name: &str) -> Self {
        let mut args = Args::new();
        for word in name.split_ascii_whitespace() {
            args.bulk(word.as_bytes());
        }
        Self { facts: None, args, rare: None, reply: PhantomData }
    }

    /// A command that is known when the program is compiled: one of the table, or of [facts](Facts::new) of
    /// your own. Of a container such as `CLIENT`, the next word tells which command it is.
    #[inline]
    pub fn of(facts: &'static Facts) -> Self {
        let mut args = Args::new();
        let words_decide = match facts.words {
            // The words of a user's facts were not packed beforehand.
            0 => {
                facts.name.split_ascii_whitespace().for_each(|word| args.bulk(word.as_bytes()));
                facts.leave_open()
            }
            words => {
                args.encoded(facts.wire, usize::from(words));
                facts.is_container()
            }
        };
        let facts = (!words_decide).then_some(facts);
        Self { facts, args, rare: None, reply: PhantomData }
    }

    /// Appends an argument; see [`Arg`] for what it may be.
    #[inline]
    pub fn arg(mut self, arg: impl Arg) -> Self {
        arg.write(&mut self.args);
        self
    }

    /// Appends a value that must be there, as keys and values must, or a list of one or several. `None` or an
    /// empty list there makes the command one that cannot be sent ([`check`](Self::check)); within the list,
    /// `None` is no item.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// use redwire::{Cmd, ErrorKind, Value};
    ///
    /// let value: Option<&str> = None;
    /// let cmd: Cmd<Value> = Cmd::new("SET").required("k").required(value).arg("NX");
    /// let error = cmd.check().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Usage);
    /// assert!(error.message().starts_with("argument 2 is missing"));
    /// ```
    #[inline]
    pub fn required(mut self, value: impl Arg) -> Self {
        self.args.required(|args| value.write(args));
        self
    }

    /// Appends pairs, or longer tuples: a list of them, a map, or their parts one after the other. There must
    /// be one, and none may lack a part; a whole pair of a list may be absent (`None`).
    #[inline]
    pub fn pairs(mut self, pairs: impl Arg) -> Self {
        self.args.pairs(pairs);
        self
    }

    /// Appends a list whose items have their places, as where each is answered for itself: there must be one,
    /// and none may be absent.
    #[inline]
    pub fn places(mut self, list: impl Arg) -> Self {
        self.args.required(|args| args.places(list));
        self
    }

    /// As [`places`](Self::places), and the list may be empty, or absent as a whole: the arguments of a
    /// script.
    #[inline]
    pub fn any_places(mut self, list: impl Arg) -> Self {
        self.args.places(list);
        self
    }

    /// Appends `NAME value` where there is a value.
    pub fn named(mut self, name: &str, value: impl Arg) -> Self {
        value.write_named(name, &mut self.args);
        self
    }

    /// Appends a word where `condition` holds.
    pub fn flag(mut self, condition: bool, word: &str) -> Self {
        if condition {
            self.args.bulk(word.as_bytes());
        }
        self
    }

    /// Appends how many words `list` has, and then the list: the `numkeys key [key …]` of many commands.
    /// There must be one, and none may be absent.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// use redwire::{Cmd, ErrorKind, Value};
    ///
    /// let union = |keys: &[&str]| -> Cmd<Value> { Cmd::new("ZUNION").counted(keys) };
    /// assert_eq!(union(&["a", "b"]).words(), ["ZUNION", "2", "a", "b"]);
    /// assert_eq!(union(&[]).check().unwrap_err().kind(), ErrorKind::Usage);
    /// ```
    pub fn counted(self, list: impl Arg) -> Self {
        let mut words = Args::new();
        words.required(|words| words.places(list));
        self.count_and(&words)
    }

    /// As [`counted`](Self::counted), and the list may be empty, or absent as a whole: the keys of a script.
    pub fn any_counted(self, list: impl Arg) -> Self {
        let mut words = Args::new();
        words.places(list);
        self.count_and(&words)
    }

    fn count_and(mut self, words: &Args) -> Self {
        self.args.bulk(itoa::Buffer::new().format(words.len()).as_bytes());
        words.write(&mut self.args);
        self
    }

    /// Declares that running the command twice does no harm, so that it may be repeated when its reply was
    /// lost.
    pub fn idempotent(mut self) -> Self {
        self.options_mut().idempotent = true;
        self
    }

    /// The deadline of this call: it ends within `timeout`, whatever it has to wait for; default: the
    /// client's `timeout`. Zero means none.
    ///
    /// The time that a command asks the server to wait counts on top: `BLPOP key 7` with a `timeout` of 2 s
    /// ends within 9 s. What waits for ever (`BLPOP key 0`), or for longer than a year, has no such time. It
    /// is spared the client's `timeout`, but one that is given here holds.
    ///
    /// It is a matter of calls: what `Connection::send` sends, and the reading of its reply, may take as long
    /// as the `timeout` of the connection allows.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// use std::time::Duration;
    ///
    /// use redwire::cmd;
    ///
    /// let job = cmd::<Option<(String, String)>>("BLPOP").arg("jobs").arg(0);
    /// let job = job.timeout(Duration::from_secs(60));
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options_mut().timeout = Some(timeout);
        self
    }

    /// How often this call is repeated at most when that is safe; default: the client's `retries`.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options_mut().retries = Some(retries);
        self
    }

    /// The same command, its reply read as another type.
    pub fn returning<S>(self) -> Cmd<S> {
        let Self { facts, args, rare, .. } = self;
        Cmd { facts, args, rare, reply: PhantomData }
    }

    fn options_mut(&mut self) -> &mut CmdOptions {
        &mut self.rare.get_or_insert_default().options
    }

    /// Says which script the command names by its SHA-1.
    pub(crate) fn naming(mut self, script: Script) -> Self {
        self.rare.get_or_insert_default().script = Some(script);
        self
    }

    /// The script that the command names by its SHA-1.
    #[inline]
    pub(crate) fn script(&self) -> Option<&Script> {
        self.rare.as_ref()?.script.as_ref()
    }

    /// Puts the source of its script in place of the SHA-1. Whether there was one to put.
    #[cold]
    pub(crate) fn spell_out_script(&mut self) -> bool {
        let Some(script) = self.rare.as_mut().and_then(|rare| rare.script.take()) else { return false };
        let (facts, args) = script.spell_out(&self.args);
        (self.facts, self.args) = (Some(facts), args);
        true
    }

    /// What is known about the command; for one that no server's table names, [`facts::UNKNOWN`].
    #[inline]
    #[must_use]
    pub fn facts(&self) -> &'static Facts {
        self.facts.unwrap_or_else(|| {
            let mut words = self.args.iter();
            match words.next() {
                None | Some([]) => &facts::NAMELESS,
                Some(first) => facts::lookup(first, words.next()).unwrap_or(&facts::UNKNOWN),
            }
        })
    }

    /// The command's name as the tables spell it, or its first word as it was given.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        match self.facts {
            Some(facts) => Cow::Borrowed(facts.name),
            None => name(self.args.iter()),
        }
    }

    /// What the caller said about this call.
    #[inline]
    #[must_use]
    pub fn options(&self) -> CmdOptions {
        self.rare.as_ref().map(|rare| rare.options).unwrap_or_default()
    }

    /// The words after encoding, and their number.
    #[must_use]
    pub fn args(&self) -> &Args {
        &self.args
    }

    /// The words, for people: bytes that are no text are replaced.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        self.args.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    /// The command packed as it goes over the wire, without sending it.
    #[doc(alias = "pack_command")]
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut outbox = Outbox::default();
        outbox.command(&self.args);
        outbox.to_bytes()
    }

    /// The secrets among its words.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        secret::among(self.args.iter())
    }

    /// Whether the command can be sent. All that carry commands ask; who packs it by
    /// [`to_bytes`](Self::to_bytes) may.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage): a value is absent where one must stand; see [`Arg`].
    #[inline]
    pub fn check(&self) -> Result<()> {
        match self.args.missing() {
            None => Ok(()),
            Some(absent) => Err(self.lacks(absent)),
        }
    }

    #[cold]
    fn lacks(&self, absent: Absent) -> Error {
        let name = self.name();
        let argument = (absent.place + 1).saturating_sub(name.split_ascii_whitespace().count());
        let message = format!(
            "argument {argument} is missing: {} is absent (`None` or an empty list), and what comes behind \
             it would take its place",
            absent.describe()
        );
        Error::usage(message).with_command(&name)
    }

    /// Whether repeating the command after a lost reply does no harm: it only reads, or its caller said so.
    #[must_use]
    pub fn may_repeat(&self) -> bool {
        self.options().idempotent || self.facts().is_repeatable()
    }

    /// `error`, which a server answered the command with, and what that says about the command: one that runs
    /// code of users or modules may have written before it failed, unless the server says in its own whole
    /// sentence that it did not run it. What the server quotes of the command's secrets ([`secret::among`])
    /// is taken out.
    #[cold]
    #[must_use]
    pub fn judge(&self, error: Error) -> Error {
        let words: Vec<_> = self.args.iter().collect();
        error.in_reply_to(self.facts(), &words).without(&self.secrets())
    }
}

/// The name of the command of these words, as [`Cmd::name`] gives it.
pub(crate) fn name<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Cow<'static, str> {
    let first = words.next().unwrap_or_default();
    match facts::lookup(first, words.next()) {
        Some(facts) => Cow::Borrowed(facts.name),
        None => Cow::Owned(String::from_utf8_lossy(first).into_owned()),
    }
}

impl<R> Clone for Cmd<R> {
    fn clone(&self) -> Self {
        let Self { facts, args, rare, .. } = self;
        Self { facts: *facts, args: args.clone(), rare: rare.clone(), reply: PhantomData }
    }
}

impl<R> fmt::Debug for Cmd<R> {
    /// Names the command and hides its arguments: any of them may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cmd")
            .field("name", &self.name())
            .field("words", &self.args.len())
            .finish_non_exhaustive()
    }
}
