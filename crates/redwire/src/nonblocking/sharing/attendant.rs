//! A shared connection that is used in another runtime than its driver's, which may stand still: between two
//! `block_on`, or with its threads blocked. A task in the runtime of the caller keeps deadlines then, and has
//! the connection driven there if the driver does not move.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, Id};

use super::{LONG_QUIET, SharingPhase, SharingShared, SharingState};
use crate::shared::clock::{self, Timer};
use crate::shared::setup;

/// A driver that was called and has not moved for so long is replaced.
const PATIENCE: Duration = Duration::from_millis(10);

/// As [`PATIENCE`], where requests are under way: they fail with its connection.
const PATIENCE_UNDER_WAY: Duration = Duration::from_millis(500);

/// The longest time between two looks.
const LONGEST_LOOK: Duration = Duration::from_millis(100);

thread_local! {
    /// Its address tells threads apart.
    static THREAD: u8 = const { 0 };
}

impl SharingState {
    /// Whether the task that submits something now, by `waker`, is in another runtime than the driver. To ask
    /// the runtime each time would cost too much: the same task is where it was, and so is a caller that
    /// comes soon after on the same thread.
    #[inline]
    pub(super) fn is_foreign(&mut self, waker: &Waker, now: Instant) -> bool {
        let (who, thread) = (waker.data().addr(), THREAD.with(|thread| std::ptr::from_ref(thread).addr()));
        let is_same = if self.link.is_idle() { who == self.asker.0 } else { now < self.asked_until };
        if !is_same || thread != self.asker.1 {
            self.ask_runtime((who, thread), now);
        }
        self.foreign
    }

    #[cold]
    fn ask_runtime(&mut self, (who, thread): (usize, usize), now: Instant) {
        let here = Handle::try_current().ok().map(|handle| handle.id());
        let there = self.runtime.as_ref().map(Handle::id);
        self.foreign = here.is_some() && here != there;
        // A waker without data may be that of any task.
        self.asker = (who, if who == 0 { 0 } else { thread });
        self.asked_until = now + LONG_QUIET;
    }
}

/// The task that attends to a connection, in the runtime of this name.
struct Attendant(Arc<SharingShared>, Id);

impl Drop for Attendant {
    fn drop(&mut self) {
        self.0.lock().attended.take_if(|id| *id == self.1);
    }
}

impl SharingShared {
    /// Has the connection attended to in the runtime that is around.
    #[cold]
    pub(super) fn attend(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let id = runtime.id();
        if self.lock().attended.replace(id) != Some(id) {
            runtime.spawn(attend(Attendant(Arc::clone(self), id)));
        }
    }

    /// Has the connection driven in this runtime. What is under way fails, and what waits goes on the next
    /// connection.
    fn take_over(self: &Arc<Self>) {
        let (error, mut woken) = (setup::runtime_ended(), Vec::new());
        let mut state = self.lock();
        state.number += 1;
        (state.phase, state.armed) = (SharingPhase::Undriven, None);
        state.interrupt(&error, &mut woken);
        if state.keeper.is_up() {
            state.keeper.handle_left();
        }
        // It finds out that it was replaced.
        woken.extend(state.driver.take());
        drop(state);
        if let Some(watch) = &self.watch {
            watch.handle_down(false, &error);
        }
        woken.into_iter().for_each(Waker::wake);
        let state = self.lock();
        if state.phase == SharingPhase::Undriven {
            drop(self.drive(state, None));
        }
    }
}

/// Attends until no caller waits any more.
async fn attend(attendant: Attendant) {
    let shared = &attendant.0;
    let (mut turns, mut moved, mut pause) = (None, clock::now(), PATIENCE);
    while let Some(deadline) = shared.look(attendant.1, &mut turns, &mut moved) {
        let next = clock::now() + pause;
        pause = (2 * pause).min(LONGEST_LOOK);
        Timer::at(deadline.map_or(next, |deadline| deadline.min(next))).await;
    }
}

impl SharingShared {
    /// Keeps deadlines, calls the driver, and replaces it if it has not had a turn for long: `turns` and
    /// `moved` are how many it had had, and since when. Says when the next deadline is; `None` where there is
    /// nothing to attend to.
    fn look(
        self: &Arc<Self>,
        id: Id,
        turns: &mut Option<u64>,
        moved: &mut Instant,
    ) -> Option<Option<Instant>> {
        let now = clock::now();
        let (mut state, mut woken) = (self.lock(), Vec::new());
        let SharingState { link, keeper, .. } = &mut *state;
        link.handle_deadlines(now, keeper.error());
        link.poll_woken(&mut woken);
        let is_done = state.phase != SharingPhase::Driven || state.is_inherited() || state.link.is_idle();
        if is_done {
            state.attended.take_if(|attended| *attended == id);
        }
        let attends = state.attended == Some(id) && state.runtime.as_ref().map(Handle::id) != Some(id);
        if turns.replace(state.turns) != Some(state.turns) {
            *moved = now;
        }
        let patience = if state.link.is_quiet() { PATIENCE } else { PATIENCE_UNDER_WAY };
        let stands_still = now.saturating_duration_since(*moved) >= patience;
        let next = attends.then(|| state.link.deadline());
        if next.is_some() {
            woken.extend(state.driver.take());
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        if next.is_some() && stands_still {
            self.take_over();
        }
        next
    }
}
