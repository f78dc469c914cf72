//! The order of one connection: requests out, replies back, each to the request that asked for it.
//!
//! Replies come in the order of the requests, so a reply belongs to the oldest request that is still owed
//! one. A caller that gives up leaves its place in that order: the reply is swallowed when it comes, and no
//! caller gets it; if nothing of its request was taken to be written, nothing ever is. When a connection is
//! lost, each request learns whether the server may have seen it. This file must not know sockets, commands
//! or what a reply says, but whether a transaction was ended.
//!
//! What becomes of a request (`RequestSlot`):
//!
//! ```text
//!  submit ─────────────────────────▶ Waiting ── some of its replies ──▶ Gathering
//!     └ no room ──▶ Outside ── enter ──▲
//!
//!  Waiting, Gathering ── the last reply, or the connection is lost ──▶ Done ── poll_reply ──▶ Free
//!                     ├─ its deadline passes ──▶ Late ── poll_reply ──▶ Abandoned
//!                     └─ abandon ──────────────────────▶ Abandoned ── the last reply, or never sent ──▶ Free
//!
//!  Outside ── its deadline passes, or the connection is lost ──▶ Done
//!          └─ abandon ──▶ Abandoned
//!  Late ── nothing more can come for it ──▶ Done
//! ```
//!
//! `W` is what wakes the caller: a waker in the async driver, a thread or nothing in the blocking one.

mod clock;
mod combiner;
mod overdue;
mod probe;
mod room;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::{ConnectionFault, Error, ErrorKind, Outcome};
use crate::inbound::Frames;
use crate::liveness::Liveness;
use crate::outbox::Outbox;
use crate::replies::Replies;
use crate::transaction;
pub use combiner::{Combiner, CombinerEnd, Duty};
use overdue::Overdue;
use probe::{Habit, Probe, Purpose};

/// The requests of one connection, from being queued to being answered.
///
/// Mutators: [`submit`](Self::submit), [`abandon`](Self::abandon). What happened: `handle_…`. What now:
/// `poll_…`.
#[derive(Debug)]
pub struct Link<W> {
    outbox: Outbox,
    /// Positions in the stream of requests: up to where bytes were queued, taken to be written, and handed to
    /// the kernel.
    queued: u64,
    taken: u64,
    sent: u64,
    /// Whether requests whose bytes were not taken yet may have been given up.
    given_up: bool,
    /// Whether a reply failed to come in time, so that the stream may be out of step.
    doubtful: bool,
    /// Whether a reply failed to come in time, and none has come since.
    missed: bool,
    /// Whether anything was answered, by more than an error, on the connection that was made last.
    answered: bool,
    /// Whether the peer has been silent for so long that it is asked whether it lives.
    silent: bool,
    /// The first of the questions whose answers are to come, and those behind it.
    probe: Option<Probe>,
    /// What the peer answers to questions if not their words.
    habit: Habit,
    /// A number at random, for words that cannot be guessed.
    salt: u64,
    probes: VecDeque<Probe>,
    /// After how many replies such a question is put among the requests, and how many were asked for since.
    mark_every: u64,
    unmarked: u64,
    liveness: Liveness,
    overdue: Overdue,
    /// Whether the server was found to live over another connection, in answer to the last doubt.
    lives_elsewhere: bool,
    /// Up to where requests were queued at the last ticks, the newest first.
    ticks: [u64; clock::TICKS],
    /// What was sent at the last tick, if the kernel would take no more then; and how often it has taken more
    /// since.
    stuck: Option<u64>,
    unstuck: u64,
    order: VecDeque<SentRequest>,
    /// The requests that wait for room for their bytes, and how many of them have left since.
    outside: VecDeque<u32>,
    left: usize,
    /// What no request is owed, once that is [listened to](Self::listen).
    unasked: Option<VecDeque<Bytes>>,
    slots: Vec<RequestSlot<W>>,
    free: Vec<u32>,
    woken: Vec<W>,
    deadline: Option<Instant>,
    limits: QueueLimits,
    submitted: u64,
    /// How many requests the last arrival of replies completed, and how many were submitted since.
    wave: usize,
    since_wave: usize,
    /// How many requests were looked at in all, where that is more than one at a time.
    #[cfg(test)]
    looked_at: usize,
}

