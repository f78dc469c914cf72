//! A call that concerns several nodes: all are sent their parts at once. What goes where, and what is sent
//! again, is decided in `redwire-core`.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use redwire_core::call::Call;
use redwire_core::cluster::{Bundle, Scatter};
use redwire_core::dispatch::Dispatch;
use redwire_core::{Replies, Result};

use super::Nodes;
use crate::blocking::client::Client;
use crate::blocking::sharing::SharedConnections;
use crate::shared::node_clients::NodeClient;
use crate::shared::threads;

impl Nodes {
    /// Carries out `scatter`, which must end by `deadline`.
    pub(super) fn scatter(&self, mut scatter: Scatter, deadline: Option<Instant>) -> Result<Replies> {
        let node_clients = self.node_clients();
        let (mut random, mut budget) = (|| fastrand::u64(..), || self.may_retry());
        node_clients.handle_call();
        loop {
            let (now, mut hints) = (threads::now(), Vec::new());
            let bundles = node_clients.poll_send(&mut scatter, now, &mut random, &mut hints);
            let answers = self.exchange_all(&bundles, deadline);
            for (bundle, replies) in bundles.iter().zip(answers) {
                let rules = node_clients.rules(threads::now());
                scatter.handle_replies(bundle, replies, rules, &mut random, &mut budget, &mut hints);
            }
            if !hints.is_empty() {
                self.handle_hints(&hints);
            }
            if let Some(replies) = scatter.poll_replies() {
                return replies;
            }
            if bundles.is_empty()
                && let Some(next) = scatter.poll_timeout()
            {
                thread::sleep(next.saturating_duration_since(threads::now()));
            }
        }
    }

    /// Sends all bundles at once, each to its node, and waits for the replies to each.
    fn exchange_all(&self, bundles: &[Bundle], deadline: Option<Instant>) -> Vec<Result<Replies>> {
        let node_clients = self.node_clients();
        let member_for = |bundle: &Bundle| node_clients.reach(bundle.to(), bundle.fresh());
        let sent: Vec<_> = bundles.iter().map(|bundle| (member_for(bundle), bundle)).collect();
        let calls =
            sent.iter().map(|(node_client, bundle)| (&node_client.client.shared_connections, *bundle));
        // Threads take longer to start than small calls to be answered.
        let quick =
            sent.len() > 1 && bundles.iter().all(|bundle| matches!(bundle.dispatch(), Ok(Dispatch::Shared)));
        let replies = if quick { SharedConnections::exchange_all(calls, deadline) } else { None };
        let replies = replies.unwrap_or_else(|| {
            at_once(&sent, |(node_client, bundle)| {
                node_client.client.shared_connections.exchange(
                    *bundle,
                    bundle.dispatch()?,
                    threads::now(),
                    deadline,
                )
            })
        });
        let located =
            |((node_client, _), replies): (&(Arc<NodeClient<Client>>, &Bundle), Result<Replies>)| {
                replies.map_err(|error| {
                    node_clients.handle_failure(&node_client.address, &error);
                    node_client.client.pool().target().handle_failure(&error);
                    node_client.client.pool().target().locate(error)
                })
            };
        sent.iter().zip(replies).map(located).collect()
    }
}

/// Does `work` with each of `items`, all at once: with the first on this thread, with each other on one of
/// its own.
pub(in crate::blocking) fn at_once<T: Sync, A: Send>(items: &[T], work: impl Fn(&T) -> A + Sync) -> Vec<A> {
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
