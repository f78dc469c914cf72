//! Subscriptions without sockets and clocks.
