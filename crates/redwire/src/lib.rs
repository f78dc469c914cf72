//! Everything between a program and Redis or Valkey: one client, async on tokio or blocking with no runtime.
//!
//! ```no_run
//! # async fn example() -> redwire::Result<()> {
//! use redwire::prelude::*;
//!
//! let client = redwire::Client::connect("redis://localhost").await?;
//! client.set("greeting", "hello").await?;
//! let text: Option<String> = client.get("greeting").await?;
//! let (n, all): (i64, Vec<String>) = client.pipeline(|p| (p.incr("n"), p.lrange("l", 0, -1))).await?;
//! # Ok(())
//! # }
//! # fn blocking() -> redwire::Result<()> {
//! use redwire::prelude::*;
//!
//! let client = redwire::blocking::Client::connect("redis://localhost")?;
//! let text: Option<String> = client.get("greeting")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Parts
//! [`Client`] is what most programs need. Below it lie [`Connection`], one connection by hand, and [`Pool`],
//! which lends them out. [`Client::events`] tells what happens to connections. What is published is heard by
//! [`Client::subscribe`], or by a [`PubSub`] of your own; [`Client::transaction`], [`Client::lock`],
//! [`Client::cached`] and [`Client::monitor`] are conversations, too. A client of `redis+sentinel://…`
//! follows the master that sentinels tell, and [`Sentinel`] is the part by hand; one of `redis+cluster://…`
//! finds the node for each command, and [`Cluster`] is the part by hand. [`blocking`] has the same names
//! without a runtime. Every option is a method of [`ConfigBuilder`](config::ConfigBuilder), with its default,
//! and a parameter of the URL where it has a text. What belongs to one subject stands in a module of its own:
//! [`pubsub`], [`pool`], [`cache`], [`cluster`], [`sentinel`], [`monitor`]. A [connector] of your
//! own makes the connections, where they go through a proxy or to a peer in memory. Users of redis-py,
//! aioredis and redis-py-cluster find their names on the page
#![cfg_attr(all(doc, feature = "tokio"), doc = "[`coming_from_python`].")]
#![cfg_attr(not(all(doc, feature = "tokio")), doc = "`coming_from_python`.")]
//!
//! ```no_run
//! # async fn example() -> redwire::Result<()> {
//! use redwire::prelude::*;
//!
//! // TLS with the system's certificates is `rediss://`; this has a CA and a client certificate of its own.
//! let config = redwire::Client::builder()
//!     .url("rediss://db.example?max_connections=10")
//!     .tls_ca_file("/etc/redis/ca.pem")
//!     .tls_cert_file("/etc/redis/client.pem")
//!     .tls_key_file("/etc/redis/client.key")
//!     .build()?;
//! let client = redwire::Client::open(config).await?;
//!
//! // A connection of your own, until it is dropped: the next user finds it as new.
//! let mut lease = client.pool().get().await?;
//! lease.select(2).await?;
//! lease.set("greeting", "hello").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! Each promise stands with its bounds by default, and with tests that show it: those of this crate
//! (`tests/…`) run against real servers, on both drivers where both could break it; those of `redwire-core`
//! without sockets and clocks.
//!
//! - **I1: A reply reaches the call that asked for it, or none**, whatever is dropped, times out or is lost
//!   in between. A connection on which replies cannot be told apart any more is closed. A reply that
//!   something between drops out of the stream, while the next one comes in time, cannot be told from its
//!   successor without marks in the stream: that is found out when a deadline passes, or with
//!   [`mark_every`](config::ConfigBuilder::mark_every) after so many replies at most.
//!   - `tests/faults/cancelling.rs`: `given_up_calls_on_two_workers`, `given_up_calls_on_one_thread`
//!   - `tests/faults/leases.rs`: `given_up_leases_on_two_workers`,
//!     `a_panic_between_sending_and_reading_spoils_no_other_call`
//!   - `tests/pools/dirty.rs`: `what_can_be_mended_is_mended_and_the_connection_stays`,
//!     `what_cannot_be_mended_takes_its_connection_with_it`
//!   - `tests/faults/silence.rs`: `after_a_lost_reply_no_call_gets_anothers`
//!   - `tests/faults/step.rs`: `a_reply_too_many_at_once`, `a_reply_too_many_while_idle`
//!   - `tests/faults/marks.rs`: `with_marks_a_swallowed_reply_misleads_few`
//!   - `tests/faults/stuck.rs`: `an_open_transaction_reaches_no_other_call`
//!   - `tests/pools/refused.rs`: `a_transaction_that_was_not_ended_reaches_no_other_borrower`,
//!     `no_state_outlives_the_lease`
//!   - `tests/client/by_hand.rs`: `messages_are_read_by_hand_and_never_by_a_call`
//!   - `tests/client/nameless.rs`: `a_command_without_words_is_never_sent`
//!   - `tests/client/pipelines.rs`: `a_reply_that_is_not_read_goes_to_no_other_call`
//!   - `tests/connectors/memory.rs`: `replies_reach_the_calls_that_asked`
//!   - `redwire-core/src/link/tests.rs`: `random_histories_never_mix_replies_up`
//! - **I2: A command is executed at most once**, unless it only reads or its caller allowed more
//!   ([`Cmd::idempotent`], [`idempotent`](config::ConfigBuilder::idempotent)). [`Error::outcome`] tells what
//!   became of a call that failed. One that was not handed to the kernel whole was not sent; that is made
//!   again, with up to 3 retries. The outcome of a call is the worst of its tries; a script, a function or a
//!   command of a module runs once, whatever error it makes up.
//!   - `tests/faults/lost.rs`: `a_lost_reply_is_told_and_the_command_not_repeated`,
//!     `half_a_command_is_not_sent`, `replies_lost_at_random_never_execute_twice`
//!   - `tests/faults/repeating.rs`: `a_transaction_whose_reply_is_lost_runs_once`,
//!     `what_is_declared_idempotent_is_repeated`
//!   - `tests/faults/unseen.rs`: `a_call_after_an_end_that_was_not_seen_is_executed_once`
//!   - `tests/faults/standing.rs`: `what_is_under_way_is_answered_and_counts_stay_exact`
//!   - `tests/faults/outcomes.rs`: `what_ran_before_it_was_refused_is_not_told_as_not_sent`,
//!     `a_lock_that_may_be_held_is_given_up`
//!   - `tests/conversations/refusals.rs`: `a_script_with_an_error_that_looks_like_the_servers_runs_once`,
//!     `an_unknown_command_with_such_an_error_runs_once`
//!   - `tests/cluster/outcomes.rs`: `what_ran_before_it_was_rejected_is_not_told_as_rejected`,
//!     `a_script_that_makes_up_errors_runs_once`
//!   - `tests/cluster/pipelines.rs`: `each_slot_has_its_own_value_or_error_while_a_node_fails`
//!   - `tests/security/traffic.rs`: `a_value_cut_on_its_way_was_not_sent`
//!   - `tests/conversations/transactions.rs`: `a_lost_reply_is_told_and_not_repeated`,
//!     `half_of_it_was_not_sent`
//!   - `tests/conversations/watched.rs`: `killed_connections_lose_no_count_and_run_nothing_elsewhere`
//!   - `tests/conversations/scripts.rs`: `a_lost_reply_is_not_repeated`,
//!     `an_error_of_a_script_tells_that_it_may_have_written`
//!   - `tests/conversations/locks.rs`: `an_acquisition_whose_reply_is_lost_is_recognised`
//!   - `tests/sentinel/failover.rs`: `a_master_that_is_killed_is_replaced`
//!   - `tests/cluster/moving.rs`: `pipelines_and_transactions_lose_and_double_nothing_while_their_slots_move`
//!   - `tests/cluster/soak.rs`: `counts_are_right_while_slots_move_and_replicas_take_over`
//!   - `redwire-core/src/retry/tests.rs`: `what_may_have_run_is_repeated_only_when_harmless`
//! - **I3: A call ends by its deadline**, 50 ms later at most: 5 s after it began, or as
//!   [`timeout`](config::ConfigBuilder::timeout) or [`Cmd::timeout`] say. That covers the queue, the pool,
//!   credentials, DNS, all addresses, TLS, the handshake, retries and the reply. A command that waits at the
//!   server (`BLPOP`) has that time on top; one that waits for ever ends by its own [`Cmd::timeout`], or when
//!   its connection is lost. An async client may be used in several runtimes, at the same time or one after
//!   the other; its shared connection lives in one of them.
//!   - `tests/faults/silence.rs`: `a_frozen_server_holds_no_call_past_the_deadline`,
//!     `a_black_hole_holds_no_call_past_the_deadline`,
//!     `a_connection_that_cannot_be_made_holds_no_call_past_the_deadline`,
//!     `a_command_that_waits_cannot_be_held_past_its_deadline`
//!   - `tests/faults/waiting.rs`: `nil_comes_when_the_server_says_so`,
//!     `a_deadline_of_its_own_ends_what_waits_for_ever`
//!   - `tests/faults/signals.rs`: `the_deadline_of_a_call_holds_while_signals_come`,
//!     `silence_is_noticed_while_signals_come`
//!   - `tests/faults/flooding.rs`: `bytes_that_never_pause_hold_up_no_deadline`,
//!     `messages_to_others_hold_up_no_subscriber`
//!   - `tests/faults/runtimes.rs`: `a_runtime_that_is_blocked_holds_up_no_other`
//!   - `tests/pools/runtimes.rs`: `connections_of_one_runtime_are_not_lent_in_another`
//!   - `tests/connectors/memory.rs`: `silence_ends_by_the_deadline`,
//!     `a_peer_that_reads_nothing_ends_by_the_deadline`
//!   - `tests/connectors/bad.rs`: `one_that_hangs_ends_by_the_deadline`
//!   - `tests/pools/lookups.rs`: `a_name_server_that_hangs_costs_two_threads_and_no_more`
//!   - `tests/security/stalled.rs`: `a_handshake_that_stalls_ends_with_the_call`
//! - **I4: Nothing leaks, and every queue has a limit.** No place in a queue or a pool, socket or byte is
//!   lost to what is cancelled, fails or is dropped. At most 65 536 commands and 64 MiB wait on a connection,
//!   a client or pool has 50 connections (and one more to ask whether the server lives), 256 events wait for
//!   a listener and 4096 messages of 16 MiB for a subscription
//!   ([`SubscribeOptions`](pubsub::SubscribeOptions)), and what a reply announces takes no memory before it
//!   comes. A reply has 1 GiB at most, and one that no call waits for any more 16 MiB. A call that finds no
//!   room for its bytes waits for it.
//!   - `redwire-core/src/pool/tests/model.rs`:
//!     `nothing_is_lost_and_no_caller_is_overtaken_or_sleeps_for_ever`
//!   - `tests/pools/crowds.rs`: `a_thousand_tasks_half_of_them_cancelled_keep_their_order`
//!   - `tests/pools/conserved.rs`: `a_thousand_failed_handshakes_take_no_place`,
//!     `a_thousand_dropped_connects_take_no_place`
//!   - `tests/pools/forks.rs`: `parent_and_child_go_on_with_connections_of_their_own`
//!   - `tests/faults/outage.rs`: `a_full_queue_is_told_at_once`
//!   - `tests/faults/hostile.rs`: `a_claimed_length_takes_no_memory`
//!   - `tests/faults/endless.rs`: `a_reply_without_end_is_cut_off_at_the_limit`,
//!     `a_reply_that_no_caller_waits_for_any_more_is_cut_off`
//!   - `tests/faults/large.rs`: `many_values_larger_than_the_queue_wait_for_room`
//!   - `tests/pools/user_code.rs`: `leases_that_are_given_up_cost_no_connection`
//!   - `tests/faults/waiting.rs`: `a_wait_that_is_dropped_leaves_no_ghost`
//!   - `tests/client/sharing.rs`: `calls_that_wait_are_limited`, `a_dropped_client_leaves_no_connection`
//!   - `tests/connectors/bad.rs`: `threads_that_hang_are_few`
//! - **I5: Every possible loss of messages is announced**, where it happened in their order:
//!   [`SubscriptionEvent::Gap`](pubsub::SubscriptionEvent::Gap) with its times, after a connection that was
//!   lost and before the next message; [`SubscriptionEvent::Lagged`](pubsub::SubscriptionEvent::Lagged) with
//!   its count, where a full buffer dropped some. What stands between two messages without either is nothing.
//!   A cache forgets all it has when the connection that announces changes is lost.
//!   - `tests/conversations/pubsub_faults.rs`: `every_gap_is_announced_while_the_connection_is_killed`,
//!     `every_gap_is_announced_while_the_network_cuts`, `a_frozen_server_is_found_out_and_the_gap_told`
//!   - `tests/conversations/pubsub_limits.rs`: `a_server_that_drops_a_slow_subscriber_is_told_of`,
//!     `the_oldest_are_dropped_and_counted`, `the_newest_are_dropped_and_counted`
//!   - `tests/conversations/pubsub_late.rs`: `a_gap_covers_what_is_missing_however_late_it_is_read`
//!   - `tests/cluster/cache.rs`: `nothing_old_is_read_after_sync_while_primaries_change`
//!   - `redwire-core/src/pubsub/tests/model.rs`:
//!     `no_message_reaches_another_subscriber_and_none_is_missing_unannounced`
//!   - `tests/conversations/cache/kills.rs`: `what_was_acknowledged_is_seen_through_kills`,
//!     `whichever_connection_is_killed_everything_is_forgotten`
//!   - `redwire-core/src/cache/tests/model.rs`: `nothing_old_serves_no_waiter_is_forgotten_and_nothing_leaks`
//! - **I6: After an outage, service returns by itself**: a server that can be reached again is tried within 1
//!   s, the longest pause ([`reconnect_backoff`](config::ConfigBuilder::reconnect_backoff)), or within 3 s
//!   where an attempt that is not answered has to end first. A peer that fell silent without a word is found
//!   out within 5 s, twice [`health_check_interval`](config::ConfigBuilder::health_check_interval), while a
//!   call waits on it or the connection is shared; one that lies idle in a pool, before it is lent again. A
//!   call with more time than that waits until its own deadline, since a busy server and a dead one look the
//!   same. A demoted master behind one address is left, and the call goes on at the next one.
//!   - `tests/faults/outage.rs`: `service_returns_by_itself`, `values_stay_with_their_keys_through_all_of_it`
//!   - `tests/faults/lost.rs`: `a_connection_killed_while_idle_is_invisible`
//!   - `tests/faults/unseen.rs`: `so_are_pipelines_and_calls_that_are_made_together`,
//!     `what_came_unseen_is_heard_first`, `a_call_on_a_connection_of_its_own_was_not_sent`
//!   - `tests/faults/runtimes.rs`: `a_shared_connection_whose_driver_never_began_is_driven_anew`,
//!     `runtimes_come_one_after_the_other`, `two_runtimes_take_turns`,
//!     `subscriptions_are_heard_in_the_runtime_that_runs`, `a_cluster_is_followed_in_the_runtime_that_runs`
//!   - `tests/faults/standing.rs`: `each_kind_of_call_goes_on_at_the_next_master`,
//!     `each_kind_of_connection_leaves_the_former_master`,
//!     `a_client_that_is_not_known_any_more_authenticates_again`,
//!     `a_subscriber_is_connected_anew_once_its_user_is_forgotten`,
//!     `an_old_connection_makes_way_and_no_call_fails`
//!   - `tests/pools/outages.rs`: `calls_wait_for_a_server_that_is_away`,
//!     `all_that_wait_are_served_when_the_server_returns`
//!   - `tests/pools/runtimes.rs`: `twenty_runtimes_one_after_the_other_have_leases_and_warm_connections`
//!   - `tests/connectors/simulated.rs`: `outages_pass_in_no_time_and_the_same_way_each_time`
//!   - `tests/faults/liveness.rs`: `a_frozen_server_is_noticed_by_calls_without_a_deadline`,
//!     `a_black_hole_is_noticed_by_commands_that_wait`, `silence_is_noticed_while_no_task_calls`,
//!     `a_slow_reply_is_no_silence`, `a_busy_server_is_waited_for_until_the_deadline`,
//!     `ordinary_calls_do_not_keep_a_dead_connection`
//!   - `tests/faults/questions.rs`: `a_connection_that_died_while_idle_is_replaced_unseen`,
//!     `a_front_end_that_answers_by_itself_keeps_its_connection`
//!   - `tests/sentinel/failover.rs`: `a_failover_on_purpose_is_followed`,
//!     `a_master_that_is_frozen_is_replaced_and_not_gone_back_to`
//!   - `tests/sentinel/scripts.rs`: `clients_that_only_send_scripts_find_the_new_master`
//!   - `tests/cluster/lost.rs`: `a_killed_primary_is_replaced`,
//!     `a_frozen_primary_holds_up_no_call_to_others_and_comes_back_as_a_replica`,
//!     `a_frozen_primary_is_followed_as_soon_as_another_is_there`
//!   - `tests/cluster/readers.rs`: `a_frozen_replica_is_passed_over`
//!   - `redwire-core/src/liveness/tests.rs`: `a_dead_peer_is_found_within_two_intervals`
//! - **I7: During an outage, no client storms**: all callers that want a connection of a pool make one
//!   attempt in each pause together, and so do all that want the shared one, also where a server completes
//!   each handshake and then hangs up. The pauses are random, from nothing up to 10 ms at first and 1 s at
//!   last. A pool makes at most 4 connections at a time
//!   ([`max_connecting`](config::ConfigBuilder::max_connecting)). A wrong password is told at once, and tried
//!   again only when a call is made. Retries are at most a fifth of the calls, and 10 a second, once 5 000
//!   that were saved up are spent ([`retry_budget`](config::ConfigBuilder::retry_budget)).
//!   - `tests/faults/outage.rs`: `a_dead_server_is_not_stormed`, `a_wrong_password_causes_no_storm`
//!   - `tests/faults/hanging_up.rs`: `a_peer_that_hangs_up_after_each_handshake_is_not_stormed`
//!   - `tests/faults/standing.rs`: `a_replica_without_a_master_is_not_stormed`,
//!     `a_client_that_is_never_known_causes_no_storm`
//!   - `tests/pools/outages.rs`: `a_peer_that_hangs_up_is_not_stormed`,
//!     `callers_with_short_deadlines_make_no_storm`
//!   - `tests/faults/repeating.rs`: `the_budget_bounds_all_retries_together`
//!   - `tests/pools/spikes.rs`: `a_server_that_returns_is_not_met_by_all_at_once`
//!   - `tests/security/refused.rs`: `fifty_workers_with_a_wrong_password_make_no_storm`
//!   - `tests/cluster/lost.rs`: `a_node_that_cannot_be_reached_is_not_stormed`
//!   - `tests/cluster/moving.rs`: `a_thousand_slots_move_under_two_hundred_callers`
//!   - `redwire-core/src/pool/tests/connecting.rs`:
//!     `during_an_outage_one_connects_a_pause_and_the_oldest_keeps_the_time`,
//!     `so_many_connect_at_a_time_and_no_more`
//!   - `redwire-core/src/budget.rs`: `an_outage_is_not_amplified`
//!
//! Where a connector makes the connections, every one goes through it, those to sentinels and nodes included:
//! `tests/connectors/proxied.rs`: `everything_goes_through_the_proxy`,
//! `servers_that_sentinels_tell_are_reached_through_it`, `nodes_of_a_cluster_are_reached_through_it`.
//!
//! # Features
//! | feature | default | adds |
//! |---|---|---|
//! | `tokio` | yes | the async client; without it no runtime is compiled |
//! | `tls` | yes | TLS (`rediss://`), by rustls |
//! | `ocsp` | no | making sure that the server's certificate was not revoked: by the OCSP response that it staples, or by asking the responder (`tls_ocsp`) |
//! | `encrypted-keys` | no | TLS client keys with a password (`tls_key_password`) |
//! | `tracing` | no | the events of connections as events of `tracing`, with the target `redwire` |
//! | `serde` | no | `Struct`, which reads structs of your own from field-value replies |
//! | `json` | no | `Json` and `serde_json::Value`: values that are JSON documents, as arguments and as replies |

