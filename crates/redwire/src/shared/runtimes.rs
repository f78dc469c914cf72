//! Whether a runtime that drives something for another runs: it may stand still, between two `block_on` or
//! with its threads blocked. What is driven there is then taken over by the runtime of the task that needs
//! it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::clock::{self, Timer, before, unless};
use super::sync::Mutex;

/// What tasks of one runtime drive, and tasks of others use.
pub(crate) trait Attended: Send + Sync + Sized + 'static {
    /// The longest time between two looks at a runtime that runs.
    const LONGEST_LOOK: Duration;

    /// The runtimes that drive what tasks of the runtime `here` need now, other than that.
    fn foreign(&self, here: Id) -> Vec<Handle>;

    /// A runtime that runs no new task for so long stands still. What it drove loses its connection then, so
    /// that this is longer than a runtime under load takes.
    fn patience(&self) -> Duration {
        Duration::from_millis(200)
    }

    /// Fails the calls that are late, as the runtime that drives may not do that; says when to do so again.
    fn handle_deadlines(&self) -> Option<Instant> {
        None
    }

    /// Has all that the runtime `from` drives driven in the one that is around.
    fn take_over(self: &Arc<Self>, from: Id);
}

/// The shortest time between two looks at a runtime that runs.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// Has what runtimes that stand still drive driven `here`, for as long as others than `here` drive anything.
async fn attend<T: Attended>(shared: Weak<T>, here: Id) {
    let keep_deadlines = async {
        while let Some(next) = shared.upgrade().and_then(|shared| shared.handle_deadlines()) {
            Timer::at(next).await;
        }
        std::future::pending().await
    };
    unless(keep_deadlines, look(&shared, here)).await;
}

async fn look<T: Attended>(shared: &Weak<T>, here: Id) {
    let mut pause = SHORTEST_LOOK;
    loop {
        let foreign = shared.upgrade().map(|shared| shared.foreign(here)).unwrap_or_default();
        if foreign.is_empty() {
            return;
        }
        for runtime in foreign {
            if !runs(&runtime, shared).await
                && let Some(shared) = shared.upgrade()
            {
                shared.take_over(runtime.id());
            }
        }
        Timer::after(pause).await;
        pause = (2 * pause).min(T::LONGEST_LOOK);
    }
}

async fn runs<T: Attended>(runtime: &Handle, shared: &Weak<T>) -> bool {
    let begin = clock::now();
    let (sender, mut receiver) = oneshot::channel();
    runtime.spawn(async move { sender.send(()) });
    while let Some(until) = shared.upgrade().map(|shared| begin + shared.patience())
        && clock::now() < until
    {
        if let Some(ran) = before(Some(until), &mut receiver).await {
            return ran.is_ok();
        }
    }
    false
}

/// A task that attends to something for one caller that waits. It ends with this.
pub(crate) struct Attendant {
    runtime: Id,
    task: AbortHandle,
}

impl Attendant {
    pub(crate) fn start<T: Attended>(shared: &Arc<T>, here: &Handle) -> Self {
        let task = here.spawn(attend(Arc::downgrade(shared), here.id())).abort_handle();
        Self { runtime: here.id(), task }
    }

    /// Whether it still looks, from the runtime `here`.
    pub(crate) fn is_of(&self, here: Id) -> bool {
        self.runtime == here && !self.task.is_finished()
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The runtimes in which a task attends to the same thing for all callers there.
#[derive(Debug, Default)]
pub(crate) struct Attendants(Mutex<Vec<Id>>);

/// The place of such a task, given up when it is dropped, which may be before the task has begun.
struct Place<T: Attended> {
    shared: Weak<T>,
    here: Id,
    attendants: fn(&T) -> &Attendants,
}

/// Sees to it that a task of the runtime that is around attends to `shared`, which has the `attendants`.
#[cold]
pub(crate) fn attend_once<T: Attended>(shared: &Arc<T>, attendants: fn(&T) -> &Attendants) {
    let Ok(runtime) = Handle::try_current() else { return };
    let here = runtime.id();
    let mut next = Place::take(shared, here, attendants);
    if next.is_some() {
        runtime.spawn(async move {
            while let Some(place) = next.take() {
                let shared = place.shared.clone();
                attend(shared.clone(), here).await;
                drop(place);
                // For callers that came before the place was free.
                next = shared.upgrade().and_then(|shared| Place::take(&shared, here, attendants));
            }
        });
    }
}

impl<T: Attended> Place<T> {
    /// `None` where there is nothing to attend to, or a task does.
    fn take(shared: &Arc<T>, here: Id, attendants: fn(&T) -> &Attendants) -> Option<Self> {
        if shared.foreign(here).is_empty() {
            return None;
        }
        let mut taken = attendants(shared).0.lock();
        if taken.contains(&here) {
            return None;
        }
        taken.push(here);
        Some(Self { shared: Arc::downgrade(shared), here, attendants })
    }
}

impl<T: Attended> Drop for Place<T> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            (self.attendants)(&shared).0.lock().retain(|taken| *taken != self.here);
        }
    }
}
