//! How users put their own name look-up in place of the system's.
//!
//! This file must not look names up itself: the default is the driver's. A name is looked up at every
//! connect, so an address that changed is found again without a restart.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// Turns the name of a host into addresses, in place of the system's look-up.
///
/// It is asked anew at every connect, and nothing is cached here; connections of a client that are made at
/// the same time share one look-up of a name, and its answer. An address in place of a name is not looked up.
/// It may block: both drivers call it on a thread of its own. The connect deadline covers it; one that takes
/// longer goes on by itself, and after the connect timeout one more is begun, but no third. A panic is an
/// attempt that failed. The addresses are tried in the order given, the families in turn; an empty answer
/// fails like a name that does not exist.
///
/// # Errors
/// Whatever it fails with becomes the source of a connection error of the kind
/// [`ConnectionFault::Dns`](crate::ConnectionFault::Dns).
///
/// # Examples
/// ```
/// # use redwire_core as redwire;
/// use std::io;
/// use std::net::{Ipv4Addr, SocketAddr};
///
/// use redwire::resolve::{Resolve, Resolver};
///
/// struct Fixed;
///
/// impl Resolve for Fixed {
///     fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
///         match host {
///             "cache.internal" => Ok(vec![SocketAddr::from((Ipv4Addr::new(10, 0, 0, 7), port))]),
///             _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such host")),
///         }
///     }
/// }
///
/// let resolver = Resolver::new(Fixed);
/// assert_eq!(resolver.resolve("cache.internal", 6379).unwrap().len(), 1);
/// ```
pub trait Resolve: Send + Sync {
    /// The addresses of `host`, each with `port`.
    ///
    /// # Errors
    /// If the name cannot be looked up.
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// A shared [`Resolve`], as a configuration holds it. Clones share it; two are equal if they share the same
/// one.
#[derive(Clone)]
pub struct Resolver(Arc<dyn Resolve>);

impl Resolver {
    /// Takes `resolve` to be shared by all connections.
    #[must_use]
    pub fn new(resolve: impl Resolve + 'static) -> Self {
        Self(Arc::new(resolve))
    }

    /// The addresses of `host`, each with `port`. May block.
    ///
    /// # Errors
    /// If the name cannot be looked up.
    pub fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.0.resolve(host, port)
    }
}

impl From<Arc<dyn Resolve>> for Resolver {
    fn from(resolve: Arc<dyn Resolve>) -> Self {
        Self(resolve)
    }
}

impl PartialEq for Resolver {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Resolver {}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nowhere;

    impl Resolve for Nowhere {
        fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn clones_are_equal_and_others_are_not() {
        let resolver = Resolver::new(Nowhere);
        assert_eq!(resolver, resolver.clone());
        // Both are of no size: an allocation, not the value in it, is what tells them apart.
        assert_ne!(resolver, Resolver::new(Nowhere));
        let shared: Arc<dyn Resolve> = Arc::new(Nowhere);
        assert_eq!(Resolver::from(Arc::clone(&shared)), Resolver::from(shared));
    }

    #[test]
    fn it_is_asked_each_time() {
        struct Moving(std::sync::atomic::AtomicU8);
        impl Resolve for Moving {
            fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
                let last = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok(vec![SocketAddr::from(([10, 0, 0, last], port))])
            }
        }
        let resolver = Resolver::new(Moving(std::sync::atomic::AtomicU8::new(0)));
        assert_ne!(resolver.resolve("h", 1).unwrap(), resolver.resolve("h", 1).unwrap());
    }
}
