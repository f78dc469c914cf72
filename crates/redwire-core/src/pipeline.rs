//! Pipelines: many commands in one write, each with a typed place for its reply.
//!
//! A [`Pipeline`] collects commands and hands out a [`Slot`] for each; when the replies are there, whatever the
//! caller built of the slots (a tuple, a list) turns into the same shape of values. This file must not know how the
//! commands are sent.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::time::Duration;

use redwire_resp::{Cursor, Head, Len};

use crate::cmd::{Cmd, Options};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::facts;
use crate::lane;
use crate::outbox::Outbox;
use crate::replies::Replies;
use crate::reply::Reply;
use crate::run::Run;
use crate::secret::{self, Secret};

/// Collects commands. Every command family works on `&Pipeline`; each call gives a [`Slot`].
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
    options: Options,
    refused: Option<Error>,
    /// The SHA-1s of the scripts whose source is in it.
    scripts: BTreeSet<String>,
}

/// The place of one reply: stands for an `R` until the pipeline has run.
#[derive(Debug)]
#[must_use = "without its slot a reply is only looked at for errors"]
pub struct Slot<R> {
    index: u32,
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

    /// Whether the error of command number `index` is to be kept as a value.
    fn keeps_error(&self, index: u32) -> bool;
}

impl Pipeline {
    /// Lets `build` queue commands and keeps what it returns.
    #[must_use]
    pub fn record<S: Slots>(build: impl FnOnce(&Self) -> S) -> (Batch, S) {
        let pipeline = Self { batch: RefCell::new(Batch { harmless: true, ..Batch::default() }) };
        let slots = build(&pipeline);
        (pipeline.batch.into_inner(), slots)
    }

    /// Declares that running the whole pipeline twice does no harm, so that it may be repeated when its replies were lost.
    ///
    /// ```
    /// use redwire_core::{Cmd, Pipeline, Run};
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
        if cmd.script().is_some_and(|script| batch.scripts.insert(script.sha().to_owned())) {
            cmd.spell_out_script();
        }
        if let Err(error) = lane::check_pipeline(&cmd) {
            batch.refused.get_or_insert(error);
        }
        batch.outbox.command(cmd.args());
        batch.harmless &= cmd.may_repeat();
        batch.count += 1;
        Slot { index: batch.count - 1, reply: PhantomData }
    }
}

impl Batch {
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
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The commands packed as they go over the wire, without sending them.
    ///
    /// ```
    /// use redwire_core::{Cmd, Pipeline, Run};
    ///
    /// let (batch, _) = Pipeline::record(|p| (p.run(Cmd::<()>::new("PING")), p.run(Cmd::<()>::new("PING"))));
    /// assert_eq!(batch.to_bytes(), b"*1\r\n$4\r\nPING\r\n".repeat(2));
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.outbox.to_bytes()
    }

    /// Whether every command may be repeated without harm.
    #[must_use]
    pub fn may_repeat(&self) -> bool {
        self.harmless || self.options.idempotent
    }

    /// What the caller said about the whole pipeline.
    #[must_use]
    pub fn options(&self) -> Options {
        self.options
    }

    /// Whether the pipeline can be sent.
    ///
    /// # Errors
    /// A command in it cannot stand in a pipeline.
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
        let packed = self.outbox.to_bytes();
        let mut cursor = Cursor::new(&packed);
        let mut words = Vec::new();
        // Written here as arrays of bulk strings.
        while let Ok(Head::Array(Len::Known(count))) = cursor.head() {
            words.clear();
            for _ in 0..count {
                let Ok(Head::Bulk(word)) = cursor.head() else { break };
                words.push(word);
            }
            see(&words);
        }
    }

    /// The values of `slots`, from the replies to this batch.
    ///
    /// # Errors
    /// The first command that failed, in the order of the commands, whether its slot was kept or dropped; not
    /// those whose slot takes its error as a value ([`Slot::attempt`]). All other commands were executed all the same.
    pub fn finish<S: Slots>(&self, replies: Replies, slots: S) -> Result<S::Out> {
        self.finish_as("pipeline", replies, slots)
    }

    /// As [`finish`](Self::finish), where the batch is the `whole` of a transaction, for one.
    pub(crate) fn finish_as<S: Slots>(&self, whole: &str, mut replies: Replies, slots: S) -> Result<S::Out> {
        if replies.errors().next().is_some() {
            replies = replies.without(&self.secrets());
            if let Some((index, error)) = replies.errors().find(|(index, _)| !slots.keeps_error(*index)) {
                return Err(self.numbered(whole, index, error));
            }
        }
        slots.fill(&mut replies)
    }

    /// The secrets among the words of all commands.
    #[cold]
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let mut secrets = Vec::new();
        self.for_each(|words| secrets.extend(secret::among(words.iter().copied())));
        secrets
    }

    /// Says which of the commands of the `whole` failed.
    #[cold]
    pub(crate) fn numbered(&self, whole: &str, index: u32, error: Error) -> Error {
        let packed = self.outbox.to_bytes();
        let mut cursor = Cursor::new(&packed);
        let name = (0..index).try_for_each(|_| cursor.skip()).ok().and_then(|()| {
            cursor.head().ok()?;
            let Ok(Head::Bulk(name)) = cursor.head() else { return None };
            Some(String::from_utf8_lossy(name).into_owned())
        });
        let facts = name.as_ref().and_then(|name| facts::lookup(name.as_bytes(), None));
        let error = match facts {
            Some(facts) => error.in_reply_to(facts),
            None => error,
        };
        let error = error.with_context(&format!("command {} of {} in the {whole}", index + 1, self.count));
        match name {
            Some(name) => error.with_command(&name),
            None => error,
        }
    }
}