/// How much may wait in a connection, sent or not.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Requests without a reply.
    pub commands: usize,
    /// Bytes not yet handed to the kernel.
    pub bytes: usize,
}

/// A request's claim to its replies. It must be redeemed by [`Link::poll_reply`] or given up by
/// [`Link::abandon`].
#[derive(Debug)]
#[must_use = "a ticket that is dropped leaks its place; abandon it"]
pub struct Ticket {
    slot: u32,
    may_enter: bool,
}

#[derive(Debug)]
struct SentRequest {
    slot: u32,
    /// How many replies it is still owed.
    owed: u32,
    /// Once this much of the stream is sent, the server may execute it, or a part of it.
    decisive: u64,
    /// Where its bytes end.
    end: u64,
    /// Which of its replies is that to `MULTI`, counted from 1; 0: it is no transaction.
    multi: u32,
}

#[derive(Debug)]
enum RequestSlot<W> {
    Free,
    Waiting {
        waiter: W,
        deadline: Option<Instant>,
    },
    /// Some of several replies have come.
    Gathering {
        waiter: W,
        deadline: Option<Instant>,
        replies: Box<Replies>,
    },
    /// Nothing of it is queued: it waits for room for as many bytes, and may have been called to enter.
    Outside {
        waiter: W,
        deadline: Option<Instant>,
        size: usize,
        called: bool,
    },
    /// Its deadline has passed, which the caller was not told yet; replies may still come for it.
    Late(Error),
    /// Answered or failed, and nothing more will come.
    Done(Result<Replies, Error>),
    Abandoned,
    /// A question of the link's own: no caller waits for its answer.
    Probe,
}

impl<W> RequestSlot<W> {
    /// Who waits for what comes to it.
    fn into_waiter(self) -> Option<W> {
        match self {
            Self::Waiting { waiter, .. } | Self::Gathering { waiter, .. } | Self::Outside { waiter, .. } => {
                Some(waiter)
            }
            Self::Free | Self::Late(_) | Self::Done(_) | Self::Abandoned | Self::Probe => None,
        }
    }
}

impl<W: Clone> Link<W> {
    /// A connection with nothing under way. Once [connected](Self::handle_connected), a peer that is silent
    /// for `interval` is asked whether it lives; `None`: never.
    #[must_use]
    pub fn new(limits: QueueLimits, interval: Option<Duration>) -> Self {
        Self {
            outbox: Outbox::default(),
            queued: 0,
            taken: 0,
            sent: 0,
            given_up: false,
            doubtful: false,
            missed: false,
            answered: false,
            silent: false,
            probe: None,
            habit: Habit::default(),
            salt: 0,
            probes: VecDeque::new(),
            mark_every: u64::MAX,
            unmarked: 0,
            liveness: Liveness::new(interval),
            overdue: Overdue::default(),
            lives_elsewhere: false,
            ticks: [0; clock::TICKS],
            stuck: None,
            unstuck: 0,
            order: VecDeque::new(),
            outside: VecDeque::new(),
            left: 0,
            unasked: None,
            slots: Vec::new(),
            free: Vec::new(),
            woken: Vec::new(),
            deadline: None,
            limits,
            submitted: 0,
            wave: 0,
            since_wave: 0,
            #[cfg(test)]
            looked_at: 0,
        }
    }

    /// The same, with words of its own that cannot be guessed; `random` is uniform over all of `u64`.
    #[must_use]
    pub fn salted(mut self, random: u64) -> Self {
        self.salt = random;
        self
    }

    /// Puts a question of its own among the requests after each `replies` that they ask for, so that a reply
    /// that was lost on the way is found out even if no deadline was missed; 0: never.
    #[must_use]
    pub fn marked_every(mut self, replies: u32) -> Self {
        self.mark_every = if replies == 0 { u64::MAX } else { u64::from(replies) };
        self
    }

