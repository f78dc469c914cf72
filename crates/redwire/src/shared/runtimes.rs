//! Whether a runtime that drives something for another runs: it may stand still, between two `block_on` or
//! with its threads blocked. What is driven there is then taken over by the runtime of the task that needs
//! it.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::clock::{self, Timer, before};

/// A runtime that runs no new task for so long stands still. What it drove loses its connection then, so that
/// this is longer than a runtime under load takes.
const PATIENCE: Duration = Duration::from_millis(200);

/// The longest time between two looks at a runtime that runs.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// Looks at the runtimes that `foreign` gives, until it gives none; has each that stands still replaced.
pub(crate) async fn attend(foreign: impl Fn() -> Vec<Handle>, replace: impl Fn(&Handle)) {
    let mut pause = PATIENCE;
    loop {
        let runtimes = foreign();
        if runtimes.is_empty() {
            return;
        }
        for runtime in runtimes {
            if !runs(&runtime).await {
                replace(&runtime);
            }
        }
        Timer::after(pause).await;
        pause = (2 * pause).min(LONGEST_LOOK);
    }
}

async fn runs(runtime: &Handle) -> bool {
    let (sender, receiver) = oneshot::channel();
    runtime.spawn(async move { sender.send(()) });
    matches!(before(clock::now().checked_add(PATIENCE), receiver).await, Some(Ok(())))
}
