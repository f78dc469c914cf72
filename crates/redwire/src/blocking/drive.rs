//! One connection that several threads drive, each for all: how a thread writes, reads, and waits.
//!
//! The two halves of a connection are taken out from under the lock while a thread uses them, and put back
//! afterwards: [`write`] and [`read`] do so for calls, caches and subscriptions. Who does what for calls is
//! decided by the core's `Combiner`. This file must not know what is sent, where connections come from, or
//! where they go.

use std::sync::Arc;
use std::time::Instant;

use redwire_core::call::Call;
use redwire_core::inbound::Frames;
use redwire_core::link::{Combiner, Duty};
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Replies, Result};

use super::connection::Connection;
use super::stream::Socket;
use super::wire::{STALL, Wire, WireWriter};
use crate::shared::setup;
use crate::shared::sync::MutexGuard;
use crate::shared::threads::{self, Thread};

/// A connection whose reading and writing sides are used by different threads.
pub(super) struct Halves {
    socket: Arc<Socket>,
    /// In the hands of the thread that reads, else here; so the other for the one that writes.
    reader: Option<Box<Connection>>,
    writer: Option<WireWriter>,
    /// How many of the two threads have. What a thread had that panicked is gone.
    taken: usize,
    /// Why it is of no use any more.
    failed: Option<Error>,
}

impl Halves {
    /// `connection` with what it was [split](Wire::split) into.
    pub(super) fn new(connection: Box<Connection>, (writer, socket): (WireWriter, Arc<Socket>)) -> Self {
        Self { socket, reader: Some(connection), writer: Some(writer), taken: 0, failed: None }
    }

    /// The connection, to read from; `None` while another thread does.
    pub(super) fn take_reader(&mut self) -> Option<Box<Connection>> {
        let reader = self.reader.take();
        self.taken += usize::from(reader.is_some());
        reader
    }

    /// The thread that read has stopped.
    fn put_reader(&mut self, connection: Box<Connection>, result: Result<()>) {
        self.reader = Some(connection);
        self.taken -= 1;
        self.check(result);
    }

    /// The writing side; `None` unless this thread [may write](Self::may_write).
    fn take_writer(&mut self) -> Option<WireWriter> {
        let writer = if self.may_write() { self.writer.take() } else { None };
        self.taken += usize::from(writer.is_some());
        writer
    }

    /// The thread that wrote has stopped.
    fn put_writer(&mut self, outgoing: WireWriter, result: Result<()>) {
        self.writer = Some(outgoing);
        self.taken -= 1;
        self.check(result);
    }

    /// A thread panicked that had one of the two.
    #[cold]
    fn lose_half(&mut self, error: Error) {
        self.taken = self.taken.saturating_sub(1);
        self.fail(error);
    }

    /// Whether no thread writes, and what is written still counts.
    pub(super) fn may_write(&self) -> bool {
        self.writer.is_some() && self.failed.is_none()
    }

    /// The writing side, where no thread has it.
    pub(super) fn writer(&mut self) -> Option<&mut WireWriter> {
        self.writer.as_mut()
    }

    fn check(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.fail(error);
        }
    }

    /// It is of no use any more, which threads that read and write find out at once.
    pub(super) fn fail(&mut self, error: Error) {
        self.socket.shutdown();
        self.failed.get_or_insert(error);
    }

    /// Whether something may be read, and no thread does.
    pub(super) fn is_unread(&self) -> bool {
        self.reader.is_some() && self.failed.is_none()
    }

    /// Whether the kernel did not take all that was written.
    pub(super) fn is_stalled(&self) -> bool {
        self.writer.as_ref().is_some_and(|outgoing| !outgoing.outbox.is_empty())
    }

    /// When what the kernel did not take is to be offered again, if there is any.
    pub(super) fn poll_retry(&self) -> Option<Instant> {
        self.is_stalled().then(|| threads::now() + STALL)
    }

    /// Why it has failed, once no thread has any part of it.
    pub(super) fn failure(&self) -> Option<&Error> {
        self.failed.as_ref().filter(|_| self.taken == 0)
    }

    /// The connection, unless a thread reads from it.
    pub(super) fn into_connection(self) -> Option<Box<Connection>> {
        self.reader
    }
}

/// What is under the lock of a connection whose calls take turns at driving it.
pub(super) struct Driven {
    pub(super) combiner: Combiner<Thread>,
    /// There while connected.
    pub(super) halves: Option<Halves>,
}

/// What is read and written over a connection that threads drive, each for all.
pub(super) trait Machine {
    /// Whether more to write will come in a moment.
    fn expects_more(&self) -> bool {
        false
    }