    /// Tells by [`poll_silence`](Self::poll_silence) of a peer that leaves something unanswered for `pause`,
    /// and for two of them at most, while nothing else comes; `None`: never. An idle connection is looked at
    /// seldom.
    #[must_use]
    pub fn doubting_after(mut self, pause: Option<Duration>) -> Self {
        self.overdue = Overdue::new(pause);
        self
    }

    /// Whether no request waits for a reply.
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.order.is_empty()
    }

    /// How many requests were submitted in all.
    #[must_use]
    pub fn submitted(&self) -> u64 {
        self.submitted
    }

    /// How many requests wait for replies, given-up ones included.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.order.len()
    }

    /// Queues a request of `count` commands whose bytes `write` appends; its replies, or its failure, are for
    /// `waiter`. `whole`: nothing of it is executed before all of it is sent.
    ///
    /// # Errors
    /// [`ErrorKind::QueueFull`]: the limits would be exceeded, or others wait for room already. A request
    /// larger than the byte limit passes when nothing else waits to be written, or it never could.
    #[inline]
    pub fn submit(
        &mut self,
        count: u32,
        size: usize,
        whole: bool,
        write: impl FnOnce(&mut Outbox),
        waiter: W,
        deadline: Option<Instant>,
    ) -> Result<Ticket, Error> {
        if !self.finds_room(size) {
            return Err(self.queue_full(count));
        }
        let slot = self.occupy(RequestSlot::Waiting { waiter, deadline });
        Ok(self.queue(slot, count, size, whole, write, deadline))
    }

    #[inline]
    fn queue(
        &mut self,
        slot: u32,
        count: u32,
        size: usize,
        whole: bool,
        write: impl FnOnce(&mut Outbox),
        deadline: Option<Instant>,
    ) -> Ticket {
        // Ahead of a request: its answer is there before the caller has its reply, and nothing is left
        // to come after.
        if self.unmarked >= self.mark_every {
            self.put_question(Purpose::Mark);
        }
        self.unmarked = self.unmarked.wrapping_add(u64::from(count));
        write(&mut self.outbox);
        let start = self.queued;
        self.queued += size as u64;
        // Half a command cannot be executed, nor half a transaction; of several commands, the first may be as
        // soon as any byte is out.
        let decisive = if whole { self.queued } else { start + 1 };
        self.order.push_back(SentRequest { slot, owed: count, decisive, end: self.queued, multi: 0 });
        self.since_wave += 1;
        self.submitted += 1;
        self.expect_by(deadline);
        Ticket { slot, may_enter: false }
    }

    #[inline]
    fn expect_by(&mut self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            self.deadline = Some(self.deadline.map_or(deadline, |earliest| earliest.min(deadline)));
        }
    }

    #[inline]
    fn occupy(&mut self, state: RequestSlot<W>) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = state;
            slot
        } else {
            self.slots.push(state);
            // The queue limit keeps the number of slots far below 2^32.
            self.slots.len() as u32 - 1
        }
    }

    #[inline]
    fn finds_room(&mut self, size: usize) -> bool {
        self.has_room(size) || (self.given_up && self.makes_room(size))
    }

    /// Whether a request of so many bytes would be queued at once.
    #[inline]
    #[must_use]
    pub fn has_room(&self, size: usize) -> bool {
        self.fits(size) && self.outside.is_empty()
    }

    /// What was given up makes room.
    #[cold]
    fn makes_room(&mut self, size: usize) -> bool {
        self.withdraw();
        self.has_room(size)
    }

    #[cold]
    fn queue_full(&self, count: u32) -> Error {
        let waiting = self.queued - self.sent;
        let message = format!(
            "the queue is full: {} requests and {waiting} bytes wait, at most {} and {} may ({count} more \
             asked for)",
            self.order.len() + self.outside.len(),
            self.limits.commands,
            self.limits.bytes
        );
        Error::new(ErrorKind::QueueFull, Outcome::NotSent, message)
    }

    /// Takes all bytes that wait to be written, in exchange for the empty `outbox`; the caller writes them
    /// and reports each progress to [`handle_sent`](Self::handle_sent).
    #[inline]
    pub fn poll_transmit(&mut self, outbox: &mut Outbox) -> bool {
        debug_assert!(outbox.is_empty(), "what was taken before is not written yet");
        if self.given_up {
            self.withdraw();
        }
        if self.doubtful || self.silent {
            self.ask();
        }
        std::mem::swap(&mut self.outbox, outbox);
        self.taken = self.queued;
        !outbox.is_empty()
    }

    /// Takes back the requests that were given up before their bytes were taken: they are never sent.
    #[cold]
    fn withdraw(&mut self) {
        self.given_up = false;
        let first = self.order.partition_point(|entry| entry.end <= self.taken);
        let (mut start, mut gone, mut ranges) = (self.taken, 0, Vec::new());
        for mut entry in self.order.split_off(first) {
            #[cfg(test)]
            (self.looked_at += 1);
            let size = entry.end - start;
            let abandoned = match self.slots[entry.slot as usize] {
                RequestSlot::Waiting { .. } | RequestSlot::Gathering { .. } | RequestSlot::Probe => {
                    (entry.decisive, entry.end) = (entry.decisive - gone, entry.end - gone);
                    start += size;
                    self.order.push_back(entry);
                    continue;
                }
                RequestSlot::Abandoned => true,
                RequestSlot::Late(_)
                | RequestSlot::Done(_)
                | RequestSlot::Outside { .. }
                | RequestSlot::Free => false,
            };
            if abandoned {
                self.release(entry.slot);
            } else {
                self.settle(entry.slot);
            }
            ranges.push((start - self.taken) as usize..(start + size - self.taken) as usize);
            (start, gone) = (start + size, gone + size);
        }
        self.outbox.cut(&ranges);
        self.queued -= gone;
        self.call_next();
    }

    /// Whether the peer has answered anything, by more than an error, on the connection that was made last.
    #[must_use]
    pub fn has_answered(&self) -> bool {
        self.answered
    }

    /// Whether bytes wait to be written.
    #[inline]
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        !self.outbox.is_empty() || self.doubtful || self.silent
    }

    /// Queues a `PING` with words of its own, unless every reply has come after all and the peer is not
    /// silent.
    #[cold]
    fn ask(&mut self) {
        // What answers a question cannot be told among frames that come as they like.
        let wanted = (self.silent || !self.order.is_empty()) && self.unasked.is_none();
        let purpose = if self.doubtful { Purpose::Step } else { Purpose::Life };
        (self.doubtful, self.silent) = (false, false);
        match &mut self.probe {
            _ if !wanted => {}
            // Its answer is behind the reply that is late.
            Some(probe) if purpose == Purpose::Step => probe.purpose = purpose,
            Some(_) => {}
            None => self.put_question(purpose),
        }
    }

    /// Queues a question whose answer shows whether the stream is in step.
    #[cold]
    fn put_question(&mut self, purpose: Purpose) {
        self.unmarked = 0;
        let slot = self.occupy(RequestSlot::Probe);
        let probe = Probe::new(slot, self.queued, self.salt, purpose);
        let question = probe.question();
        self.outbox.copy(&question);
        self.queued += question.len() as u64;
        self.order.push_back(SentRequest {
            slot,
            owed: 1,
            decisive: self.queued,
            end: self.queued,
            multi: 0,
        });
        if self.probe.is_none() {
            self.probe = Some(probe);
        } else {
            self.probes.push_back(probe);
        }
    }

    /// Whether the request that was just submitted is best written at once by the caller that submitted it:
    /// no other request is under way, and none was just now. Under load it is better to wait and write the
    /// requests of many together.
    #[inline]
    #[must_use]
    pub fn writes_at_once(&self) -> bool {
        self.order.len() == 1 && self.wave <= 1 && self.outside.is_empty()
    }

    /// Whether more requests are likely to come in a moment: of those whose replies came last, not all have
    /// asked again yet. Writing is worth a short delay then.
    #[inline]
    #[must_use]
    pub fn expects_more(&self) -> bool {
        self.since_wave < self.wave
    }

    /// The kernel accepted `n` more bytes.
    #[inline]
    pub fn handle_sent(&mut self, n: usize) {
        self.sent += n as u64;
        if !self.outside.is_empty() {
            self.call_next();
        }
    }

    /// Replies arrived: each goes to the oldest request that is owed one. Pushed frames are passed over.
    ///
    /// # Errors
    /// A reply that no request asked for: the stream is out of step and must not be used any more. So with a
    /// [large frame](Frames::has_large_rest) that is not whole yet, and that no caller waits for.
    #[inline]
    pub fn handle_frames(&mut self, frames: &mut Frames) -> Result<(), Error> {
        if !frames.is_empty() {
            let before = self.order.len();
            self.missed = false;
            if !self.answered {
                self.answered = before > 0 && frames.has_answer();
            }
            let result = self.hand_out(frames);
            (self.wave, self.since_wave) = (before - self.order.len(), 0);
            if !self.outside.is_empty() {
                self.call_next();
            }
            result?;
        }
        if frames.has_large_rest() { self.check_wanted(frames) } else { Ok(()) }
    }

    /// There may be no caller any more that waits for a large frame that is not whole yet.
    #[cold]
    fn check_wanted(&self, frames: &Frames) -> Result<(), Error> {
        match self.order.front().map(|entry| &self.slots[entry.slot as usize]) {
            Some(RequestSlot::Waiting { .. } | RequestSlot::Gathering { .. }) => Ok(()),
            _ => frames.check_unwanted(),
        }
    }

    #[inline]
    fn hand_out(&mut self, frames: &mut Frames) -> Result<(), Error> {
        let mut bytes = std::mem::take(&mut frames.bytes);
        let mut start = 0;
        let mut next = 0;
        while let Some(&(end, push)) = frames.ends.get(next) {
            if push {
                self.hear(bytes.split_to(end - start));
                (start, next) = (end, next + 1);
                continue;
            }
            let Some(entry) = self.order.front_mut() else {
                if self.unasked.is_none() {
                    return Err(unexpected_reply(&bytes));
                }
                self.hear(bytes.split_to(end - start));
                (start, next) = (end, next + 1);
                continue;
            };
            let mut run = 1;
            if let Some(probe) = &self.probe {
                if !probe.is_in_step(entry.slot, &bytes[..end - start], &mut self.habit) {
                    return Err(out_of_step());
                }
                if probe.is_answered_by(entry.slot) {
                    self.probe = self.probes.pop_front();
                }
            } else {
                while run < entry.owed as usize && frames.ends.get(next + run).is_some_and(|(_, push)| !push)
                {
                    run += 1;
                }
            }
            let end = frames.ends[next + run - 1].0;
            let piece = bytes.split_to(end - start);
            (start, next) = (end, next + run);
            entry.owed -= run as u32;
            let (slot, done) = (entry.slot, entry.owed == 0);
            let multi = if frames.has_errors && done { entry.multi } else { 0 };
            if done {
                self.order.pop_front();
            }
            if multi > 0 {
                self.deliver_transaction(slot, piece, run, multi)?;
                continue;
            }
            self.deliver(slot, piece, run, frames.has_errors, done);
        }
        Ok(())
    }

    /// The last replies of a transaction, which may have been refused. Where it may still be open, no caller
    /// must use the connection any more: what others ask would only be queued.
    #[cold]
    fn deliver_transaction(&mut self, slot: u32, piece: Bytes, run: usize, multi: u32) -> Result<(), Error> {
        let mut arrived = Replies::default();
        arrived.push(piece.clone(), run, true);
        self.deliver(slot, piece, run, true, true);
        let last = arrived.errors().find(|(index, _)| *index as usize + 1 == run);
        let Some((_, error)) = last else { return Ok(()) };
        let was_opened = match &self.slots[slot as usize] {
            RequestSlot::Done(Ok(replies)) => !replies.errors().any(|(index, _)| index + 1 == multi),
            // No caller kept what came before.
            _ => true,
        };
        if was_opened && transaction::leaves_open(&error) { Err(stuck(&error)) } else { Ok(()) }
    }

    /// A frame that answers no request.
    #[cold]
    fn hear(&mut self, frame: Bytes) {
        if let Some(unasked) = &mut self.unasked {
            unasked.push_back(frame);
        }
    }

    /// Keeps from now on what answers no request, for [`poll_unasked`](Self::poll_unasked): messages, pushed
    /// or not, and what answers to [`say`](Self::say).
    pub fn listen(&mut self) {
        self.unasked.get_or_insert_default();
    }

    /// From now on a reply that answers no request is a fault again.
    pub fn stop_listening(&mut self) {
        self.unasked = None;
    }

    /// The oldest frame that answers no request.
    pub fn poll_unasked(&mut self) -> Option<Bytes> {
        self.unasked.as_mut()?.pop_front()
    }

    /// Whether a frame that answers no request is there to be read.
    #[must_use]
    pub fn has_unasked(&self) -> bool {
        self.unasked.as_ref().is_some_and(|unasked| !unasked.is_empty())
    }

    /// Queues bytes for which no reply is waited: what answers them is [listened to](Self::listen).
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn say(&mut self, size: usize, write: impl FnOnce(&mut Outbox)) -> Result<(), Error> {
        if !self.finds_room(size) {
            return Err(self.queue_full(1));
        }
        write(&mut self.outbox);
        self.queued += size as u64;
        Ok(())
    }

    /// The request of `ticket`, which was queued last, is a transaction: its reply number `multi`, from 1, is
    /// that to `MULTI`. Nothing to note where it waits for room, or is no transaction (0).
    #[inline]
    pub fn mark_transaction(&mut self, ticket: &Ticket, multi: u32) {
        if multi > 0
            && let Some(entry) = self.order.back_mut()
            && entry.slot == ticket.slot
        {
            entry.multi = multi;
        }
    }

    #[inline]
    fn deliver(&mut self, slot: u32, piece: Bytes, count: usize, has_errors: bool, done: bool) {
        let place = &mut self.slots[slot as usize];
        match place {
            RequestSlot::Waiting { .. } if done && count == 1 => {
                let reply = RequestSlot::Done(Ok(Replies::single(piece, has_errors)));
                if let RequestSlot::Waiting { waiter, .. } = std::mem::replace(place, reply) {
                    self.woken.push(waiter);
                }
            }
            RequestSlot::Waiting { .. } | RequestSlot::Gathering { .. } => {
                self.gather(slot, piece, count, has_errors, done)
            }
            RequestSlot::Abandoned | RequestSlot::Probe if done => self.release(slot),
            RequestSlot::Late(_) if done => self.settle(slot),
            // Given up, or late, before its last reply came: the rest goes to no caller.
            RequestSlot::Abandoned
            | RequestSlot::Probe
            | RequestSlot::Late(_)
            | RequestSlot::Done(_)
            | RequestSlot::Outside { .. }
            | RequestSlot::Free => {}
        }
    }

    /// Nothing more will come for a request that was late.
    #[cold]
    fn settle(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        if let RequestSlot::Late(error) = place {
            *place = RequestSlot::Done(Err(error.clone()));
        }
    }

    /// Adds `count` replies to those of a request that is owed several.
    fn gather(&mut self, slot: u32, piece: Bytes, count: usize, has_errors: bool, done: bool) {
        let place = &mut self.slots[slot as usize];
        let (waiter, deadline, mut replies) = match std::mem::replace(place, RequestSlot::Free) {
            RequestSlot::Waiting { waiter, deadline } => (waiter, deadline, Box::default()),
            RequestSlot::Gathering { waiter, deadline, replies } => (waiter, deadline, replies),
            _ => return,
        };
        replies.push(piece, count, has_errors);
        if done {
            *place = RequestSlot::Done(Ok(*replies));
            self.woken.push(waiter);
        } else {
            *place = RequestSlot::Gathering { waiter, deadline, replies };
        }
    }

    #[inline]
    fn release(&mut self, slot: u32) {
        self.slots[slot as usize] = RequestSlot::Free;
        self.free.push(slot);
    }

    /// The replies of a request, or its failure, once it has either; until then `update` may renew the
    /// waiter.
    ///
    /// A failed request may still be owed replies: they are swallowed when they come.
    ///
    /// # Errors
    /// Gives the ticket back while the answer is outstanding.
    #[inline]
    pub fn poll_reply(
        &mut self,
        ticket: Ticket,
        update: impl FnOnce(&mut W),
    ) -> Result<Result<Replies, Error>, Ticket> {
        let place = &mut self.slots[ticket.slot as usize];
        match place {
            RequestSlot::Waiting { waiter, .. } | RequestSlot::Gathering { waiter, .. } => {
                update(waiter);
                Err(ticket)
            }
            RequestSlot::Outside { waiter, size, called, .. } => {
                update(waiter);
                *called = false;
                let size = *size;
                let may_enter = self.outside.front() == Some(&ticket.slot) && self.fits(size);
                Err(Ticket { may_enter, ..ticket })
            }
            RequestSlot::Done(_) => {
                let RequestSlot::Done(result) = std::mem::replace(place, RequestSlot::Free) else {
                    return Err(ticket);
                };
                self.free.push(ticket.slot);
                Ok(result)
            }
            RequestSlot::Late(_) => {
                let RequestSlot::Late(error) = std::mem::replace(place, RequestSlot::Abandoned) else {
                    return Err(ticket);
                };
                Ok(Err(error))
            }
            // A ticket holds its slot until it is redeemed or abandoned, and there is one ticket for a slot.
            RequestSlot::Free | RequestSlot::Abandoned | RequestSlot::Probe => {
                unreachable!("a ticket outlived its slot")
            }
        }
    }

    /// Whether the request still waits for a reply.
    #[must_use]
    pub fn is_waiting(&self, ticket: &Ticket) -> bool {
        self.is_slot_waiting(ticket.slot)
    }

    fn is_slot_waiting(&self, slot: u32) -> bool {
        matches!(
            self.slots[slot as usize],
            RequestSlot::Waiting { .. } | RequestSlot::Gathering { .. } | RequestSlot::Outside { .. }
        )
    }

    /// The caller does not wait any longer. A request whose bytes were not taken yet is never sent; any other
    /// keeps its place, and its replies will go to no caller. A request that waits for room may be called by
    /// it. Gives back what would have woken the caller, if it waited.
    pub fn abandon(&mut self, ticket: Ticket) -> Option<W> {
        let place = &mut self.slots[ticket.slot as usize];
        match place {
            RequestSlot::Waiting { .. } | RequestSlot::Gathering { .. } => {
                let former = std::mem::replace(place, RequestSlot::Abandoned);
                self.given_up |= self.wants_transmit();
                former.into_waiter()
            }
            RequestSlot::Outside { .. } => {
                let former = std::mem::replace(place, RequestSlot::Abandoned);
                self.left += 1;
                self.call_next();
                former.into_waiter()
            }
            RequestSlot::Late(_) => {
                *place = RequestSlot::Abandoned;
                None
            }
            RequestSlot::Done(_) => {
                self.release(ticket.slot);
                None
            }
            RequestSlot::Free | RequestSlot::Abandoned | RequestSlot::Probe => None,
        }
    }

    /// Moves the callers that can go on to `woken`.
    #[inline]
    pub fn poll_woken(&mut self, woken: &mut Vec<W>) {
        if woken.is_empty() {
            std::mem::swap(&mut self.woken, woken);
        } else {
            woken.append(&mut self.woken);
        }
    }

    /// Whether no request that was taken to be written waits for its reply.
    #[inline]
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.order.front().is_none_or(|entry| entry.end > self.taken)
    }

    /// The connection is gone, and another is to come: the requests of which bytes were taken to be written
    /// fail with `error`, each with its own outcome. All others stay as they are.
    pub fn handle_interrupted(&mut self, error: &Error) {
        let untaken = self.order.split_off(self.order.partition_point(|entry| entry.end <= self.taken));
        for entry in &untaken {
            // A question of the link's own is of no use on another connection.
            if let place @ RequestSlot::Probe = &mut self.slots[entry.slot as usize] {
                *place = RequestSlot::Abandoned;
            }
        }
        self.fail_order(error);
        self.order = untaken;
        // What stays is all that is queued beyond here.
        self.sent = self.taken;
        self.withdraw();
        self.handle_unconnected();
    }

    /// The connection is gone: every request fails with `error`, each with its own outcome, and nothing is
    /// left.
    pub fn handle_lost(&mut self, error: &Error) {
        self.fail_order(error);
        while let Some(slot) = self.outside.pop_front() {
            match &mut self.slots[slot as usize] {
                RequestSlot::Abandoned => self.release(slot),
                place => fail(place, error.clone().with_outcome(Outcome::NotSent), &mut self.woken),
            }
        }
        self.left = 0;
        self.outbox.clear();
        (self.taken, self.sent) = (self.queued, self.queued);
        (self.given_up, self.deadline) = (false, None);
        self.handle_unconnected();
    }

    /// Fails all that wait in the order.
    fn fail_order(&mut self, error: &Error) {
        if self.order.is_empty() {
            return;
        }
        let not_sent = error.clone().with_outcome(Outcome::NotSent);
        let maybe = error.clone().with_outcome(Outcome::MaybeExecuted);
        while let Some(entry) = self.order.pop_front() {
            let error =
                if outcome(entry.decisive, self.sent) == Outcome::NotSent { &not_sent } else { &maybe };
            let place = &mut self.slots[entry.slot as usize];
            match place {
                RequestSlot::Waiting { .. } | RequestSlot::Gathering { .. } => {
                    fail(place, error.clone(), &mut self.woken)
                }
                RequestSlot::Abandoned | RequestSlot::Probe => self.release(entry.slot),
                RequestSlot::Late(_) => self.settle(entry.slot),
                RequestSlot::Outside { .. } | RequestSlot::Done(_) | RequestSlot::Free => {}
            }
        }
    }

    /// Nothing is known any more of what was said on the connection.
    fn handle_unconnected(&mut self) {
        (self.doubtful, self.missed, self.silent) = (false, false, false);
        (self.probe, self.unmarked, self.stuck) = (None, 0, None);
        self.habit = Habit::default();
        self.probes.clear();
        self.liveness.handle_lost();
        self.overdue.handle_lost();
    }
}

