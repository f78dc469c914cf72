//! Pipelines: many commands in one write, each with a typed place for its reply.
//!
//! A [`Pipeline`] collects commands and hands out a [`Slot`] for each; when the replies are there, whatever
//! the caller built of the slots (a tuple, a list) turns into the same shape of values. This file must not
//! know how the commands are sent.

use std::borrow::Cow;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redwire_resp::{Cursor, Head, Len};

use crate::cmd::{Cmd, CmdOptions};
use crate::config::{Config, Deployment};
use crate::dispatch;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::facts;
use crate::outbox::Outbox;
use crate::replies::Replies;
use crate::reply::{Reply, Value};
use crate::run::Run;
use crate::script::{Script, Sources};
use crate::secret::{self, Secret};
use crate::standing;

/// What is wrong with a slot of another pipeline.
const STRANGER: &str = "expected slots of this pipeline, got one that was kept from another";

/// Collects commands. Every command family works on `&Pipeline`; each call gives a [`Slot`].
#[doc(alias = "ClusterPipeline")]
#[derive(Debug, Default)]
pub struct Pipeline {
    batch: RefCell<Batch>,
}

/// The commands of a pipeline, packed.
#[derive(Debug, Default)]
pub struct Batch {
    outbox: Outbox,
    count: u32,
    harmless: bool,
    options: CmdOptions,
    refused: Option<Error>,
    /// The scripts that the server has by then.
    sources: Sources,
    /// Which commands call which scripts, in order.
    scripts: Vec<(u32, Script)>,
    /// Its number, which its slots bear.
    number: u32,
}

/// The place of one reply: stands for an `R` until the pipeline has run.
#[derive(Debug)]
#[must_use = "without its slot a reply is only looked at for errors"]
pub struct Slot<R> {
    index: u32,
    /// The number of its pipeline.
    pipeline: u32,
    reply: PhantomData<fn() -> R>,
}

/// A [`Slot`] that takes an error of its own command as a value, instead of failing the whole pipeline.
#[derive(Debug)]
pub struct TrySlot<R>(Slot<R>);

/// Something built of slots: a slot, a tuple, an array or a list of them, or nothing.
pub trait Slots {
    /// The same, built of values.
    type Out;

    /// Takes the values out of the replies.
    ///
    /// # Errors
    /// A reply that cannot be read as its slot's type.
    fn fill(self, replies: &mut Replies) -> Result<Self::Out>;

    /// Adds the numbers of the commands whose error is to be kept as a value.
    fn add_attempted(&self, attempted: &mut Vec<u32>);

    /// Whether no slot among them is of another pipeline than number `pipeline`.
    fn belong_to(&self, pipeline: u32) -> bool {
        let _ = pipeline;
        true
    }
}

/// For so many bytes a pipeline has room from the beginning: some hundred small commands.
const FIRST_ROOM: usize = 4 * 1024;

/// How many pipelines there were. Numbers begin anew after 2^32.
static PIPELINES: AtomicU32 = AtomicU32::new(1);

impl Pipeline {
    /// Lets `build` queue commands and keeps what it returns.
    #[must_use]
    pub fn record<S: Slots>(build: impl FnOnce(&Self) -> S) -> (Batch, S) {
        // 0 is no pipeline.
        let number = PIPELINES.fetch_add(1, Ordering::Relaxed).max(1);
        let mut batch = Batch { harmless: true, number, ..Batch::default() };
        batch.outbox.reserve(FIRST_ROOM);
        let pipeline = Self { batch: RefCell::new(batch) };
        let slots = build(&pipeline);
        let mut batch = pipeline.batch.into_inner();
        if !slots.belong_to(number) {
            batch.refused.get_or_insert_with(|| Error::usage(STRANGER));
        }
        (batch, slots)
    }

    /// Declares that running the whole pipeline twice does no harm, so that it may be repeated when its
    /// replies were lost.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// use redwire::{Cmd, Pipeline, Run};
    ///
    /// let (batch, _) = Pipeline::record(|p| {
    ///     p.idempotent();
    ///     p.run(Cmd::<()>::new("SET").arg("k").arg("v"))
    /// });
    /// assert!(batch.may_repeat());
    /// ```
    pub fn idempotent(&self) -> &Self {
        self.batch.borrow_mut().options.idempotent = true;
        self
    }