impl<R> Slot<R> {
    /// Takes this command's error as a value: `Result<R>` stands where `R` would, and the other commands' values
    /// are still given out.
    ///
    /// ```
    /// use redwire_core::{Cmd, Pipeline, Run, Slots, Value};
    ///
    /// let (batch, slots) = Pipeline::record(|p| {
    ///     let get = |key: &str| p.run(Cmd::<Value>::new("GET").arg(key));
    ///     (get("a"), get("not a string").attempt())
    /// });
    /// assert_eq!(batch.len(), 2);
    /// # drop(slots);
    /// ```
    pub fn attempt(self) -> TrySlot<R> {
        TrySlot(self)
    }
}

impl<R: Reply> Slots for Slot<R> {
    type Out = R;

    #[inline]
    fn fill(self, replies: &mut Replies) -> Result<R> {
        replies.read_at(self.index)
    }

    fn keeps_error(&self, _index: u32) -> bool {
        false
    }
}

impl<R: Reply> Slots for TrySlot<R> {
    type Out = Result<R>;

    fn fill(self, replies: &mut Replies) -> Result<Result<R>> {
        Ok(self.0.fill(replies))
    }

    fn keeps_error(&self, index: u32) -> bool {
        self.0.index == index
    }
}

impl<S: Slots> Slots for Vec<S> {
    type Out = Vec<S::Out>;

    fn fill(self, replies: &mut Replies) -> Result<Self::Out> {
        self.into_iter().map(|slot| slot.fill(replies)).collect()
    }

    fn keeps_error(&self, index: u32) -> bool {
        self.iter().any(|slot| slot.keeps_error(index))
    }
}

impl<S: Slots> Slots for Option<S> {
    type Out = Option<S::Out>;

    fn fill(self, replies: &mut Replies) -> Result<Self::Out> {
        self.map(|slot| slot.fill(replies)).transpose()
    }

    fn keeps_error(&self, index: u32) -> bool {
        self.as_ref().is_some_and(|slot| slot.keeps_error(index))
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

    fn keeps_error(&self, index: u32) -> bool {
        self.iter().any(|slot| slot.keeps_error(index))
    }
}

macro_rules! tuples {
    ($($name:ident),*) => {
        impl<$($name: Slots),*> Slots for ($($name,)*) {
            type Out = ($($name::Out,)*);

            #[allow(non_snake_case, clippy::unused_unit, reason = "the type parameters double as the names of the parts")]
            fn fill(self, _replies: &mut Replies) -> Result<Self::Out> {
                let ($($name,)*) = self;
                Ok(($($name.fill(_replies)?,)*))
            }

            #[allow(non_snake_case, reason = "the type parameters double as the names of the parts")]
            fn keeps_error(&self, _index: u32) -> bool {
                let ($($name,)*) = self;
                false $(|| $name.keeps_error(_index))*
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
