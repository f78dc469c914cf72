//! How far something has come, on standard error, where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that is gone once it is dropped.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Of something that takes `limit`.
    pub(crate) fn of_time(limit: Duration) -> Self {
        Self::new(limit.as_millis(), "{bar:30} {elapsed}  {msg}")
    }

    /// Of something that is done after `count` steps.
    pub(crate) fn of_count(count: u64) -> Self {
        Self::new(count.into(), "{bar:30} {human_pos} of {human_len}  {msg}")
    }

    fn new(length: u128, template: &str) -> Self {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        // A template that does not parse would leave the style as it is by default.
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self(bar)
    }

    /// It has come so far, and `what` there is to say of it.
    pub(crate) fn at_time(&self, elapsed: Duration, what: String) {
        self.at(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), what);
    }

    pub(crate) fn at(&self, position: u64, what: String) {
        self.0.set_position(position);
        self.0.set_message(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
