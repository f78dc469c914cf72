//! Questions that block and cannot be cut short: the addresses of a host name, the credentials of a provider.
//!
//! Each has a thread of its own, so that neither a caller's deadline nor the end of a runtime waits for it.
//! Callers of a client that want to know the same share one thread and its answer; without that, a name
//! server that hangs would cost a thread for each call. Nothing is kept: a caller that asks after the answer
//! asks anew. A panic in a user's code is an answer, too. This file must not know how either driver waits for
//! a connection.

#[cfg(feature = "tokio")]
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::Poll;
use std::time::{Duration, Instant};

use redwire_core::config::{Config, HostPort};
use redwire_core::credentials::Provider;
use redwire_core::{ConnectionFault, Error, ErrorKind, Outcome, Result};
#[cfg(feature = "tokio")]
use tokio::sync::Notify;

use crate::shared::credentials::VersionedCredentials;
use crate::shared::owner::PerProcess;
use crate::shared::setup;
use crate::shared::sync::{Condvar, Mutex};
use crate::shared::threads;

/// The questions of one client.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    addresses: SharedLookups<HostPort, Vec<SocketAddr>>,
    passes: SharedLookups<Provider, VersionedCredentials>,
}

impl Lookups {
    /// The addresses of the host, looked up anew.
    pub(crate) fn addresses(&self, of: &HostPort, config: &Config) -> Arc<SharedLookup<Vec<SocketAddr>>> {
        let (HostPort { host, port }, resolver) = (of.clone(), config.resolver().cloned());
        self.addresses.ask(of, config.connect_timeout(), move || {
            let found = match resolver {
                Some(resolver) => {
                    catch("the resolver", || resolver.resolve(&host, port)).map_err(io::Error::other)
                }
                None => Ok((host.as_str(), port).to_socket_addrs().map(Iterator::collect)),
            };
            found.and_then(|found| found).map_err(|error| setup::unresolved(&host, error))
        })
    }

    /// The credentials that the provider gives now.
    pub(crate) fn pass(
        &self,
        provider: &Provider,
        config: &Config,
    ) -> Arc<SharedLookup<VersionedCredentials>> {
        let own = provider.clone();
        self.passes.ask(provider, config.connect_timeout(), move || {
            catch(PROVIDER, || VersionedCredentials::ask(&own)).and_then(|pass| pass)
        })
    }
}

/// An address stands for itself: nothing is looked up.
pub(crate) fn literal(address: &HostPort) -> Option<SocketAddr> {
    let ip: IpAddr = address.host.parse().ok()?;
    Some((ip, address.port).into())
}

/// Whose code it is, in messages.
pub(crate) const PROVIDER: &str = "the credential provider";
/// Whose code it is, in messages.
pub(crate) const CALLBACK: &str = "the callback";

/// Runs code of the user's; its panic is an error that says whose it was.
pub(crate) fn catch<T>(whose: &str, code: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|_| panicked(whose))
}