    /// The deadline of the whole pipeline; default: the client's `timeout`. Zero means none.
    pub fn timeout(&self, timeout: Duration) -> &Self {
        self.batch.borrow_mut().options.timeout = Some(timeout);
        self
    }

    /// How often the pipeline is repeated at most when that is safe; default: the client's `retries`.
    pub fn retries(&self, retries: u32) -> &Self {
        self.batch.borrow_mut().options.retries = Some(retries);
        self
    }

    /// How many commands are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.borrow().count as usize
    }

    /// Whether no command is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Run for &Pipeline {
    type Out<R: Reply> = Slot<R>;

    #[inline]
    fn run<R: Reply>(self, mut cmd: Cmd<R>) -> Slot<R> {
        let mut batch = self.batch.borrow_mut();
        if cmd.script().is_some() || !batch.sources.is_empty() {
            batch.call_script(&mut cmd);
        }
        if let Err(error) = dispatch::check_pipeline(&cmd) {
            batch.refused.get_or_insert(error);
        }
        batch.outbox.command(cmd.args());
        batch.harmless &= cmd.may_repeat();
        batch.count += 1;
        Slot { index: batch.count - 1, pipeline: batch.number, reply: PhantomData }
    }
}

impl Batch {
    /// Gives `cmd`, the next command, the source of its script where the server may not have it.
    #[cold]
    fn call_script<R>(&mut self, cmd: &mut Cmd<R>) {
        let script = cmd.script().cloned();
        if script.as_ref().is_some_and(|script| !self.sources.has(script)) {
            cmd.spell_out_script();
        }
        self.sources.handle_sent(cmd.facts(), script.as_ref());
        self.scripts.extend(script.map(|script| (self.count, script)));
    }

    /// The commands, each as one of its own that names its script by its SHA-1.
    pub(crate) fn commands(&self) -> Vec<Cmd<Value>> {
        let mut commands = Vec::with_capacity(self.len());
        let mut scripts = self.scripts.iter().peekable();
        self.for_each(|words| {
            let script = scripts.next_if(|(index, _)| *index as usize == commands.len());
            commands.push(match script {
                Some((_, script)) => script.named(&words[2..]),
                None => words.iter().fold(Cmd::new(""), |cmd, word| cmd.arg(*word)),
            });
        });
        commands
    }

