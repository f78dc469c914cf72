//! Every decision of a client for Redis and Valkey, and no waiting.
//!
//! Commands and their facts, configuration and URLs, the handshake, the order of requests and replies, pools,
//! retries and errors. The crate `redwire` adds the waiting, once for tokio and once for threads; users
//! depend on that one.
//!
//! # The driving law
//! The machines in this crate do nothing by themselves. Tell one what happened (`handle_…`) or what you want
//! (other mutators), then ask its `poll_…` methods until they have nothing more: bytes to send, waiters to
//! wake, the next deadline. There is no clock, socket, thread, lock or chance in here: time and random
//! numbers are arguments. So every behaviour can be tested without waiting, and both drivers behave the same.
//!
//! | machine | decides |
//! |---|---|
//! | [`Link`](link::Link) | whose reply has come, what is sent, whose deadline has passed |
//! | [`Liveness`](liveness::Liveness) | whether a silent peer is still there |
//! | [`MonitorStream`](monitor::MonitorStream) | what a monitor sends and hears |
//! | [`Handshake`](handshake::Handshake) | what a connection says first |
//! | [`Dial`](dial::Dial) | which address is tried when |
//! | [`Discovery`](sentinel::Discovery) | which sentinel is asked for a master, and believed |
//! | [`Outage`](outage::Outage) | when to connect again |
//! | [`Pool`](pool::Pool) | who may have a connection, make one, or wait |
//! | [`PubSub`](pubsub::PubSub) | who hears what is published, and what the server is told for that |
//! | [`SessionState`](session_state::SessionState) | what is done to a connection before another caller has it |
//! | [`Store`](cache::Store) | what a client-side cache keeps, who reads, and who waits for that |
//! | [`Acquire`](lock::Acquire), [`Hold`](lock::Hold) | how a lock is acquired, kept and lost |
//! | [`Attempt`](retry::Attempt), [`RetryBudget`](budget::RetryBudget) | whether a failed call is made again |
//! | [`Topology`](cluster::Topology), [`Refresh`](cluster::Refresh) | who serves which slot of a cluster, and who is asked for that |
//! | [`Route`](cluster::Route), [`Scatter`](cluster::Scatter) | where a command or its parts go in a cluster, and go next |
//! | [`Tries`](transaction::Tries) | whether an aborted transaction is tried again |

pub mod backoff;
pub mod budget;
pub mod cache;
pub mod call;
pub mod callbacks;
pub mod cluster;
pub mod config;
pub mod credentials;
pub mod dial;
pub mod dispatch;
pub mod driver_value;
pub mod facts;
pub mod handshake;
pub mod inbound;
pub mod keeper;
pub mod link;
pub mod liveness;
pub mod lock;
pub mod monitor;
pub mod outage;
pub mod outbox;
pub mod pool;
pub mod pubsub;
pub mod resolve;
pub mod retry;
pub mod secret;
pub mod sentinel;
pub mod session_state;
pub mod standing;
pub mod transaction;
pub mod url;

mod arg;
mod buffer;
mod cmd;
mod error;
#[cfg(feature = "json")]
mod json;
mod paging;
mod pipeline;
mod refusal;
mod replies;
mod reply;
mod run;
mod script;

pub use arg::{Arg, Args, SHARED_FROM};
pub use cmd::{Cmd, CmdOptions, cmd};
pub use error::{
    AuthenticationFault, ClusterFault, ConnectionFault, Error, ErrorKind, LockFault, Outcome, Result,
    SentinelFault,
};
#[cfg(feature = "json")]
pub use json::Json;
pub use pipeline::{Batch, Pipeline, Slot, Slots, TrySlot};
pub use redwire_resp::ProtocolError;
pub use replies::Replies;
#[cfg(feature = "serde")]
pub use reply::Struct;
pub use reply::{Detach, Items, Lossy, Reader, Reply, ScanPage, Value};
pub use run::Run;
pub use script::{Invocation, Script};
pub use transaction::{Atomic, TransactionOptions};
