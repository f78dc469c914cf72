//! A call that concerns several nodes: all are sent their parts at once. What goes where, and what is sent
//! again, is decided in `redwire-core`.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Instant;

use redwire_core::cluster::{Bundle, Scatter};
use redwire_core::{Replies, Result};

use super::Nodes;
use crate::shared::clock::{self, Timer};

/// A part under way.
type SentBundle = Pin<Box<dyn Future<Output = (Bundle, Result<Replies>)> + Send>>;

impl Nodes {
    /// Carries out `scatter`, which must end by `deadline`.
    pub(in crate::nonblocking) async fn scatter(
        self,
        mut scatter: Scatter,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        let mut under_way: Vec<SentBundle> = Vec::new();
        let mut timer = Timer::default();
        let node_clients = self.node_clients();
        let (mut random, mut budget) = (|| fastrand::u64(..), || self.may_retry());
        node_clients.handle_call();
        poll_fn(|cx| {
            loop {
                let (now, mut hints) = (clock::now(), Vec::new());
                let bundles = node_clients.poll_send(&mut scatter, now, &mut random, &mut hints);
                under_way.extend(bundles.into_iter().map(|bundle| self.send(bundle, deadline)));
                let mut answered = false;
                under_way.retain_mut(|sent| match sent.as_mut().poll(cx) {
                    Poll::Pending => true,
                    Poll::Ready((bundle, replies)) => {
                        let rules = node_clients.rules(clock::now());
                        scatter.handle_replies(&bundle, replies, rules, &mut random, &mut budget, &mut hints);
                        answered = true;
                        false
                    }
                });
                if !hints.is_empty() {
                    self.handle_hints(&hints);
                }
                if let Some(replies) = scatter.poll_replies() {
                    return Poll::Ready(replies);
                }
                if answered {
                    continue;
                }
                let Some(next) = scatter.poll_timeout() else { return Poll::Pending };
                ready!(timer.poll_at(next, cx));
            }
        })
        .await
    }

    fn send(&self, bundle: Bundle, deadline: Option<Instant>) -> SentBundle {
        let node_client = self.node_clients().reach(bundle.to(), bundle.fresh());
        let nodes = self.clone();
        Box::pin(async move {
            let replies = node_client.client.exchange(&bundle, deadline).await;
            if let Err(error) = &replies {
                nodes.node_clients().handle_failure(&node_client.address, error);
                node_client.client.pool().target().handle_failure(error);
            }
            (bundle, replies)
        })
    }
}
