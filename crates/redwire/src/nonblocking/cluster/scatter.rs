//! A call that concerns several nodes: all are sent their parts at once. What goes where, and what is sent
//! again, is decided in `redwire-core`.

use std::time::Instant;

use redwire_core::cluster::{Bundle, Scatter, TopologyHint};
use redwire_core::{Replies, Result};

use super::Nodes;
use crate::nonblocking::UnderWay;
use crate::shared::clock;

impl Nodes {
    /// Carries out `scatter`, which must end by `deadline`.
    pub(in crate::nonblocking) async fn scatter(
        self,
        mut scatter: Scatter,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        let mut under_way = UnderWay::default();
        let node_clients = self.node_clients();
        let (mut random, mut budget, mut hints) = (|| fastrand::u64(..), || self.may_retry(), Vec::new());
        node_clients.handle_call();
        loop {
            for bundle in node_clients.poll_send(&mut scatter, clock::now(), &mut random, &mut hints) {
                under_way.begin((), self.clone().send(bundle, deadline));
            }
            self.take_hints(&mut hints);
            if let Some(replies) = scatter.poll_replies() {
                return replies;
            }
            for ((), (bundle, replies)) in under_way.ended(scatter.poll_timeout()).await {
                let rules = node_clients.rules(clock::now());
                scatter.handle_replies(&bundle, replies, rules, &mut random, &mut budget, &mut hints);
            }
            // Before anything is sent again.
            self.take_hints(&mut hints);
        }
    }

    fn take_hints(&self, hints: &mut Vec<TopologyHint>) {
        if !hints.is_empty() {
            self.handle_hints(hints);
            hints.clear();
        }
    }

    async fn send(self, bundle: Bundle, deadline: Option<Instant>) -> (Bundle, Result<Replies>) {
        let node_client = self.node_clients().reach(bundle.to(), bundle.fresh());
        let replies = node_client.client.exchange(&bundle, deadline).await;
        if let Err(error) = &replies {
            self.node_clients().handle_failure(&node_client.address, error);
            node_client.client.pool().target().handle_failure(error);
        }
        (bundle, replies)
    }
}
