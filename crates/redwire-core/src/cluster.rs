//! Which node of a cluster serves a key, how that is learnt, and what is done when it has changed.
//!
//! Drivers hold one [`Topology`] per client. It gives out the [`Map`], an immutable snapshot that is swapped
//! whole, is told what nodes say about it, and says when to ask them again ([`Refresh`]). A command or
//! pipeline that has one slot goes its way by a [`Route`]; one that concerns several nodes is taken apart and
//! put together by a [`Scatter`]. Nothing in here must know sockets or clocks: time and random numbers come
//! in as arguments.
//!
//! # How a driver uses it
//! - Whenever [`Topology::poll_refresh`] gives a [`Refresh`], one task asks the nodes that
//!   [`Refresh::poll_ask`] gives (a connection of its own, [`question`], [`NodeAnswer::from`]) until
//!   [`Refresh::poll_found`], and hands the end to [`Topology::handle_refreshed`]. No request waits for that,
//!   except for the first map.
//! - [`Plan::of`] tells whether a command has one slot. With one or none: [`Route::target`], send it there,
//!   and on an error do what [`Route::handle_failure`] says, in an [`Asking`] where it says so. Otherwise,
//!   and for pipelines: [`Scatter`], whose [`Bundle`]s are calls of their own, all under way at once.
//!   Transactions and scripts have a [`Route`], too.
//! - For a command that only reads, [`Readers::choose`] may name another node of the shard first; when that
//!   one fails, the route goes on to the primary.
//! - All keys: a [`ClusterScan`] says which node is asked what, and survives what becomes of the cluster
//!   meanwhile.
//! - The [`TopologyHint`] of all go to [`Topology::handle_hint`].
//!
//! What nodes answer and how it is to be understood: [the cluster
//! specification](https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/),
//! [`CLUSTER SHARDS`](https://valkey.io/commands/cluster-shards/),
//! [`CLUSTER SLOTS`](https://valkey.io/commands/cluster-slots/).

mod asking;
mod bundle;
mod combine;
mod first_pass;
mod map;
mod node_choice;
mod node_report;
mod options;
mod plan;
mod promotion_probe;
mod reads;
mod redirect;
mod refresh;
mod remap;
mod route;
mod scan;
mod scatter;
mod slot;
mod slots_reply;
mod topology;

pub use asking::Asking;
pub use bundle::Bundle;
pub use map::{Map, Node, NodeHealth, Shard};
pub use node_choice::NodeChoice;
pub use options::ClusterOptions;
#[cfg(test)]
use plan::slot_of_words;
pub use plan::{Part, Plan, Spread, slot_of};
pub use promotion_probe::{SILENT, is_unheard};
pub use reads::{ReadStrategy, Readers, cannot_answer};
pub use redirect::{Redirect, RedirectKind};
pub use refresh::{Ask, FetchedMap, MapQuestion, NodeAnswer, Refresh, question};
pub use remap::Remap;
pub(crate) use route::AT_ONCE;
pub use route::{AfterFailure, Route, RouteStep, Rules, TopologyHint, any_primary};
pub use scan::{ClusterScan, ScanStep};
pub use scatter::Scatter;
pub use slot::{SLOTS, slot};
pub use slots_reply::Source;
pub use topology::Topology;

#[cfg(test)]
mod tests;
