//! One connection that several threads drive, each for all: how a thread writes, reads, and waits.
//!
//! The two halves of a connection are taken out from under the lock while a thread uses them, and put back
//! afterwards. Who does what is decided by the core's `Combiner`. This file must not know what is sent, where
//! connections come from, or where they go.

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
    /// Why it is of no use any more.
    failed: Option<Error>,
}

impl Halves {
    /// `connection` with what it was [split](Wire::split) into.
    pub(super) fn new(connection: Box<Connection>, (writer, socket): (WireWriter, Arc<Socket>)) -> Self {
        Self { socket, reader: Some(connection), writer: Some(writer), failed: None }
    }

    /// The connection, to read from; `None` while another thread does.
    pub(super) fn take_reader(&mut self) -> Option<Box<Connection>> {
        self.reader.take()
    }

    /// The thread that read has stopped.
    pub(super) fn put_reader(&mut self, connection: Box<Connection>, result: Result<()>) {
        self.reader = Some(connection);
        self.check(result);
    }

    /// The writing side; `None` while another thread has it, or where nothing is to be written any more.
    pub(super) fn take_writer(&mut self) -> Option<WireWriter> {
        if self.failed.is_some() { None } else { self.writer.take() }
    }

    /// The thread that wrote has stopped.
    pub(super) fn put_writer(&mut self, outgoing: WireWriter, result: Result<()>) {
        self.writer = Some(outgoing);
        self.check(result);
    }

    /// Whether no thread writes.
    pub(super) fn may_write(&self) -> bool {
        self.writer.is_some()
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

    /// When what the kernel did not take is to be offered again, if there is any.
    pub(super) fn poll_retry(&self) -> Option<Instant> {
        let is_stalled = self.writer.as_ref().is_some_and(|outgoing| !outgoing.outbox.is_empty());
        is_stalled.then(|| threads::now() + STALL)
    }

    /// Why it has failed, once no thread has any part of it.
    pub(super) fn failure(&self) -> Option<&Error> {
        self.failed.as_ref().filter(|_| self.reader.is_some() && self.writer.is_some())
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

/// A connection whose calls take turns at driving it.
pub(super) trait Shared: Sized {
    /// What is under its lock.
    type State;

    fn lock(&self) -> MutexGuard<'_, Self::State>;

    fn driven(state: &mut Self::State) -> &mut Driven;

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
    fn release_duty(&self, state: MutexGuard<'_, Self::State>);
}

/// Submits `call`, and does what there is to do until it is answered.
pub(super) fn exchange<'s, S: Shared>(
    shared: &'s S,
    mut state: MutexGuard<'s, S::State>,
    call: &impl Call,
    deadline: Option<Instant>,
) -> Result<Replies> {
    let me = threads::current();
    let encode = |outbox: &mut Outbox| call.write(outbox);
    let combiner = &mut S::driven(&mut state).combiner;
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
        let combiner = &mut S::driven(&mut state).combiner;
        let duty = combiner.poll_duty(ticket);
        combiner.poll_woken(&mut woken);
        match duty {
            Duty::Done(result) => {
                shared.release_duty(state);
                wake(&mut woken, &me);
                return result;
            }
            Duty::Write(waiting) => {
                state = write(shared, state, &mut woken, &me);
                ticket = waiting;
            }
            Duty::Read(waiting) => {
                state = read(shared, state, &mut woken, &me, |wire| wire.receive_frames(deadline));
                ticket = waiting;
            }
            Duty::Enter(waiting) => {
                ticket = combiner.enter(waiting, call.count(), call.size(), call.is_whole(), encode);
                combiner.mark_transaction(&ticket, call.multi());
            }
            Duty::Wait(waiting) => {
                ticket = waiting;
                drop(state);
                wake(&mut woken, &me);
                threads::park_until(deadline);
                state = shared.lock();
            }
        }
        if deadline.is_some() {
            S::driven(&mut state).combiner.handle_timeout(threads::now());
        }
    }
}

/// Writes what gathered: the duty of a thread to which the combiner gave it.
pub(super) fn write<'s, S: Shared>(
    shared: &'s S,
    mut state: MutexGuard<'s, S::State>,
    woken: &mut Vec<Thread>,
    me: &Thread,
) -> MutexGuard<'s, S::State> {
    let turn = DutyGuard { shared, reads: false };
    if S::driven(&mut state).combiner.expects_more() {
        drop(state);
        wake(woken, me);
        // Others are about to ask, too: let them, and write all in one.
        threads::yield_now();
        state = shared.lock();
    }
    let Driven { combiner, halves } = S::driven(&mut state);
    let Some(mut outgoing) = halves.as_mut().and_then(Halves::take_writer) else {
        combiner.handle_written(0, Err(setup::closed_client()));
        std::mem::forget(turn);
        return state;
    };
    combiner.poll_transmit(&mut outgoing.outbox);
    drop(state);
    wake(woken, me);
    let (sent, result) = outgoing.write();
    let mut state = shared.lock();
    std::mem::forget(turn);
    let Driven { combiner, halves } = S::driven(&mut state);
    if let Some(halves) = halves {
        halves.put_writer(outgoing, result.clone());
    }
    combiner.handle_written(sent, result);
    state
}