    /// How many commands there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The packed commands.
    #[must_use]
    #[doc(hidden)]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The commands packed as they go over the wire, without sending them.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// use redwire::{Cmd, Pipeline, Run};
    ///
    /// let (batch, _) = Pipeline::record(|p| (p.run(Cmd::<()>::new("PING")), p.run(Cmd::<()>::new("PING"))));
    /// assert_eq!(batch.to_bytes(), b"*1\r\n$4\r\nPING\r\n".repeat(2));
    /// ```
    #[doc(alias = "pack_commands")]
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.outbox.to_bytes()
    }

    /// Whether every command may be repeated without harm.
    #[must_use]
    pub fn may_repeat(&self) -> bool {
        self.harmless || self.options.idempotent
    }

    /// Whether every command changes nothing.
    #[must_use]
    #[doc(hidden)]
    pub fn only_reads(&self) -> bool {
        let mut reads = true;
        self.for_each(|words| reads &= facts_of(words).is_repeatable());
        reads
    }

    /// What the caller said about the whole pipeline.
    #[must_use]
    pub fn options(&self) -> CmdOptions {
        self.options
    }

    /// Whether the pipeline can be sent.
    ///
    /// # Errors
    /// A command in it cannot stand in a pipeline.
    #[doc(hidden)]
    pub fn check(&self) -> Result<()> {
        self.refused.clone().map_or(Ok(()), Err)
    }

    /// The names of the commands.
    pub(crate) fn names(&self) -> Vec<Cow<'static, str>> {
        let mut names = Vec::with_capacity(self.len());
        self.for_each(|words| names.push(crate::cmd::name(words.iter().copied())));
        names
    }

    /// Shows the words of every command, in order.
    pub(crate) fn for_each(&self, mut see: impl FnMut(&[&[u8]])) {
        each_packed(&self.outbox.to_bytes(), |words, _| {
            see(words);
            true
        });
    }

    /// Whether any command calls a script.
    pub(crate) fn has_scripts(&self) -> bool {
        !self.scripts.is_empty()
    }

    /// The values of `slots`, from the replies to this batch.
    ///
    /// # Errors
    /// The first command that failed, in the order of the commands, whether its slot was kept or dropped; not
    /// those whose slot takes its error as a value ([`Slot::attempt`]). All other commands were executed all
    /// the same.
    #[doc(hidden)]
    pub fn finish<S: Slots>(&self, replies: Replies, slots: S) -> Result<S::Out> {
        self.finish_as("pipeline", replies, slots)
    }

    /// As [`finish`](Self::finish), where the batch is the `whole` of a transaction, for one.
    pub(crate) fn finish_as<S: Slots>(&self, whole: &str, mut replies: Replies, slots: S) -> Result<S::Out> {
        if replies.errors().next().is_some() {
            replies = replies.without(&self.secrets());
            let attempted = attempted(&slots);
            let errors: Vec<_> = replies.errors().collect();
            let first = errors.iter().find(|(index, _)| attempted.binary_search(index).is_err());
            if let Some((index, error)) = first.cloned() {
                // It stands for all of them.
                let unsure = error.outcome() == Outcome::NotSent && replies.may_have_been_executed();
                let error = if unsure { error.with_outcome(Outcome::MaybeExecuted) } else { error };
                return Err(self.numbered(whole, index, error));
            }
            self.for_failed(&errors, |index, words, error| {
                let outcome = error.clone().in_reply_to(facts_of(words), words).outcome();
                if outcome == Outcome::MaybeExecuted {
                    replies.mark_doubtful(index);
                }
            });
        }
        replies.belong_to(self.number);
        slots.fill(&mut replies)
    }

    /// The secrets among the words of all commands.
    #[cold]
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let mut secrets = Vec::new();
        self.for_each(|words| secrets.extend(secret::among(words.iter().copied())));
        secrets
    }

    /// The first error among the replies by which the server says something of itself.
    pub(crate) fn error_about_server(&self, replies: &Replies) -> Option<Error> {
        let errors: Vec<_> = replies.errors().collect();
        let mut error_about_server = None;
        self.for_failed(&errors, |_, words, error| {
            let error = error.clone().in_reply_to(facts_of(words), words);
            if error_about_server.is_none() && error.is_about_server() {
                error_about_server = Some(error);
            }
        });
        error_about_server
    }

    /// The first error among the replies by which the server says that this connection is of no use, if none
    /// of the commands was executed but those that change nothing.
    pub(crate) fn refusal(&self, replies: &Replies, config: &Config) -> Option<Error> {
        replies.errors().next()?;
        if matches!(config.deployment(), Deployment::Cluster { .. }) {
            // There, each command goes its own way.
            return None;
        }
        let errors: Vec<_> = replies.errors().collect();
        let (mut errors, mut nth, mut harmless, mut first) = (errors.iter().peekable(), 0, true, None);
        self.for_each(|words| {
            let facts = facts_of(words);
            harmless &= match errors.next_if(|(index, _)| *index == nth) {
                Some((index, error)) => {
                    let error = error.clone().in_reply_to(facts, words);
                    let rejected = error.outcome() == Outcome::Rejected;
                    if rejected && first.is_none() && standing::may_go_on(&error, false, config) {
                        first = Some((*index, error));
                    }
                    rejected || facts.is_repeatable()
                }
                None => facts.is_repeatable(),
            };
            nth += 1;
        });
        let (index, error) = first.filter(|_| harmless)?;
        Some(self.numbered("pipeline", index, error.without(&self.secrets())))
    }

    /// Says which of the commands of the `whole` failed.
    #[cold]
    pub(crate) fn numbered(&self, whole: &str, index: u32, error: Error) -> Error {
        let doing = format!("command {} of {} in the {whole}", index + 1, self.count);
        let mut failed = error.clone().with_context(&doing);
        self.for_failed(&[(index, error)], |_, words, error| {
            // One that names its command is no reply as a server gave it, and was judged before.
            let error = match error.command() {
                Some(_) => error.clone(),
                None => error.clone().in_reply_to(facts_of(words), words),
            };
            let name = words.first().map(|name| String::from_utf8_lossy(name)).unwrap_or_default();
            failed = error.with_context(&doing).with_command(&name);
        });
        failed
    }

    /// Shows the words of the commands that failed, each with its number and its error.
    fn for_failed(&self, errors: &[(u32, Error)], mut see: impl FnMut(u32, &[&[u8]], &Error)) {
        let (mut errors, mut nth) = (errors.iter().peekable(), 0);
        if errors.peek().is_none() {
            return;
        }
        self.for_each(|words| {
            if let Some((index, error)) = errors.next_if(|(index, _)| *index == nth) {
                see(*index, words, error);
            }
            nth += 1;
        });
    }
}

