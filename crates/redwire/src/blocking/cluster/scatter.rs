//! A call that concerns several nodes: all are sent their parts at once. What goes where, and what is sent again, is decided in
//! `redwire-core`.

use std::panic::resume_unwind;
use std::thread;
use std::time::Instant;

use redwire_core::cluster::{Bundle, Scatter};
use redwire_core::lane::Lane as Way;
use redwire_core::{Replies, Result};

use super::Nodes;

impl Nodes {
    /// Carries out `scatter`, which must end by `deadline`.
    pub(super) fn scatter(&self, mut scatter: Scatter, deadline: Option<Instant>) -> Result<Replies> {
        let members = self.members();
        let (mut random, mut budget) = (|| fastrand::u64(..), || self.may_retry());
        members.handle_call();
        loop {
            let (now, mut news) = (Instant::now(), Vec::new());
            let bundles = scatter.poll_send(&members.map(), members.rules(now), &mut random, &mut news);
            let answers = at_once(&bundles, |bundle| self.send(bundle, deadline));
            for (bundle, replies) in bundles.iter().zip(answers) {
                let rules = members.rules(Instant::now());
                scatter.handle_replies(bundle, replies, rules, &mut random, &mut budget, &mut news);
            }
            if !news.is_empty() {
                self.handle_news(&news);
            }
            if let Some(results) = scatter.poll_results() {
                return Scatter::into_replies(results);
            }
            if bundles.is_empty()
                && let Some(next) = scatter.poll_timeout(now)
            {
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        }
    }

    fn send(&self, bundle: &Bundle, deadline: Option<Instant>) -> Result<Replies> {
        let members = self.members();
        let member = if bundle.fresh() { members.renewed(bundle.to()) } else { members.member(bundle.to()) };
        let replies = member.client.exchange(bundle, Way::Shared, Instant::now(), deadline);
        replies.map_err(|error| member.client.pool().target().locate(error))
    }
}

/// Does `work` with each of `items`, all at once: with the first on this thread, with each other on one of its own.
pub(super) fn at_once<T: Sync, A: Send>(items: &[T], work: impl Fn(&T) -> A + Sync) -> Vec<A> {
    let Some((first, others)) = items.split_first() else { return Vec::new() };
    let work = &work;
    thread::scope(|scope| {
        let start = |item| {
            let named = thread::Builder::new().name("redwire-part".to_owned());
            (item, named.spawn_scoped(scope, move || work(item)))
        };
        let others: Vec<_> = others.iter().map(start).collect();
        let mut answers = vec![work(first)];
        answers.extend(others.into_iter().map(|(item, started)| match started {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            // As many threads as there may be there are: then one after the other.
            Err(_) => work(item),
        }));
        answers
    })
}
