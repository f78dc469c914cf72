//! Credentials of connections: asking for them, and a provider whose credentials the program changes itself.
//! It must not know how they are presented.

use std::fmt;
use std::sync::{Arc, Weak};

use redwire_core::Result;
use redwire_core::config::Config;
pub use redwire_core::credentials::{CredentialFuture, CredentialProvider, Credentials, Provider};

#[cfg(feature = "tokio")]
use crate::shared::lookups::{PROVIDER, catch, catch_future};
use crate::shared::sync::atomic::{AtomicU64, Ordering};
use crate::shared::sync::{Mutex, MutexGuard};

/// What a connection authenticates with, and which version of it that is.
#[derive(Clone, Debug)]
pub(crate) struct VersionedCredentials {
    pub(crate) credentials: Option<Credentials>,
    pub(crate) version: u64,
}

impl VersionedCredentials {
    /// Asks the provider, which may block.
    pub(crate) fn ask(provider: &Provider) -> Result<Self> {
        // Looked at first: credentials that change while they are asked for are asked for once more.
        let version = provider.version();
        Ok(Self { credentials: Some(provider.credentials()?), version })
    }

    /// Asks a provider that must not block; without one, the configuration knows. Its panic is an error.
    #[cfg(feature = "tokio")]
    pub(crate) async fn fetch(config: &Config) -> Result<Self> {
        let Some(provider) = config.credential_provider() else { return Ok(Self::fixed(config)) };
        let (version, asked) = catch(PROVIDER, || (provider.version(), provider.credentials_future()))?;
        Ok(Self { credentials: Some(catch_future(PROVIDER, asked).await?), version })
    }

    /// What is configured, where there is no provider.
    pub(crate) fn fixed(config: &Config) -> Self {
        Self { credentials: config.static_credentials(), version: 0 }
    }
}

/// The newest version of the credentials; 0 without a provider.
#[inline]
pub(crate) fn version(config: &Config) -> u64 {
    config.credential_provider().map_or(0, |provider| provider.version())
}

/// What hears of new credentials, for as long as it is kept.
#[cfg(feature = "tokio")]
pub(crate) type Listener = Arc<dyn Fn() + Send + Sync>;

/// Has `changed` called for each change of the credentials. `None` where they are part of the configuration.
#[cfg(feature = "tokio")]
pub(crate) fn listen<T: Send + Sync + 'static>(
    config: &Config,
    who: &Arc<T>,
    changed: fn(&Arc<T>),
) -> Option<Listener> {
    let provider = config.credential_provider()?;
    let who = Arc::downgrade(who);
    let listener: Listener = Arc::new(move || who.upgrade().iter().for_each(changed));
    provider.on_change(Arc::downgrade(&listener));
    Some(listener)
}

/// Credentials that the program replaces while connections live: each then authenticates anew between two
/// replies, and no call fails. Clones share the same credentials.
///
/// ```
/// use redwire::config::Config;
/// use redwire::credentials::{Credentials, RotatingCredentials};
///
/// let token = RotatingCredentials::new(Credentials::new("service", "token 1"));
/// let config = Config::builder().host("db.example").credential_provider(token.clone()).build()?;
/// // Later, in whatever task or thread renews the token:
/// token.rotate(Credentials::new("service", "token 2"));
/// # Ok::<(), redwire::Error>(())
/// ```
#[derive(Clone)]
pub struct RotatingCredentials(Arc<Rotating>);

struct Rotating {
    version: AtomicU64,
    state: Mutex<RotationState>,
}

struct RotationState {
    credentials: Credentials,
    listeners: Vec<Weak<dyn Fn() + Send + Sync>>,
}

impl RotatingCredentials {
    /// Begins with `credentials`.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        let state = RotationState { credentials, listeners: Vec::new() };
        Self(Arc::new(Rotating { version: AtomicU64::new(1), state: Mutex::new(state) }))
    }

    /// Replaces the credentials, for connections that live and those to come. The server should know the new
    /// ones by now, and go on knowing the old ones for a moment.
    pub fn rotate(&self, credentials: Credentials) {
        let mut state = self.lock();
        state.credentials = credentials;
        self.0.version.fetch_add(1, Ordering::Release);
        state.listeners.retain(|listener| listener.strong_count() > 0);
        let listeners: Vec<_> = state.listeners.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        listeners.iter().for_each(|listener| listener());
    }

    fn lock(&self) -> MutexGuard<'_, RotationState> {
        self.0.state.lock()
    }
}

impl CredentialProvider for RotatingCredentials {
    fn credentials(&self) -> Result<Credentials> {
        Ok(self.lock().credentials.clone())
    }

    fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    fn on_change(&self, notify: Weak<dyn Fn() + Send + Sync>) {
        let listeners = &mut self.lock().listeners;
        // Of clients that are gone, each time as many again as there were: so many clients may come and go.
        if listeners.len() == listeners.capacity() {
            listeners.retain(|listener| listener.strong_count() > 0);
        }
        listeners.push(notify);
    }
}

impl fmt::Debug for RotatingCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotatingCredentials").field("version", &self.version()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn clients_that_are_gone_are_forgotten() {
        let rotating = RotatingCredentials::new(Credentials::new("ann", "one"));
        let lasting: Arc<dyn Fn() + Send + Sync> = Arc::new(|| ());
        rotating.on_change(Arc::downgrade(&lasting));
        for _ in 0..100_000 {
            let passing: Arc<dyn Fn() + Send + Sync> = Arc::new(|| ());
            rotating.on_change(Arc::downgrade(&passing));
        }
        let state = rotating.lock();
        assert!(state.listeners.capacity() < 100, "{}", state.listeners.capacity());
        assert!(state.listeners.iter().any(|listener| listener.strong_count() > 0));
    }

    #[test]
    fn a_rotation_is_told_and_changes_what_is_given() {
        let rotating = RotatingCredentials::new(Credentials::new("ann", "one"));
        let config = Config::builder().credential_provider(rotating.clone()).build().unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        let listener: Arc<dyn Fn() + Send + Sync> = {
            let told = Arc::clone(&told);
            Arc::new(move || {
                told.fetch_add(1, Ordering::Relaxed);
            })
        };
        rotating.on_change(Arc::downgrade(&listener));
        let provider = config.credential_provider().unwrap();
        let before = VersionedCredentials::ask(provider).unwrap();
        rotating.rotate(Credentials::new("ann", "two"));
        let after = VersionedCredentials::ask(provider).unwrap();
        assert_eq!(after.credentials, Some(Credentials::new("ann", "two")));
        assert!(after.version != before.version && after.version == version(&config));
        drop(listener);
        rotating.rotate(Credentials::new("ann", "three"));
        assert_eq!(told.load(Ordering::Relaxed), 1, "a listener that is gone is not told");
        assert!(!format!("{rotating:?} {after:?}").contains("two"));
    }
}