fn outcome(decisive: u64, sent: u64) -> Outcome {
    if sent < decisive { Outcome::NotSent } else { Outcome::MaybeExecuted }
}

/// The request fails with `error`, which keeps the replies that came before.
fn fail<W>(place: &mut RequestSlot<W>, error: Error, woken: &mut Vec<W>) {
    let error = end(place, error, woken);
    *place = RequestSlot::Done(Err(error));
}

/// Takes the request out of its place, and wakes the caller that waits for it; the error keeps the replies
/// that came before.
fn end<W>(place: &mut RequestSlot<W>, error: Error, woken: &mut Vec<W>) -> Error {
    let (waiter, error) = match std::mem::replace(place, RequestSlot::Free) {
        RequestSlot::Waiting { waiter, .. } | RequestSlot::Outside { waiter, .. } => (Some(waiter), error),
        RequestSlot::Gathering { waiter, replies, .. } => (Some(waiter), error.with_answered(*replies)),
        _ => (None, error),
    };
    woken.extend(waiter);
    error
}

#[cold]
fn out_of_step() -> Error {
    let message =
        "expected replies in the order of the requests; after one that failed to come, they are out of step";
    Error::new(ErrorKind::Connection(ConnectionFault::Reset), Outcome::MaybeExecuted, message)
}

/// The error that ends a connection on which a transaction stays open.
#[cold]
fn stuck(error: &Error) -> Error {
    let message =
        format!("given up, since a transaction may be open on it: EXEC was answered by {}", error.message());
    Error::new(ErrorKind::Connection(ConnectionFault::Reset), Outcome::MaybeExecuted, message)
}

#[cold]
fn unexpected_reply(bytes: &[u8]) -> Error {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(32)]);
    let message = format!("expected no reply, since nothing was asked; got {shown:?}");
    Error::new(ErrorKind::Protocol, Outcome::MaybeExecuted, message)
}

#[cfg(test)]
mod tests;