    /// Gives what there is to write, unless `outbox` still holds what the kernel did not take before.
    fn poll_transmit(&mut self, outbox: &mut Outbox);

    /// The writer has stopped: the kernel took so many bytes.
    fn handle_written(&mut self, sent: usize, result: Result<()>);

    /// The reader has read once: `frames` came, or nothing did.
    ///
    /// # Errors
    /// The connection is of no use any more.
    fn handle_read(&mut self, read: Result<Option<&mut Frames>>) -> Result<()>;

    /// Moves the threads that can go on to `woken`.
    fn poll_woken(&mut self, woken: &mut Vec<Thread>);
}

/// A connection that threads drive, each for all; `'s` is for how long it is there.
pub(super) trait Shared<'s>: Sized {
    /// What is under its lock.
    type State: 's;

    fn lock(&self) -> MutexGuard<'s, Self::State>;

    /// What is driven, and the connection while there is one.
    fn parts<'m>(&self, state: &'m mut Self::State) -> (impl Machine, Option<&'m mut Halves>);

    /// These came; replies among them are not handed out yet.
    ///
    /// # Errors
    /// The connection is of no use any more.
    fn handle_frames(&self, _: &mut Frames) -> Result<()> {
        Ok(())
    }

    /// The connection was found to be lost, of which no call has heard yet.
    fn handle_failed(&self, _: &Error) {}

    /// A call has ended, or a duty by a panic.
    fn release_duty(&self, state: MutexGuard<'s, Self::State>);
}

/// A connection whose calls take turns at driving it.
pub(super) trait SharedByCalls<'s>: Shared<'s> {
    fn combiner(state: &mut Self::State) -> &mut Combiner<Thread>;
}

impl Machine for &mut Combiner<Thread> {
    #[inline]
    fn expects_more(&self) -> bool {
        Combiner::expects_more(self)
    }

    #[inline]
    fn poll_transmit(&mut self, outbox: &mut Outbox) {
        Combiner::poll_transmit(self, outbox);
    }

    #[inline]
    fn handle_written(&mut self, sent: usize, result: Result<()>) {
        Combiner::handle_written(self, sent, result);
    }

    #[inline]
    fn handle_read(&mut self, read: Result<Option<&mut Frames>>) -> Result<()> {
        let result = read.as_ref().map(drop).map_err(Error::clone);
        Combiner::handle_read(self, read);
        result
    }

    #[inline]
    fn poll_woken(&mut self, woken: &mut Vec<Thread>) {
        Combiner::poll_woken(self, woken);
    }
}

/// Submits `call`, and does what there is to do until it is answered.
pub(super) fn exchange<'s, S: SharedByCalls<'s>>(
    shared: &S,
    mut state: MutexGuard<'s, S::State>,
    call: &impl Call,
    deadline: Option<Instant>,
) -> Result<Replies> {
    let me = threads::current();
    let encode = |outbox: &mut Outbox| call.write(outbox);
    let combiner = S::combiner(&mut state);
    let submitted = combiner.submit(call.count(), call.size(), call.is_whole(), encode, me.clone(), deadline);
    let mut ticket = match submitted {
        Ok(ticket) => {
            combiner.mark_transaction(&ticket, call.multi());
            ticket
        }
        Err(error) => {
            shared.release_duty(state);
            return Err(error);
        }
    };
    let mut woken = Vec::new();
    loop {
        let combiner = S::combiner(&mut state);
        let duty = combiner.poll_duty(ticket);
        combiner.poll_woken(&mut woken);
        match duty {
            Duty::Done(result) => {
                shared.release_duty(state);
                wake(&mut woken, Some(&me));
                return result;
            }
            Duty::Write(waiting) => {
                state = write(shared, state, &mut woken, Some(&me));
                ticket = waiting;
            }
            Duty::Read(waiting) => {
                state = read(shared, state, &mut woken, Some(&me), |wire| wire.receive_frames(deadline));
                ticket = waiting;
            }
            Duty::Enter(waiting) => {
                ticket = combiner.enter(waiting, call.count(), call.size(), call.is_whole(), encode);
                combiner.mark_transaction(&ticket, call.multi());
            }
            Duty::Wait(waiting) => {
                ticket = waiting;
                drop(state);
                wake(&mut woken, Some(&me));
                threads::park_until(deadline);
                state = shared.lock();
            }
        }
        if deadline.is_some() {
            S::combiner(&mut state).handle_timeout(threads::now());
        }
    }
}

/// Writes what gathered: the duty of a thread that no other thread has now.
pub(super) fn write<'s, S: Shared<'s>>(
    shared: &S,
    mut state: MutexGuard<'s, S::State>,
    woken: &mut Vec<Thread>,
    me: Option<&Thread>,
) -> MutexGuard<'s, S::State> {
    let turn = DutyGuard(|| end_duty(shared, false));
    if shared.parts(&mut state).0.expects_more() {
        drop(state);
        wake(woken, me);
        // Others are about to ask, too: let them, and write all in one.
        threads::yield_now();
        state = shared.lock();
    }
    let Some(mut outgoing) = take_writer(shared, &mut state) else {
        std::mem::forget(turn);
        return state;
    };
    drop(state);
    wake(woken, me);
    let (sent, result) = outgoing.write();
    let mut state = shared.lock();
    std::mem::forget(turn);
    {
        let (mut machine, halves) = shared.parts(&mut state);
        if let Some(halves) = halves {
            halves.put_writer(outgoing, result.clone());
        }
        machine.handle_written(sent, result);
    }
    state
}

