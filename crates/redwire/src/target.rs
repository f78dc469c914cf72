//! One server, and what all connections of a client to it have in common: how it is reached, what it was found to speak, who
//! listens to their lives, and how many retries are left. It must not know how either driver waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use redwire_core::budget::RetryBudget;
use redwire_core::config::{Config, Endpoint, Protocol};
use redwire_core::handshake::Session;
use redwire_core::{Error, Result};

use crate::events::{EventKind, Hub};
use crate::setup;
#[cfg(feature = "tls")]
use crate::tls;

/// One server as its connections see it.
#[derive(Debug)]
pub(crate) struct Target {
    config: Config,
    endpoint: Endpoint,
    address: Arc<str>,
    #[cfg(feature = "tls")]
    tls: Option<tls::Connector>,
    /// Whether the server was found to speak nothing but RESP2, so that it is not asked again each time.
    is_plain: AtomicBool,
    events: Hub,
    budget: Mutex<RetryBudget>,
}

impl Target {
    pub(crate) fn new(config: Config) -> Result<Arc<Self>> {
        let endpoint = setup::endpoint(&config)?.clone();
        Ok(Arc::new(Self {
            #[cfg(feature = "tls")]
            tls: match &endpoint {
                Endpoint::Tcp(address) if config.tls() => {
                    Some(tls::Connector::new(config.tls_options(), &address.host)?)
                }
                _ => None,
            },
            address: setup::address(&endpoint),
            endpoint,
            is_plain: AtomicBool::new(config.protocol() == Protocol::Resp2),
            events: Hub::default(),
            budget: Mutex::new(RetryBudget::new(config.retry_budget())),
            config,
        }))
    }

    #[inline]
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn events(&self) -> &Hub {
        &self.events
    }

    /// The protocol to begin with.
    pub(crate) fn protocol(&self) -> Protocol {
        if self.is_plain.load(Ordering::Relaxed) { Protocol::Resp2 } else { Protocol::Resp3 }
    }

    /// What TLS says on a new connection; `None` where there is no TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn tls_session(&self) -> Result<Option<tls::Session>> {
        self.tls.as_ref().map(tls::Connector::session).transpose()
    }

    /// Tells listeners what happened to a connection.
    pub(crate) fn tell(&self, kind: EventKind) {
        self.events.tell(kind, &self.address);
    }

    /// An attempt to connect ended.
    pub(crate) fn handle_connected(&self, result: Result<&Session, &Error>) {
        match result {
            Ok(session) => {
                self.is_plain.store(session.protocol == Protocol::Resp2, Ordering::Relaxed);
                self.tell(EventKind::Ready(session.clone()));
            }
            Err(error) => self.tell(EventKind::Failed(error.clone())),
        }
    }

    /// Whether a retry is within the budget; `calls` were made in all so far.
    pub(crate) fn may_retry(&self, calls: u64) -> bool {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).poll_retry(calls, Instant::now())
    }

    /// Says that `error` happened here.
    pub(crate) fn locate(&self, error: Error) -> Error {
        error.with_address(&self.address)
    }
}
