//! The loop behind a connection that a task drives: it connects when it is time to, then reads, hands out,
//! writes and sleeps, until the connection is lost, and begins anew. A monitor, which its user polls, and a
//! connection of one caller take the same steps.
//!
//! What is read and written, and when to connect, is for what is [`Driven`] to say, with a machine of the
//! core. This file must not know what that is.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use redwire_core::inbound::Frames;
use redwire_core::keeper::WhenToConnect;
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Result};

use super::stream::StreamWriter;
use super::wire::Wire;
use crate::shared::clock::{self, Burst, Timer, poll_pause};
use crate::shared::setup;

/// How driving a connection ends: `None` where there is to be none any more, else why it was lost.
pub(super) type DriveEnd = Option<Error>;

/// What one step of it gives, or how it ends with that.
pub(super) type Step<T = ()> = std::result::Result<T, DriveEnd>;

/// What is driven over a connection.
pub(super) trait Driven {
    /// Whether what comes is to be read now. Asked before each read.
    fn reads(&mut self) -> bool {
        true
    }

    /// Bytes came; frames that are whole by now, or a part of a large one, if there are any.
    ///
    /// # Errors
    /// The connection is of no use any more.
    fn handle_read(&mut self, frames: Option<&mut Frames>) -> Result<()>;

    /// Does what there is to do beside reading and writing. May add to what is to be written.
    fn poll_beside(&mut self, _: &mut Context<'_>, _: &mut Outbox) {}

    /// Fills the empty `outbox` with what is to be written, or has the task woken once there is anything.
    ///
    /// # Errors
    /// The connection is to be given up.
    fn poll_outgoing(
        &mut self,
        cx: &Context<'_>,
        writer: &StreamWriter,
        outbox: &mut Outbox,
    ) -> Step<WriteNext>;

    /// The kernel took `n` bytes.
    ///
    /// # Errors
    /// The connection is to be given up.
    fn handle_sent(&mut self, n: usize) -> Step {
        let _ = n;
        Ok(())
    }

    /// Has the task woken for each change, while the kernel takes no more. Says whether to read first.
    ///
    /// # Errors
    /// The connection is to be given up.
    fn poll_stalled(&mut self, _: &Context<'_>) -> Step<bool> {
        Ok(false)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    fn poll_timeout(&mut self) -> Option<Instant>;

    /// A time has come; so many bytes have come in all.
    ///
    /// # Errors
    /// The peer is dead.
    fn handle_timeout(&mut self, now: Instant, received: u64) -> Result<()>;
}

/// What is driven, and connected again when its connection is lost.
pub(super) trait Reconnecting: Driven {
    /// Has the task woken for each change; false where there is to be no connection any more.
    fn register(&mut self, cx: &Context<'_>) -> bool;

    /// What to do about a connection.
    fn poll_connect(&mut self) -> WhenToConnect;

    /// Makes a connection.
    fn connect(&self) -> impl Future<Output = Result<Wire>> + Send + use<Self>;

    /// Whether the attempt that is under way leads to a server of which nothing is wanted any more.
    fn is_moved(&self) -> bool;

    /// There is a connection; false where there is to be none any more.
    fn handle_connected(&mut self, wire: &Wire) -> bool;

    /// The connection that takes the place of the one that has just ended, where that was given up in good
    /// order.
    fn take_next(&mut self) -> Option<Wire> {
        None
    }

    /// It could not be made.
    fn handle_failed(&mut self, error: Error);

    /// It was lost.
    fn handle_lost(&mut self, error: Error);

    /// It was closed on purpose.
    fn handle_closed(&mut self) {}
}

/// What there is to write.
pub(super) enum WriteNext {
    /// What the outbox holds.
    Write,
    /// Nothing, until the time of [`Driven::poll_timeout`] or the task is woken.
    Nothing(Option<Instant>),
    /// More will come in a moment: let other tasks go first.
    Soon,
    /// Nothing before what came is read.
    AfterReading,
    /// Nothing, but there is something to read again.
    Read,
}

/// The steps of the loop, and what it holds in between.
#[derive(Debug, Default)]
pub(super) struct Drive {
    outbox: Outbox,
    timer: Timer,
    burst: Burst,
    /// Whether it reads no more before other tasks had their turn.
    pauses: bool,
    /// How many bytes have come in.
    received: u64,
}

/// Keeps a connection up until there is to be none any more; `first` is up already.
pub(super) async fn keep(kept: &mut impl Reconnecting, mut first: Option<Wire>) {
    let mut drive = Drive::default();
    loop {
        let connected = match first.take() {
            Some(wire) => Ok(wire),
            None if !drive.until_turn(kept).await => return,
            None => match drive.attempt(kept).await {
                None => return,
                Some(None) => continue,
                Some(Some(connected)) => connected,
            },
        };
        match connected {
            Err(error) => kept.handle_failed(error),
            Ok(wire) => match drive.run(kept, wire).await {
                Some(error) => {
                    first = kept.take_next();
                    if first.is_none() {
                        kept.handle_lost(error);
                    }
                }
                None => return kept.handle_closed(),
            },
        }
    }
}

impl Drive {
    /// Waits until a connection is to be made; false where there is to be none any more. Deadlines are kept
    /// meanwhile.
    async fn until_turn(&mut self, kept: &mut impl Reconnecting) -> bool {
        let mut pause = Timer::default();
        poll_fn(|cx| {
            if !kept.register(cx) {
                return Poll::Ready(false);
            }
            loop {
                match kept.poll_connect() {
                    WhenToConnect::Now => return Poll::Ready(true),
                    WhenToConnect::Done => return Poll::Ready(false),
                    WhenToConnect::At(next) if pause.poll_at(next, cx).is_ready() => {}
                    WhenToConnect::At(_) | WhenToConnect::Asked | WhenToConnect::Up => break,
                }
            }
            self.keep_time(cx, kept);
            Poll::Pending
        })
        .await
    }

    /// Makes a connection: `None` where there is to be none any more, `Some(None)` where connections lead to
    /// another server before. Deadlines are kept meanwhile.
    async fn attempt(&mut self, kept: &mut impl Reconnecting) -> Option<Option<Result<Wire>>> {
        let mut connecting = pin!(kept.connect());
        poll_fn(|cx| {
            if !kept.register(cx) {
                return Poll::Ready(None);
            }
            if kept.is_moved() {
                return Poll::Ready(Some(None));
            }
            if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                return Poll::Ready(Some(Some(connected)));
            }
            self.keep_time(cx, kept);
            Poll::Pending
        })
        .await
    }

    /// Drives `wire` until it is lost, or given up.
    async fn run(&mut self, kept: &mut impl Reconnecting, mut wire: Wire) -> DriveEnd {
        self.outbox.clear();
        if !kept.handle_connected(&wire) {
            return None;
        }
        poll_fn(|cx| {
            self.begin();
            loop {
                if let Err(end) = ready!(self.poll_step(cx, kept, &mut wire)) {
                    return Poll::Ready(end);
                }
            }
        })
        .await
    }

    /// What is being written, and not written yet.
    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The task is polled anew.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.burst.end();
        self.pauses = false;
    }

    /// Reads once and hands out what came, or writes and sleeps. Ready when there is more to do at once.
    #[inline]
    pub(super) fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        driven: &mut impl Driven,
        wire: &mut Wire,
    ) -> Poll<Step> {
        // Room for the next read is made only when there is something to read: by then the replies before it
        // have been decoded, and their memory serves again.
        if !self.pauses
            && driven.reads()
            && wire.reader.poll_ready(cx).is_ready()
            && let Poll::Ready(read) = wire.reader.poll_read(cx, wire.inbound.spare())
        {
            self.handle_read(read, driven, wire).map_err(Some)?;
            let Some(now) = self.burst.handle_read() else { return Poll::Ready(Ok(())) };
            self.handle_burst(now, driven).map_err(Some)?;
            if !self.pauses {
                return Poll::Ready(Ok(()));
            }
        }
        if self.pauses {
            let _ = poll_pause::<()>(cx);
        }
        self.poll_write(cx, driven, &wire.writer)
    }

