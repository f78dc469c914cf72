//! Time of the async driver: what looks at the clock, or waits for a moment, does so here, and nowhere else.
//!
//! Deadlines are moments of the system's clock, by which networks and servers live. Tokio's timers only wake
//! the task: one that goes off before its moment is not believed. That is so where a test has paused the
//! clock of its runtime (`tokio::time::pause`), since paused timers go off as soon as all tasks wait, for
//! whatever that is. Then, and where there are no timers of tokio, a thread wakes the task.
//!
//! Where a client has a connector, its peer may live in the same runtime, and the whole is to go by one
//! clock: then [`now`] is the time of the runtime, which a test may pause. That holds for all clients of this
//! runtime. It must not know what is waited for.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use redwire_core::{Error, Outcome, Result};
use tokio::runtime::{Handle, Id, RuntimeFlavor};
use tokio::time::Sleep;

use crate::shared::sync::Mutex;
use crate::shared::threads;

thread_local! {
    /// The runtime of this thread whose time is that of the clients in it.
    static FOLLOWED: Cell<Option<Id>> = const { Cell::new(None) };

    /// The last tick of the system's coarse clock that this thread saw, and the time when it saw it first.
    static COARSE: Cell<Option<(coarsetime::Instant, Instant)>> = const { Cell::new(None) };
}

/// The longest tick that the coarse clocks of systems have.
const LONGEST_TICK: Duration = Duration::from_millis(10);

/// From now on the clients of this runtime go by its time. Only a runtime of one thread can pause its clock;
/// the time of any other is the system's.
pub(crate) fn follow_runtime() {
    if let Ok(runtime) = Handle::try_current()
        && runtime.runtime_flavor() == RuntimeFlavor::CurrentThread
    {
        FOLLOWED.set(Some(runtime.id()));
    }
}

/// The time.
#[inline]
pub(crate) fn now() -> Instant {
    FOLLOWED.get().map_or_else(Instant::now, now_in)
}

/// The time, or a little earlier, and by how much at most. To look at the clock exactly takes three times as
/// long, which is a twelfth of all that a call costs where a thousand tasks share a connection.
#[inline]
pub(crate) fn about_now() -> (Instant, Duration) {
    match FOLLOWED.get() {
        None => (in_this_tick(), LONGEST_TICK),
        Some(runtime) => (now_in(runtime), Duration::ZERO),
    }
}

fn in_this_tick() -> Instant {
    let tick = coarsetime::Instant::now_without_cache_update();
    match COARSE.get() {
        Some((seen, then)) if seen == tick => then,
        _ => {
            let now = Instant::now();
            COARSE.set(Some((tick, now)));
            now
        }
    }
}

/// How long ago `moment` was.
pub(crate) fn since(moment: Instant) -> Duration {
    now().saturating_duration_since(moment)
}

/// The time in `runtime`, if that is around.
#[cold]
fn now_in(runtime: Id) -> Instant {
    match Handle::try_current() {
        Ok(around) if around.id() == runtime => tokio::time::Instant::now().into_std(),
        _ => Instant::now(),
    }
}

/// The runtime that is around.
///
/// # Errors
/// There is none.
pub(crate) fn runtime() -> Result<Handle> {
    Handle::try_current()
        .map_err(|error| Error::usage("the async client needs a tokio runtime around it").with_source(error))
}

/// Whether there is a runtime around, and whether it has timers.
///
/// # Errors
/// There is none, or it has not.
pub(crate) fn check_runtime() -> Result<()> {
    runtime()?;
    match tokio_sleep(Duration::ZERO) {
        Some(_) => Ok(()),
        None => Err(Error::usage(
            "the async client needs a tokio runtime with timers: build it with `enable_time` or `enable_all`",
        )),
    }
}

/// What `connect` gives, which is the first to need I/O of the runtime.
///
/// # Errors
/// That of `connect`; the runtime has no I/O.
pub(crate) async fn with_io<T>(connect: impl Future<Output = io::Result<T>>) -> Result<T> {
    let mut connect = pin!(connect);
    // Tokio panics where its runtime has no I/O; there is no other way to ask.
    let connected = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| connect.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    });
    match connected.await {
        Some(connected) => connected.map_err(|error| Error::from_io("connecting", Outcome::NotSent, error)),
        None => Err(Error::usage(
            "the async client needs a tokio runtime with I/O: build it with `enable_io` or `enable_all`",
        )),
    }
}

/// A timer of tokio; `None` where there is no runtime, or one without timers, at which tokio panics.
fn tokio_sleep(left: Duration) -> Option<Pin<Box<Sleep>>> {
    Handle::try_current().ok()?;
    catch_unwind(|| Box::pin(tokio::time::sleep(left))).ok()
}