pub mod blocking;
#[cfg(all(doc, feature = "tokio"))]
#[doc = include_str!("../docs/coming_from_python.md")]
pub mod coming_from_python {}
pub mod commands;
#[cfg(feature = "tokio")]
mod nonblocking;
pub mod prelude;
mod shared;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "tokio")]
pub use nonblocking::connector;
#[cfg(feature = "tokio")]
pub use nonblocking::{
    Cache, CacheRequest, Client, Cluster, Connection, Events, Exchange, Handler, Lease, Lock, LockGuard,
    Monitor, OnConnect, Pool, PubSub, Request, RunAll, Scan, Sentinel, Subscription, Transaction,
};
#[cfg(feature = "json")]
pub use redwire_core::Json;
#[cfg(feature = "serde")]
pub use redwire_core::Struct;
pub use redwire_core::call::{Call, Piped};
pub use redwire_core::callbacks::ResponseCallbacks;
pub use redwire_core::handshake::Session;
pub use redwire_core::{
    Arg, Args, Atomic, AuthenticationFault, Batch, ClusterFault, Cmd, CmdOptions, ConnectionFault, Detach,
    Error, ErrorKind, Invocation, Items, LockFault, Lossy, Outcome, Pipeline, Reader, Replies, Reply, Result,
    Run, Script, SentinelFault, Slot, Slots, TransactionOptions, TrySlot, Value, cmd,
};
pub use shared::credentials;
pub use shared::events::{Event, EventKind};
#[cfg(redwire_shuttle)]
#[doc(hidden)]
pub use shared::explored;
/// What a subscription hears, and its options.
pub mod pubsub {
    pub use redwire_core::pubsub::{ChannelKind, Message, Overflow, SubscribeOptions, SubscriptionEvent};
}
/// What a pool tells of itself.
pub mod pool {
    pub use redwire_core::pool::{Borrower, CloseReason, PoolStats, WaitTimes};
}
/// How a client-side cache works, and what it tells of itself.
pub mod cache {
    pub use redwire_core::cache::{CacheMode, CacheOptions, CacheStats};
}
/// Servers as sentinels describe them.
pub mod sentinel {
    pub use redwire_core::sentinel::Instance;
}
/// What MONITOR tells.
pub mod monitor {
    pub use redwire_core::monitor::{MonitorClient, MonitorEntry};
}
/// What is known of a cluster: the map, its nodes, and which of them are meant.
pub mod cluster {
    pub use redwire_core::cluster::{
        ClusterOptions, Map, Node, NodeChoice, NodeHealth, ReadStrategy, Remap, SLOTS, Shard, Source, slot,
        slot_of,
    };
}
pub use redwire_core::{backoff, config, facts, resolve, secret};
#[cfg(feature = "tls")]
pub use rustls;
pub use shared::scanning::ScanOptions;
pub use shared::window::Window;