/// Reads once, by `receive`: the duty of a thread to which the combiner gave it. Nothing within the time of
/// `receive` is no failure.
pub(super) fn read<'s, S: Shared>(
    shared: &'s S,
    mut state: MutexGuard<'s, S::State>,
    woken: &mut Vec<Thread>,
    me: &Thread,
    receive: impl FnOnce(&mut Wire) -> Result<Option<&mut Frames>>,
) -> MutexGuard<'s, S::State> {
    let turn = DutyGuard { shared, reads: true };
    let connection = S::driven(&mut state).halves.as_mut().and_then(Halves::take_reader);
    drop(state);
    wake(woken, me);
    let Some(mut connection) = connection else {
        let mut state = shared.lock();
        std::mem::forget(turn);
        S::driven(&mut state).combiner.handle_read(Err(setup::closed_client()));
        return state;
    };
    let read = connection.wire_mut().ok_or_else(setup::closed_client).and_then(|wire| match receive(wire) {
        Ok(Some(frames)) => shared.handle_frames(frames).map(|()| Some(frames)),
        Err(error) if error.is_timeout() => Ok(None),
        read => read,
    });
    let read = read.map_err(|error| {
        // Where another thread ended it, that is why.
        let cause = S::driven(&mut shared.lock()).halves.as_ref().and_then(|halves| halves.failed.clone());
        let error = cause.unwrap_or(error);
        shared.handle_failed(&error);
        error
    });
    let mut state = shared.lock();
    std::mem::forget(turn);
    let Driven { combiner, halves } = S::driven(&mut state);
    let result = read.as_ref().map(drop).map_err(Error::clone);
    combiner.handle_read(read);
    if let Some(halves) = halves {
        halves.put_reader(connection, result);
    }
    state
}

/// A duty that is being done. Should it end by a panic, no other thread may wait for it: the connection is
/// lost.
struct DutyGuard<'a, S: Shared> {
    shared: &'a S,
    reads: bool,
}

impl<S: Shared> Drop for DutyGuard<'_, S> {
    #[cold]
    fn drop(&mut self) {
        let error = Error::closed_by_peer(Outcome::MaybeExecuted);
        let (mut woken, mut state) = (Vec::new(), self.shared.lock());
        let Driven { combiner, halves } = S::driven(&mut state);
        if let Some(halves) = halves {
            halves.fail(error.clone());
        }
        if self.reads {
            combiner.handle_read(Err(error));
        } else {
            combiner.handle_written(0, Err(error));
        }
        combiner.poll_woken(&mut woken);
        self.shared.release_duty(state);
        woken.iter().for_each(Thread::unpark);
    }
}

/// Wakes the threads that can go on, but not the caller's own.
#[inline]
pub(super) fn wake(woken: &mut Vec<Thread>, me: &Thread) {
    woken.drain(..).filter(|thread| thread.id() != me.id()).for_each(|thread| thread.unpark());
}
