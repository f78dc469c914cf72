//! Subscriptions that are heard in another runtime than their connection's, which may stand still. Where it
//! does, their connections are driven in the runtime of the subscriber; what it may have missed is told as
//! for every connection that is lost.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::runtime::{Handle, Id};

use super::driver::{self, PubSubDriverGuard};
use super::{PubSubShared, PubSubState};
use crate::shared::clock::runtime;
use crate::shared::runtimes::Attended;

impl PubSubState {
    fn runtimes(&self) -> impl Iterator<Item = &Handle> {
        self.slots.iter().map(|slot| &slot.runtime).chain(self.routed.as_ref().map(|(runtime, _)| runtime))
    }

    /// Whether a runtime other than `here` drives anything.
    pub(super) fn is_foreign(&self, here: Id) -> bool {
        self.runtimes().any(|runtime| runtime.id() != here)
    }
}

impl Attended for PubSubShared {
    const LONGEST_LOOK: Duration = Duration::from_secs(1);

    fn foreign(&self, here: Id) -> Vec<Handle> {
        let state = self.lock();
        let mut foreign: Vec<Handle> = Vec::new();
        for runtime in state.runtimes().filter(|runtime| runtime.id() != here) {
            if foreign.iter().all(|known| known.id() != runtime.id()) {
                foreign.push(runtime.clone());
            }
        }
        foreign
    }

    /// The connections that `from` drives are lost.
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
            let (shared, target) = (Arc::clone(self), Arc::clone(&slot.target));
            replaced.push(PubSubDriverGuard { shared, conn: slot.conn, number: slot.number, target });
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
        for guard in replaced {
            here.spawn(driver::drive(guard, None));
        }
    }
}
