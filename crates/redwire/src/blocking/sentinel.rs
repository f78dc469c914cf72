//! Asking sentinels where the servers of a service are. Whom to ask when, and whom to believe, is decided in `redwire-core`.

use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use redwire_core::config::{Config, HostPort};
use redwire_core::sentinel::{Answer, question};
use redwire_core::{Error, Outcome, Result};

use super::connection::Connection;
use super::stream::left;
use crate::service::Service;

/// The server of `service` to connect to, found before `deadline`. Each question has a thread, which may outlive the call, but
/// not for longer than a sentinel may take.
pub(super) fn discover(service: &Service, config: &Config, deadline: Instant) -> Result<HostPort> {
    let mut discovery = service.discovery();
    let (sender, receiver) = mpsc::channel();
    loop {
        let now = Instant::now();
        while let Some(sentinel) = discovery.poll_ask(now) {
            let (config, name) = (config.for_sentinel(sentinel.clone()), service.name().to_owned());
            let (sender, asked) = (sender.clone(), sentinel.clone());
            // Whoever asked may be gone by then.
            let asking = move || drop(sender.send((asked, ask(config, &name))));
            if let Err(error) = thread::Builder::new().name("redwire-sentinel".to_owned()).spawn(asking) {
                let error = Error::from_io("starting a thread", Outcome::NotSent, error);
                discovery.handle_answer(&sentinel, Err(error), now);
            }
        }
        if let Some(found) = discovery.poll_found() {
            return service.handle_found(found?);
        }
        let until = discovery.poll_timeout().map_or(deadline, |next| next.min(deadline));
        match receiver.recv_timeout(until.saturating_duration_since(now)) {
            Ok((sentinel, answer)) => discovery.handle_answer(&sentinel, answer, Instant::now()),
            Err(_) => {
                left(Some(deadline), Instant::now())
                    .map_err(|error| Error::from_io("asking the sentinels", Outcome::NotSent, error))?;
            }
        }
    }
}

fn ask(config: Config, service: &str) -> Result<Answer> {
    let mut sentinel = Connection::new(config)?;
    sentinel.pipeline(|p| question(p, service)).map(Answer::from)
}
