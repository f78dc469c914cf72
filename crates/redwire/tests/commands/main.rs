//! The typed commands against a real server: one file per family, each test on four clients.

mod absent;
mod cluster;
mod connection;
mod diagnostics;
mod documented;
mod geo;
mod harness;
mod hashes;
mod hyperloglog;
mod keys;
mod lists;
mod publish;
mod replies;
mod scripting;
mod server;
mod sets;
mod sorted_sets;
mod streams;
mod strings;
