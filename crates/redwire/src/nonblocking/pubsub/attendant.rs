//! Subscriptions that are heard in another runtime than their connection's, which may stand still. Where it
//! does, their connections are driven in the runtime of the subscriber; what it may have missed is told as
//! for every connection that is lost.

use std::sync::{Arc, Weak};
use std::task::Waker;

use tokio::runtime::{Handle, Id};
use tokio::task::AbortHandle;

use super::{PubSubShared, PubSubState};
use crate::shared::clock::runtime;
use crate::shared::runtimes;

/// A task in the runtime of a subscriber that looks whether those that drive run. It ends with this.
pub(super) struct Attendant {
    runtime: Id,
    task: AbortHandle,
}

impl Attendant {
    pub(super) fn start(shared: &Arc<PubSubShared>, here: &Handle) -> Self {
        let task = here.spawn(attend(Arc::downgrade(shared), here.id())).abort_handle();
        Self { runtime: here.id(), task }
    }

    /// Whether it still looks, from the runtime `here`.
    pub(super) fn is_of(&self, here: Id) -> bool {
        self.runtime == here && !self.task.is_finished()
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Has connections that no runtime drives any more driven `here`, for as long as others than `here` do.
pub(super) async fn attend(shared: Weak<PubSubShared>, here: Id) {
    let foreign = || shared.upgrade().map(|shared| shared.lock().foreign(here)).unwrap_or_default();
    let replace = |from: &Handle| shared.upgrade().into_iter().for_each(|shared| shared.take_over(from.id()));
    runtimes::attend(foreign, replace).await;
}

impl PubSubState {
    fn runtimes(&self) -> impl Iterator<Item = &Handle> {
        self.slots.iter().map(|slot| &slot.runtime).chain(self.routed.as_ref().map(|(runtime, _)| runtime))
    }

    /// Whether a runtime other than `here` drives anything.
    pub(super) fn is_foreign(&self, here: Id) -> bool {
        self.runtimes().any(|runtime| runtime.id() != here)
    }

    /// The runtimes other than `here` that drive anything.
    fn foreign(&self, here: Id) -> Vec<Handle> {
        let mut foreign: Vec<Handle> = Vec::new();
        for runtime in self.runtimes().filter(|runtime| runtime.id() != here) {
            if foreign.iter().all(|known| known.id() != runtime.id()) {
                foreign.push(runtime.clone());
            }
        }
        foreign
    }
}

impl PubSubShared {
    /// Has all that the runtime `from` drives driven in the one that is around. Their connections are lost.
    fn take_over(self: &Arc<Self>, from: Id) {
        let Ok(here) = runtime() else { return };
        let (mut woken, mut replaced) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        let PubSubState { machine, slots, number, .. } = &mut *state;
        for slot in slots.iter_mut().filter(|slot| slot.runtime.id() == from) {
            *number += 1;
            (slot.runtime, slot.number, slot.reads) = (here.clone(), *number, true);
            machine.handle_gone(slot.conn);
            // It finds out that it was replaced.
            woken.extend(slot.driver.take());
            replaced.push((slot.conn, slot.number, Arc::clone(&slot.target)));
        }
        let is_routed = state.routed.take_if(|(runtime, _)| runtime.id() == from).is_some();
        woken.extend(state.router.take_if(|_| is_routed));
        state.poll_woken(&mut woken);
        if is_routed {
            self.spawn_router(state, &here);
        } else {
            drop(state);
        }
        woken.into_iter().for_each(Waker::wake);
        for (conn, number, target) in replaced {
            self.start(&here, conn, number, target, None);
        }
    }
}
