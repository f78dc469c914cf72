//! A shared connection that is used in another runtime than its driver's, which may stand still: between two
//! `block_on`, or with its threads blocked. A task in the runtime of the caller keeps deadlines then, and has
//! the connection driven there if the driver does not move.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, Id};

use super::{LONG_QUIET, SharingPhase, SharingShared, SharingState};
use crate::shared::clock;
use crate::shared::runtimes::Attended;
use crate::shared::setup;

/// A driver whose runtime runs no task for so long is replaced.
const PATIENCE: Duration = Duration::from_millis(10);

/// As [`PATIENCE`], where requests are under way: they fail with its connection.
const PATIENCE_UNDER_WAY: Duration = Duration::from_millis(500);

/// The longest time between two looks at deadlines: calls may come whose end is sooner than that of others.
const DEADLINES_LOOK: Duration = Duration::from_millis(20);

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

impl Attended for SharingShared {
    const LONGEST_LOOK: Duration = Duration::from_millis(100);

    fn foreign(&self, here: Id) -> Vec<Handle> {
        let state = self.lock();
        let is_used = state.phase == SharingPhase::Driven && !state.is_inherited() && !state.link.is_idle();
        let driving = state.runtime.iter().filter(|runtime| is_used && runtime.id() != here);
        driving.cloned().collect()
    }

    fn patience(&self) -> Duration {
        if self.lock().link.is_quiet() { PATIENCE } else { PATIENCE_UNDER_WAY }
    }

    fn handle_deadlines(&self) -> Option<Instant> {
        let (now, mut woken) = (clock::now(), Vec::new());
        let mut state = self.lock();
        let SharingState { link, keeper, .. } = &mut *state;
        link.handle_deadlines(now, keeper.error());
        link.poll_woken(&mut woken);
        let next = link.deadline();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        next.into_iter().chain(now.checked_add(DEADLINES_LOOK)).min()
    }

    /// What is under way fails, and what waits goes on the next connection.
    fn take_over(self: &Arc<Self>, from: Id) {
        let (error, mut woken) = (setup::runtime_ended(), Vec::new());
        let mut state = self.lock();
        if state.phase != SharingPhase::Driven || state.runtime.as_ref().map(Handle::id) != Some(from) {
            return;
        }
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
