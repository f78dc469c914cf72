//! Connections that a connector of the user's makes: through a proxy, to a peer in memory, or not at all.
//! Whatever it is, the promises hold (I1 to I4, I6).

#![cfg(all(feature = "tokio", feature = "tls"))]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

#[allow(dead_code, reason = "an example, which is run from here, too")]
#[path = "../../examples/in_memory.rs"]
mod in_memory;
#[allow(dead_code, reason = "an example, which is run from here, too")]
#[path = "../../examples/socks5.rs"]
mod socks5;

#[cfg(feature = "ocsp")]
#[allow(dead_code, reason = "what a responder can do is tested elsewhere")]
#[path = "../security/responder.rs"]
mod responder;

mod bad;
mod memory;
mod peer;
mod proxied;
mod simulated;