/// Shows the words of every command that is `packed`, in order, and how it lies there, for as long as `see`
/// says so.
pub(crate) fn each_packed<'a>(packed: &'a [u8], mut see: impl FnMut(&[&'a [u8]], &'a [u8]) -> bool) {
    let mut cursor = Cursor::new(packed);
    let (mut words, mut from) = (Vec::new(), 0);
    // Written here as arrays of bulk strings.
    while let Some(count) = cursor.short_array().or_else(|| long_array(&mut cursor)) {
        words.clear();
        for _ in 0..count {
            match cursor.short_bulk() {
                Some(word) => words.push(word),
                None => match cursor.head() {
                    Ok(Head::Bulk(word)) => words.push(word),
                    _ => break,
                },
            }
        }
        if !see(&words, &packed[from..cursor.position()]) {
            return;
        }
        from = cursor.position();
    }
}

#[cold]
fn long_array(cursor: &mut Cursor<'_>) -> Option<usize> {
    match cursor.head() {
        Ok(Head::Array(Len::Known(count))) => Some(count),
        _ => None,
    }
}

/// What is known about the command of these words.
pub(crate) fn facts_of(words: &[&[u8]]) -> &'static facts::Facts {
    let mut words = words.iter().copied();
    facts::lookup(words.next().unwrap_or_default(), words.next()).unwrap_or(&facts::UNKNOWN)
}

/// The numbers of the commands whose error is kept as a value, in order.
pub(crate) fn attempted(slots: &impl Slots) -> Vec<u32> {
    let mut attempted = Vec::new();
    slots.add_attempted(&mut attempted);
    attempted.sort_unstable();
    attempted
}

impl<R> Slot<R> {
    /// Takes this command's error as a value: `Result<R>` stands where `R` would, and the other commands'
    /// values are still given out.
    ///
    /// That is whatever error its command ends in: what the server says, a reply that cannot be read, and
    /// also that no reply came, since its server could not be reached, or was lost behind the first replies.
    /// Each has its own [outcome](crate::Error::outcome). So only a command that cannot stand in a pipeline
    /// fails one of which every slot takes its error. A transaction is executed whole or not at all: there,
    /// only errors of commands that were executed are values.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// use redwire::{Cmd, Pipeline, Run, Slots, Value};
    ///
    /// let (batch, slots) = Pipeline::record(|p| {
    ///     let get = |key: &str| p.run(Cmd::<Value>::new("GET").arg(key));
    ///     (get("a"), get("not a string").attempt())
    /// });
    /// assert_eq!(batch.len(), 2);
    /// # drop(slots);
    /// ```
    #[doc(alias = "raise_on_error")]
    pub fn attempt(self) -> TrySlot<R> {
        TrySlot(self)
    }
}

impl<R: Reply> Slots for Slot<R> {
    type Out = R;

    #[inline]
    fn fill(self, replies: &mut Replies) -> Result<R> {
        if ![0, self.pipeline].contains(&replies.pipeline()) {
            return Err(Error::new(ErrorKind::Usage, Outcome::Unreadable, STRANGER));
        }
        replies.read_at(self.index)
    }