/// What wakes a task at a moment, and may be set to another.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    until: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// In place of `sleep`, once that was no use.
    alarm: Option<Alarm>,
}

impl Timer {
    /// Ready after `pause`.
    pub(crate) fn after(pause: Duration) -> Self {
        Self { until: now().checked_add(pause), ..Self::default() }
    }

    /// Ready at `until`.
    pub(crate) fn at(until: Instant) -> Self {
        Self { until: Some(until), ..Self::default() }
    }

    /// Ready once `next` has come, to which the timer is set if it is set to another moment.
    pub(crate) fn poll_at(&mut self, next: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let moved = self.until.replace(next) != Some(next);
        if self.alarm.is_none() {
            let left = || next.saturating_duration_since(now());
            match &mut self.sleep {
                Some(sleep) if moved => sleep.as_mut().reset(tokio::time::Instant::now() + left()),
                Some(_) => {}
                None => self.sleep = tokio_sleep(left()),
            }
            // Tokio lets nothing be ready for a task that has done much in its turn, its timers neither.
            let is_tired = || !tokio::task::coop::has_budget_remaining() && next <= now();
            if let Some(sleep) = &mut self.sleep
                && sleep.as_mut().poll(cx).is_pending()
                && !is_tired()
            {
                return Poll::Pending;
            }
        }
        if next <= now() {
            // The next moment is another, or this timer set anew.
            self.until = None;
            return Poll::Ready(());
        }
        self.sleep = None;
        self.alarm.get_or_insert_with(Alarm::start).set(next, cx.waker());
        Poll::Pending
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Without a moment it is later than can be told.
        let Some(until) = self.until else { return Poll::Pending };
        self.poll_at(until, cx)
    }
}

/// What a task reads in one turn. Bytes that never pause would keep it from its timers, and other tasks from
/// theirs: so from the second read on it looks at the clock, and after a while it pauses.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    /// How many reads there were.
    reads: u32,
    /// When the second was.
    since: Option<Instant>,
}

/// A task that reads on and on pauses after this.
const BURST: Duration = Duration::from_millis(5);

impl Burst {
    /// What is read next begins another turn.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.reads = 0;
    }

    /// Something was read. The time, where the task has to compare its deadlines with it.
    #[inline]
    pub(crate) fn handle_read(&mut self) -> Option<Instant> {
        self.reads = self.reads.saturating_add(1);
        if self.reads > 1 { Some(self.look()) } else { None }
    }

    #[cold]
    fn look(&mut self) -> Instant {
        let now = now();
        if self.reads == 2 {
            self.since = Some(now);
        }
        now
    }

    /// Whether it is time for a pause: see [`poll_pause`].
    pub(crate) fn is_long(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.duration_since(since) >= BURST)
    }
}

/// Never ready: the runtime looks at its timers, and has other tasks take their turn, before this one has the
/// next.
#[cold]
pub(crate) fn poll_pause<T>(cx: &mut Context<'_>) -> Poll<T> {
    // The first poll of it only arranges for that.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
    Poll::Pending
}

/// A thread that wakes a task at a moment of the system's clock. It ends when this is dropped.
#[derive(Debug)]
struct Alarm {
    set: Arc<Mutex<Option<(Instant, Waker)>>>,
    /// Whether there is a thread: there may be too many already.
    rings: bool,
}

/// How often the thread looks.
const TICK: Duration = Duration::from_millis(5);

impl Alarm {
    fn start() -> Self {
        let alarm = Arc::new(Mutex::new(None::<(Instant, Waker)>));
        let kept = Arc::downgrade(&alarm);
        let work = move || {
            while let Some(alarm) = kept.upgrade() {
                let due = alarm.lock().take_if(|(until, _)| *until <= Instant::now());
                drop(alarm);
                if let Some((_, waker)) = due {
                    waker.wake();
                }
                thread::sleep(TICK);
            }
        };
        let rings = threads::spawn("redwire-clock", work).is_ok();
        Self { set: alarm, rings }
    }

    fn set(&self, until: Instant, waker: &Waker) {
        *self.set.lock() = Some((until, waker.clone()));
        if !self.rings {
            waker.wake_by_ref();
        }
    }
}

/// What `future` gives before `deadline`, where there is one; `None` where that comes first.
pub(crate) async fn before<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    let Some(deadline) = deadline else { return Some(future.await) };
    let (mut future, mut timer) = (pin!(future), Timer::default());
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.poll_at(deadline, cx).map(|()| None),
    })
    .await
}

/// What `work` gives, or `None` if `end` is ready first.
pub(crate) async fn unless<T>(end: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    let (mut end, mut work) = (pin!(end), pin!(work));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}
