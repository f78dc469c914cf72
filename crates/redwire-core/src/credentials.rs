//! Who a connection says it is: a name and a password, or a provider that is asked for them.
//!
//! Promises that a password is never printed. Must not know how a provider comes by its credentials, nor
//! when it is asked: the drivers ask at every connect.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use crate::cmd::Cmd;
use crate::error::Result;
use crate::reply::Value;
use crate::secret::Secret;

/// A user's name and password. Prints (`Debug`) without the password.
///
/// ```
/// # use redwire_core::credentials::Credentials;
/// let credentials = Credentials::new("ann", "hunter2");
/// assert_eq!(credentials.username(), Some("ann"));
/// assert_eq!(credentials.password().reveal(), "hunter2");
/// assert!(!format!("{credentials:?}").contains("hunter2"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    username: Option<String>,
    password: Secret,
}

impl Credentials {
    /// Those of the ACL user `username`; an empty name is the server's default user.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl Into<Secret>) -> Self {
        let username = Some(username.into()).filter(|name| !name.is_empty());
        Self { username, password: password.into() }
    }

    /// Those of the server's default user.
    #[must_use]
    pub fn default_user(password: impl Into<Secret>) -> Self {
        Self { username: None, password: password.into() }
    }

    /// The ACL user; `None`: the server's default user.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The password, or the token that stands for one.
    #[must_use]
    pub fn password(&self) -> &Secret {
        &self.password
    }

    /// The command that presents them on a live connection.
    pub fn auth(&self) -> Cmd<Value> {
        Cmd::new("AUTH").arg(self.username()).arg(self.password.reveal())
    }
}

/// What [`CredentialProvider::credentials_future`] gives.
pub type CredentialFuture<'a> = Pin<Box<dyn Future<Output = Result<Credentials>> + Send + 'a>>;

/// Gives the credentials of each connection, in place of a username and password in the configuration: from
/// a file, a vault, or a service that hands out tokens.
///
/// Only [`credentials`](Self::credentials) has to be written. One that blocks (the blocking driver allows
/// that) should write [`credentials_future`](Self::credentials_future) too, if the async client is to use
/// it.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire_core::credentials::{CredentialProvider, Credentials};
/// use redwire::{Error, Result, config::Config};
///
/// struct PasswordFile(std::path::PathBuf);
///
/// impl CredentialProvider for PasswordFile {
///     fn credentials(&self) -> Result<Credentials> {
///         let password = std::fs::read_to_string(&self.0)
///             .map_err(|error| Error::usage("the password file cannot be read").with_source(error))?;
///         Ok(Credentials::new("ann", password.trim_end()))
///     }
/// }
///
/// let config = Config::builder().credential_provider(PasswordFile("/run/secrets/redis".into())).build()?;
/// # Ok::<(), redwire_core::config::ConfigError>(())
/// ```
pub trait CredentialProvider: Send + Sync {
    /// Asked by the blocking driver at every connect, and after each change of [`version`](Self::version).
    /// May block: it is asked on a thread of its own, and connections of a client that are made at the same
    /// time share one question and its answer. One that takes longer than the connect's deadline goes on by
    /// itself; after the connect timeout it is asked once more, but not a third time. A panic is a connect
    /// that failed.
    ///
    /// # Errors
    /// Whatever keeps the provider from answering: the connect fails with it. A connection that lives goes on
    /// as the former user, and an event tells the error.
    fn credentials(&self) -> Result<Credentials>;

    /// Asked by the async driver on the same occasions; the connect's deadline drops the future. Unless
    /// written, the answer of [`credentials`](Self::credentials), which then must not block. Resolves to an
    /// error as `credentials` does.
    fn credentials_future(&self) -> CredentialFuture<'_> {
        Box::pin(std::future::ready(self.credentials()))
    }

    /// Changes whenever there are new credentials: live connections then authenticate anew, between
    /// replies. Looked at before each command of a connection that has one user at a time, so it must be
    /// quick. Unless written, 0: never.
    fn version(&self) -> u64 {
        0
    }

    /// Takes what is to be called after each change of [`version`](Self::version). It belongs to one client,
    /// and is gone when that is closed: forget those that no longer upgrade. Unless it is written, nothing is
    /// called, and the shared connection of an async client learns of a change at its next connect only. All
    /// others see it by themselves.
    fn on_change(&self, notify: Weak<dyn Fn() + Send + Sync>) {
        drop(notify);
    }
}

/// A shared [`CredentialProvider`], as a configuration holds it. Clones share it; two are equal if they
/// share the same one.
#[derive(Clone)]
pub struct Provider(Arc<dyn CredentialProvider>);

impl Provider {
    /// Takes `provider` to be shared by all connections.
    #[must_use]
    pub fn new(provider: impl CredentialProvider + 'static) -> Self {
        Self(Arc::new(provider))
    }
}

impl std::ops::Deref for Provider {
    type Target = dyn CredentialProvider;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl<P: CredentialProvider + 'static> From<P> for Provider {
    fn from(provider: P) -> Self {
        Self::new(provider)
    }
}

impl From<Arc<dyn CredentialProvider>> for Provider {
    fn from(provider: Arc<dyn CredentialProvider>) -> Self {
        Self(provider)
    }
}

impl<P: CredentialProvider + 'static> From<Arc<P>> for Provider {
    fn from(provider: Arc<P>) -> Self {
        Self(provider)
    }
}

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Provider {}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    struct Fixed;

    impl CredentialProvider for Fixed {
        fn credentials(&self) -> Result<Credentials> {
            Ok(Credentials::new("ann", "hunter2"))
        }
    }

    #[test]
    fn what_is_not_written_follows_from_what_is() {
        let provider = Provider::from(Fixed);
        let mut future = provider.credentials_future();
        let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("nothing to wait for");
        };
        assert_eq!(answer.unwrap(), provider.credentials().unwrap());
        assert_eq!(provider.version(), 0);
        let notify: Arc<dyn Fn() + Send + Sync> = Arc::new(|| panic!("nothing changes"));
        provider.on_change(Arc::downgrade(&notify));
        assert_eq!(Arc::weak_count(&notify), 0);
    }

    #[test]
    fn clones_are_equal_and_others_are_not() {
        let provider = Provider::new(Fixed);
        assert_eq!(provider, provider.clone());
        assert_ne!(provider, Provider::new(Fixed));
        let shared = Arc::new(Fixed);
        assert_eq!(
            Provider::from(Arc::clone(&shared)),
            Provider::from(shared as Arc<dyn CredentialProvider>)
        );
    }

    #[test]
    fn nothing_prints_the_password() {
        let credentials = Credentials::new("ann", "hunter2");
        let printed = format!("{credentials:?} {:?} {:?}", credentials.auth(), Provider::new(Fixed));
        assert!(printed.contains("ann") && !printed.contains("hunter2"), "{printed}");
        assert_eq!(Credentials::new("", "x"), Credentials::default_user("x"));
    }
}