/// As [`catch`], of a future.
#[cfg(feature = "tokio")]
pub(crate) async fn catch_future<T>(whose: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| match catch(whose, || future.as_mut().poll(cx)) {
        Ok(polled) => polled,
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

/// `whose` code panicked. What it said may be a secret, and was printed by the panic itself.
#[cold]
fn panicked(whose: &str) -> Error {
    let message = format!("{whose} panicked");
    Error::new(ErrorKind::Connection(ConnectionFault::Io), Outcome::NotSent, message)
}

/// So many questions for the same thing are under way at most: one, and where that has taken longer than a
/// connect may, another, which finds out whether what the first one waits for is well again.
const UNDER_WAY: usize = 2;

/// Questions under way, each with the callers that wait for its answer.
#[derive(Debug)]
struct SharedLookups<K, T> {
    /// Their threads are those of one process.
    under_way: PerProcess<Arc<Mutex<UnderWay<K, T>>>>,
}

/// The oldest first.
type UnderWay<K, T> = Vec<(K, Arc<SharedLookup<T>>)>;

impl<K, T> Default for SharedLookups<K, T> {
    fn default() -> Self {
        Self { under_way: PerProcess::new(Arc::default()) }
    }
}

impl<K, T> SharedLookups<K, T>
where
    K: Clone + PartialEq + Send + 'static,
    T: Clone + Send + 'static,
{
    /// Joins the newest question for `key`, unless that has taken longer than `patience`; else asks by
    /// `work`.
    fn ask(
        &self,
        key: &K,
        patience: Duration,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Arc<SharedLookup<T>> {
        let now = threads::now();
        let flight = Arc::new(SharedLookup::new(now));
        let shared = self.under_way.current(|_| Arc::default());
        let mut under_way = shared.lock();
        let mut same = under_way.iter().rev().filter(|(other, _)| other == key).map(|(_, flight)| flight);
        if let Some(newest) = same.next()
            && (now.saturating_duration_since(newest.begun) < patience || same.count() + 1 >= UNDER_WAY)
        {
            return Arc::clone(newest);
        }
        under_way.push((key.clone(), Arc::clone(&flight)));
        drop(under_way);
        let (shared, own) = (Arc::clone(shared), Arc::clone(&flight));
        let land = move |answer| {
            // Before the answer is told: a caller that asks after that asks anew.
            shared.lock().retain(|(_, flight)| !Arc::ptr_eq(flight, &own));
            own.land(answer);
        };
        let landing = land.clone();
        let question = move || landing(work());
        if let Err(error) = threads::spawn("redwire-lookup", question) {
            land(Err(error));
        }
        flight
    }
}

/// One question, and its answer once that is there.
#[derive(Debug)]
pub(crate) struct SharedLookup<T> {
    begun: Instant,
    answer: Mutex<Option<Result<T>>>,
    landed: Condvar,
    #[cfg(feature = "tokio")]
    told: Notify,
}

impl<T: Clone> SharedLookup<T> {
    pub(crate) fn new(begun: Instant) -> Self {
        Self {
            begun,
            answer: Mutex::new(None),
            landed: Condvar::new(),
            #[cfg(feature = "tokio")]
            told: Notify::new(),
        }
    }

    pub(crate) fn land(&self, answer: Result<T>) {
        *self.answer.lock() = Some(answer);
        self.landed.notify_all();
        #[cfg(feature = "tokio")]
        self.told.notify_waiters();
    }

    /// Waits for the answer until `deadline`; `None`: it has not come.
    pub(crate) fn wait(&self, deadline: Instant) -> Option<Result<T>> {
        let limit = deadline.saturating_duration_since(threads::now());
        let answer = self.landed.wait_timeout_while(self.answer.lock(), limit, |answer| answer.is_none());
        answer.clone()
    }

    /// The answer, once it is there. Dropping this leaves nothing behind.
    #[cfg(feature = "tokio")]
    pub(crate) async fn answered(&self) -> Result<T> {
        loop {
            let mut told = std::pin::pin!(self.told.notified());
            told.as_mut().enable();
            let answer = self.answer.lock().clone();
            match answer {
                Some(answer) => return answer,
                None => told.await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    const LIMIT: Duration = Duration::from_secs(10);

    fn soon() -> Instant {
        Instant::now() + LIMIT
    }

    #[test]
    fn callers_share_a_question_and_its_answer_and_later_ones_ask_anew() {
        let flights = SharedLookups::<&str, u32>::default();
        let (answer, hold) = mpsc::channel();
        let first = flights.ask(&"a", PATIENCE, move || Ok(hold.recv().unwrap()));
        let joined = flights.ask(&"a", PATIENCE, || panic!("it is asked already"));
        assert!(Arc::ptr_eq(&first, &joined));
        let other = flights.ask(&"b", PATIENCE, || Ok(2));
        assert_eq!(other.wait(soon()).unwrap().unwrap(), 2);
        assert!(first.wait(Instant::now()).is_none());
        answer.send(1).unwrap();
        assert_eq!((first.wait(soon()).unwrap().unwrap(), joined.wait(soon()).unwrap().unwrap()), (1, 1));
        assert_eq!(flights.ask(&"a", PATIENCE, || Ok(3)).wait(soon()).unwrap().unwrap(), 3);
        assert!(flights.under_way.first().lock().is_empty());
    }

    #[test]
    fn one_that_hangs_is_asked_once_more_and_no_more() {
        let flights = SharedLookups::<(), u32>::default();
        let (end, hold) = mpsc::channel::<()>();
        let hold = Arc::new(Mutex::new(hold));
        let hang = || {
            let hold = Arc::clone(&hold);
            move || {
                let _ = hold.lock().recv();
                Ok(1)
            }
        };
        let first = flights.ask(&(), Duration::ZERO, hang());
        let second = flights.ask(&(), Duration::ZERO, hang());
        assert!(!Arc::ptr_eq(&first, &second));
        for _ in 0..100 {
            assert!(Arc::ptr_eq(&second, &flights.ask(&(), Duration::ZERO, || panic!("enough are asked"))));
        }
        drop(end);
        assert!(first.wait(soon()).is_some() && second.wait(soon()).is_some());
    }

    #[test]
    fn a_panic_is_an_answer() {
        let error = catch("the resolver", || -> u32 { panic!("s3cret") }).unwrap_err();
        assert_eq!(error.to_string(), "the resolver panicked (not sent)");
        assert!(error.is_retryable());
    }
}
