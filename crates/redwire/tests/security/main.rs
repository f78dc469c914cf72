//! Who may listen and who may come in: TLS and credentials, on both drivers, against real servers. FAULTS 24,
//! 25, 26, 27.

#![cfg(all(feature = "tokio", feature = "tls"))]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod credentials;
mod identity;
#[cfg(feature = "ocsp")]
mod ocsp;
#[cfg(feature = "ocsp")]
mod ocsp_asked;
mod quoting;
mod refused;
mod renewal;
#[cfg(feature = "ocsp")]
mod responder;
mod rotation;
mod site;
mod stalled;
mod traffic;
mod trust;