    #[inline]
    fn handle_read(
        &mut self,
        read: io::Result<usize>,
        driven: &mut impl Driven,
        wire: &mut Wire,
    ) -> Result<()> {
        let read = read.map_err(|error| setup::io_error("reading", error))?;
        if read == 0 {
            return Err(Error::closed_by_peer(Outcome::MaybeExecuted));
        }
        self.received += read as u64;
        let whole = wire.inbound.poll_frames(&mut wire.frames)? || wire.frames.has_large_rest();
        driven.handle_read(whole.then_some(&mut wire.frames))
    }

    /// Does what is due while bytes come without a pause.
    #[cold]
    fn handle_burst(&mut self, now: Instant, driven: &mut impl Driven) -> Result<()> {
        let is_due = driven.poll_timeout().is_some_and(|next| next <= now);
        if is_due {
            driven.handle_timeout(now, self.received)?;
        }
        self.pauses = is_due || self.burst.is_long(now);
        Ok(())
    }

    /// Writes what there is to write, then sleeps.
    #[inline]
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        driven: &mut impl Driven,
        writer: &StreamWriter,
    ) -> Poll<Step> {
        driven.poll_beside(cx, &mut self.outbox);
        loop {
            if self.outbox.is_empty() {
                match driven.poll_outgoing(cx, writer, &mut self.outbox)? {
                    WriteNext::Write => {}
                    WriteNext::Nothing(next) => return self.poll_timer(cx, driven, next).map_err(Some),
                    WriteNext::Soon => {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    WriteNext::AfterReading => return poll_pause(cx),
                    WriteNext::Read => return Poll::Ready(Ok(())),
                }
            }
            let mut sent = 0;
            let flushed = writer.poll_flush(cx, &mut self.outbox, |written| sent += written);
            driven.handle_sent(sent)?;
            match flushed {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Some(setup::io_error("writing", error)))),
                Poll::Pending if driven.poll_stalled(cx)? => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    let next = driven.poll_timeout();
                    return self.poll_timer(cx, driven, next).map_err(Some);
                }
            }
        }
    }

    /// Sets the timer to `next`, and does what is due. Ready when anything was.
    #[inline]
    fn poll_timer(
        &mut self,
        cx: &mut Context<'_>,
        driven: &mut impl Driven,
        mut next: Option<Instant>,
    ) -> Poll<Result<()>> {
        let mut late = false;
        while let Some(time) = next {
            if self.timer.poll_at(time, cx).is_pending() {
                break;
            }
            late = true;
            driven.handle_timeout(clock::now(), self.received)?;
            next = driven.poll_timeout();
        }
        if late { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Does what is due while there is no connection, and sets the timer to what comes next.
    fn keep_time(&mut self, cx: &mut Context<'_>, driven: &mut impl Driven) {
        loop {
            let next = driven.poll_timeout();
            if self.poll_timer(cx, driven, next).is_pending() {
                return;
            }
        }
    }
}
