//! Listening to sentinels: a client hears of another master as soon as one of them does, and not only when it finds the old one
//! gone. It must not know what that means for connections.

use std::fmt;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use redwire_core::ErrorKind;
use redwire_core::config::HostPort;
use redwire_core::pubsub::Item;
use redwire_core::sentinel::News;

use super::ask_in_turn;
use crate::blocking::pubsub::{PubSub, Subscription};
use crate::service::{SENT_AWAY, Service};
use crate::target::Target;

/// The threads that listen, one for each sentinel, for as long as this is kept.
pub(in crate::blocking) struct Watch {
    process: u32,
    ears: Vec<PubSub>,
}

/// A sentinel that refuses is asked again no more often than that.
const PAUSE: Duration = Duration::from_secs(5);

impl Watch {
    /// Listens to all sentinels that the configuration of `target` names; `None` where there are none.
    pub(in crate::blocking) fn start(target: &Arc<Target>) -> Option<Self> {
        let sentinels = target.service()?.sentinels();
        let ears = sentinels.into_iter().filter_map(|sentinel| listen_to(target, sentinel)).collect();
        Some(Self { process: std::process::id(), ears })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A child process has not inherited the threads.
        if self.process == std::process::id() {
            self.ears.iter().for_each(PubSub::close);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

fn listen_to(target: &Arc<Target>, sentinel: HostPort) -> Option<PubSub> {
    let pubsub = PubSub::lazy(target.config().for_sentinel(sentinel)).ok()?;
    let (target, ear) = (Arc::downgrade(target), pubsub.clone());
    let work = move || while listen(&target, &ear).is_some() {};
    // Without it another master is found all the same, and later.
    thread::Builder::new().name("redwire-sentinel".to_owned()).spawn(work).ok()?;
    Some(pubsub)
}

/// Listens until that fails; `None` when nobody wants to know any more.
fn listen(target: &Weak<Target>, pubsub: &PubSub) -> Option<()> {
    let mut news: Subscription = match pubsub.subscribe(News::CHANNELS) {
        Ok(news) => news,
        Err(error) if error.kind() == ErrorKind::Closed => return None,
        Err(_) => {
            thread::sleep(PAUSE);
            return target.upgrade().map(drop);
        }
    };
    // What happened before, or while there was no connection, was not heard.
    look(&*target.upgrade()?);
    loop {
        let item = news.next()?;
        let target = target.upgrade()?;
        let service = target.service()?;
        match item {
            Item::Message(message) => {
                if let Some(master) = service.handle_message(&message) {
                    follow(service, master);
                }
            }
            Item::Gap { .. } | Item::Lagged(_) => look(&target),
            Item::Failed(_) => return Some(()),
            _ => {}
        }
    }
}

/// Asks who is master.
fn look(target: &Target) {
    let Some(service) = target.service() else { return };
    let deadline = Instant::now() + target.config().connect_timeout();
    if let Ok(found) = ask_in_turn(service, target.config(), deadline) {
        follow(service, service.handle_asked(&found));
    }
}

fn follow(service: &Service, master: HostPort) {
    if service.handle_switched(master) {
        service.switch();
        thread::sleep(SENT_AWAY);
        service.cut();
    }
}
