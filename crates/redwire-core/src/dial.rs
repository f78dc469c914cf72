//! Which of a host's addresses is tried when, and what the error says when none works.
//!
//! "Happy Eyeballs": the addresses of both families in turn ([RFC 8305], section 4), each a short while after
//! the one before, all under way until one is connected (section 5), by the recommended delay (section 8). So
//! an address that does not answer costs that delay, not a connect timeout. This file must not know sockets,
//! names or clocks: time comes in as an argument.
//!
//! [RFC 8305]: https://www.rfc-editor.org/rfc/rfc8305

use std::collections::VecDeque;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::error::{ConnectionFault, Error, ErrorKind, Outcome};

/// The attempts to connect to one host. When one works, drop this, and the other attempts with it.
///
/// ```
/// use std::time::Instant;
///
/// use redwire_core::dial::Dial;
///
/// let now = Instant::now();
/// let mut dial = Dial::new(vec!["[::1]:6379".parse().unwrap(), "127.0.0.1:6379".parse().unwrap()]);
/// assert_eq!(dial.poll_start(now), Some("[::1]:6379".parse().unwrap()));
/// assert_eq!(dial.poll_start(now), None);
/// let later = dial.poll_timeout().unwrap();
/// assert_eq!(later, now + Dial::DELAY);
/// assert_eq!(dial.poll_start(later), Some("127.0.0.1:6379".parse().unwrap()));
/// ```
#[derive(Debug)]
pub struct Dial {
    waiting: VecDeque<SocketAddr>,
    under_way: Vec<SocketAddr>,
    failures: Vec<(SocketAddr, Error)>,
    /// When the next may start; at once if there is no such time.
    next: Option<Instant>,
}

impl Dial {
    /// How long an attempt is alone before the next one starts beside it.
    pub const DELAY: Duration = Duration::from_millis(250);

    /// Attempts at `addresses`, in their order, but the families in turn; the first address comes first. An
    /// address that is named twice is tried once.
    #[must_use]
    pub fn new(addresses: Vec<SocketAddr>) -> Self {
        let failures = Vec::with_capacity(addresses.len());
        Self { waiting: interleave(addresses), under_way: Vec::new(), failures, next: None }
    }

    /// The next address to try, if it is time to: the first at once, another [`DELAY`](Self::DELAY) after the
    /// one before, or at once when all that were under way have failed.
    pub fn poll_start(&mut self, now: Instant) -> Option<SocketAddr> {
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        let address = self.waiting.pop_front()?;
        self.under_way.push(address);
        self.next = Some(now + Self::DELAY);
        Some(address)
    }

    /// When [`poll_start`](Self::poll_start) has another address, once it has none now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next.filter(|_| !self.waiting.is_empty())
    }

    /// The attempt at `address` failed.
    pub fn handle_failure(&mut self, address: SocketAddr, error: Error, now: Instant) {
        let Some(place) = self.under_way.iter().position(|other| *other == address) else { return };
        self.under_way.remove(place);
        self.failures.push((address, error));
        if self.under_way.is_empty() {
            self.next = Some(now);
        }
    }

    /// Why there is no connection, once every address has failed.
    ///
    /// The error of a single address is given as it is. Of several, one error names each address with its
    /// failure; its kind, outcome and source are those of the most telling: what a host answered comes before
    /// silence, and that before what this system refused by itself, such as a family it has no route for.
    /// Among equals it is the first to fail. Without any address the kind is [`ConnectionFault::Dns`].
    #[must_use]
    pub fn poll_failed(&self) -> Option<Error> {
        if !self.waiting.is_empty() || !self.under_way.is_empty() {
            return None;
        }
        let Some((_, telling)) = self.failures.iter().min_by_key(|(_, error)| rank(error)) else {
            let kind = ErrorKind::Connection(ConnectionFault::Dns);
            return Some(Error::new(kind, Outcome::NotSent, "the host name has no address"));
        };
        if self.failures.len() == 1 {
            return Some(telling.clone());
        }
        let mut message = format!("none of {} addresses can be reached", self.failures.len());
        for (n, (address, error)) in self.failures.iter().enumerate() {
            let between = if n == 0 { ": " } else { "; " };
            // Writing to a string cannot fail.
            let _ = write!(message, "{between}{address} ({})", error.message());
        }
        Some(Error::new(telling.kind(), telling.outcome(), message).with_source(telling.clone()))
    }
}

/// The most telling failures first.
fn rank(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Connection(ConnectionFault::Io | ConnectionFault::Dns) => 2,
        ErrorKind::Connection(ConnectionFault::Timeout) | ErrorKind::Timeout => 1,
        _ => 0,
    }
}

/// Each address once, the families in turn as long as there are both.
fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_ipv4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for address in addresses {
        let family = if address.is_ipv4() == first_is_ipv4 { &mut own } else { &mut other };
        if !family.contains(&address) {
            family.push(address);
        }
    }
    let mut ordered = VecDeque::with_capacity(own.len() + other.len());
    let (mut own, mut other) = (own.into_iter(), other.into_iter());
    loop {
        let pair = (own.next(), other.next());
        if pair == (None, None) {
            return ordered;
        }
        ordered.extend(pair.0.into_iter().chain(pair.1));
    }
}

#[cfg(test)]
mod tests;