    fn add_attempted(&self, _attempted: &mut Vec<u32>) {}

    fn belong_to(&self, pipeline: u32) -> bool {
        self.pipeline == pipeline
    }
}

impl<R: Reply> Slots for TrySlot<R> {
    type Out = Result<R>;

    fn fill(self, replies: &mut Replies) -> Result<Result<R>> {
        Ok(self.0.fill(replies))
    }

    fn add_attempted(&self, attempted: &mut Vec<u32>) {
        attempted.push(self.0.index);
    }

    fn belong_to(&self, pipeline: u32) -> bool {
        self.0.belong_to(pipeline)
    }
}

impl<S: Slots> Slots for Vec<S> {
    type Out = Vec<S::Out>;

    fn fill(self, replies: &mut Replies) -> Result<Self::Out> {
        // To collect into a `Result` would have the list grow by and by.
        let mut values = Vec::with_capacity(self.len());
        for slot in self {
            values.push(slot.fill(replies)?);
        }
        Ok(values)
    }

    fn add_attempted(&self, attempted: &mut Vec<u32>) {
        self.iter().for_each(|slot| slot.add_attempted(attempted));
    }

    fn belong_to(&self, pipeline: u32) -> bool {
        self.iter().all(|slot| slot.belong_to(pipeline))
    }
}

impl<S: Slots> Slots for Option<S> {
    type Out = Option<S::Out>;

    fn fill(self, replies: &mut Replies) -> Result<Self::Out> {
        self.map(|slot| slot.fill(replies)).transpose()
    }

    fn add_attempted(&self, attempted: &mut Vec<u32>) {
        self.iter().for_each(|slot| slot.add_attempted(attempted));
    }

    fn belong_to(&self, pipeline: u32) -> bool {
        self.as_ref().is_none_or(|slot| slot.belong_to(pipeline))
    }
}

impl<S: Slots, const N: usize> Slots for [S; N] {
    type Out = [S::Out; N];

    fn fill(self, replies: &mut Replies) -> Result<Self::Out> {
        let values: Vec<_> = self.into_iter().map(|slot| slot.fill(replies)).collect::<Result<_>>()?;
        values
            .try_into()
            .map_err(|_| Error::new(ErrorKind::Decode, Outcome::Unreadable, "an array changed its length"))
    }

    fn add_attempted(&self, attempted: &mut Vec<u32>) {
        self.iter().for_each(|slot| slot.add_attempted(attempted));
    }

    fn belong_to(&self, pipeline: u32) -> bool {
        self.iter().all(|slot| slot.belong_to(pipeline))
    }
}

macro_rules! tuples {
    ($($name:ident),*) => {
        impl<$($name: Slots),*> Slots for ($($name,)*) {
            type Out = ($($name::Out,)*);

            #[allow(non_snake_case, clippy::unused_unit, reason = "the type parameters double as the names \
                 of the parts")]
            fn fill(self, _replies: &mut Replies) -> Result<Self::Out> {
                let ($($name,)*) = self;
                Ok(($($name.fill(_replies)?,)*))
            }

            #[allow(non_snake_case, reason = "the type parameters double as the names of the parts")]
            fn add_attempted(&self, _attempted: &mut Vec<u32>) {
                let ($($name,)*) = self;
                $($name.add_attempted(_attempted);)*
            }

            #[allow(non_snake_case, reason = "the type parameters double as the names of the parts")]
            fn belong_to(&self, _pipeline: u32) -> bool {
                let ($($name,)*) = self;
                true $(&& $name.belong_to(_pipeline))*
            }
        }
    };
}
tuples!();
tuples!(A);
tuples!(A, B);
tuples!(A, B, C);
tuples!(A, B, C, D);
tuples!(A, B, C, D, E);
tuples!(A, B, C, D, E, F);
tuples!(A, B, C, D, E, F, G);
tuples!(A, B, C, D, E, F, G, H);
tuples!(A, B, C, D, E, F, G, H, I);
tuples!(A, B, C, D, E, F, G, H, I, J);