/// The writing side, with what it is to write. Without one, that is told.
fn take_writer<'s, S: Shared<'s>>(shared: &S, state: &mut S::State) -> Option<WireWriter> {
    let (mut machine, halves) = shared.parts(state);
    let mut taken = halves.and_then(Halves::take_writer);
    match &mut taken {
        Some(outgoing) => machine.poll_transmit(&mut outgoing.outbox),
        None => machine.handle_written(0, Err(setup::closed_client())),
    }
    taken
}

/// Reads once, by `receive`: the duty of a thread that no other thread has now. Nothing within the time of
/// `receive` is no failure.
pub(super) fn read<'s, S: Shared<'s>>(
    shared: &S,
    mut state: MutexGuard<'s, S::State>,
    woken: &mut Vec<Thread>,
    me: Option<&Thread>,
    receive: impl FnOnce(&mut Wire) -> Result<Option<&mut Frames>>,
) -> MutexGuard<'s, S::State> {
    let turn = DutyGuard(|| end_duty(shared, true));
    let connection = shared.parts(&mut state).1.and_then(Halves::take_reader);
    drop(state);
    wake(woken, me);
    let Some(mut connection) = connection else {
        let mut state = shared.lock();
        std::mem::forget(turn);
        let _ = shared.parts(&mut state).0.handle_read(Err(setup::closed_client()));
        return state;
    };
    let read = connection.wire_mut().ok_or_else(setup::closed_client).and_then(|wire| match receive(wire) {
        Ok(Some(frames)) => shared.handle_frames(frames).map(|()| Some(frames)),
        Err(error) if error.is_timeout() => Ok(None),
        read => read,
    });
    let read = read.map_err(|error| {
        // Where another thread ended it, that is why.
        let cause = shared.parts(&mut shared.lock()).1.and_then(|halves| halves.failed.clone());
        let error = cause.unwrap_or(error);
        shared.handle_failed(&error);
        error
    });
    let mut state = shared.lock();
    std::mem::forget(turn);
    {
        let (mut machine, halves) = shared.parts(&mut state);
        let result = machine.handle_read(read);
        if let Some(halves) = halves {
            halves.put_reader(connection, result);
        }
    }
    state
}

/// A duty that is being done, with what happens should it end by a panic.
pub(super) struct DutyGuard<F: FnMut()>(pub(super) F);

impl<F: FnMut()> Drop for DutyGuard<F> {
    #[cold]
    fn drop(&mut self) {
        self.0();
    }
}

/// A duty has ended by a panic. No other thread may wait for it: the connection is lost.
#[cold]
fn end_duty<'s, S: Shared<'s>>(shared: &S, reads: bool) {
    let error = Error::closed_by_peer(Outcome::MaybeExecuted);
    let (mut woken, mut state) = (Vec::new(), shared.lock());
    {
        let (mut machine, halves) = shared.parts(&mut state);
        if let Some(halves) = halves {
            halves.lose_half(error.clone());
        }
        if reads {
            let _ = machine.handle_read(Err(error));
        } else {
            machine.handle_written(0, Err(error));
        }
        machine.poll_woken(&mut woken);
    }
    shared.release_duty(state);
    woken.iter().for_each(Thread::unpark);
}

/// Wakes the threads that can go on; `me`, the caller's own, looks itself.
#[inline]
pub(super) fn wake(woken: &mut Vec<Thread>, me: Option<&Thread>) {
    let me = me.map(Thread::id);
    woken.drain(..).filter(|thread| Some(thread.id()) != me).for_each(|thread| thread.unpark());
}
