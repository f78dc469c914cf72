//! The typed commands against a real server: one file per family, each test on four clients.

mod harness;
mod strings;
