//! Listening to sentinels: a client hears of another master as soon as one of them does, and not only when it
//! finds the old one gone. It must not know what that means for connections.

use std::sync::{Arc, Weak};

use redwire_core::ErrorKind;
use redwire_core::config::{Config, HostPort};
use redwire_core::pubsub::SubscriptionEvent;
use redwire_core::sentinel::ServiceEvent;

use super::ask_in_turn;
use crate::blocking::connection::Connection;
use crate::blocking::pubsub::PubSub;
use crate::commands::{MasterAddress, SentinelCommands};
use crate::shared::owner::PerProcess;
use crate::shared::service::{self, RESUBSCRIBE_PAUSE, SENT_AWAY, Service};
use crate::shared::target::Target;
use crate::shared::threads;

/// What a thread listens to one sentinel by, for as long as this is kept.
struct SentinelListener(PerProcess<PubSub>);

/// Has the sentinels of `target` listened to, if it has any and that is not done yet.
pub(in crate::blocking) fn watch(target: &Arc<Target>) {
    let target = target.whole_service();
    let Some(service) = target.service() else { return };
    service.watch(|sentinel| {
        let pubsub = listen(target, sentinel)?;
        Some(Box::new(SentinelListener(PerProcess::new(pubsub))))
    });
}

impl service::SentinelListener for SentinelListener {
    fn is_alive(&self) -> bool {
        // A child process has not inherited the threads.
        self.0.existing().is_some()
    }
}

impl Drop for SentinelListener {
    fn drop(&mut self) {
        self.0.existing().into_iter().for_each(PubSub::close);
    }
}

/// Starts a thread that listens for as long as a client wants to know.
fn listen(target: &Arc<Target>, sentinel: HostPort) -> Option<PubSub> {
    let pubsub = PubSub::lazy(target.config().for_sentinel(sentinel.clone())).ok()?;
    let (target, ear) = (Arc::downgrade(target), pubsub.clone());
    let work = move || {
        while hear(&target, &sentinel, &ear).is_some() {
            threads::sleep(RESUBSCRIBE_PAUSE);
        }
    };
    // Without it another master is found all the same, and later.
    threads::spawn("redwire-sentinel", work).ok()?;
    Some(pubsub)
}

/// Listens until that fails; `None` when no client wants to know any more.
fn hear(target: &Weak<Target>, sentinel: &HostPort, pubsub: &PubSub) -> Option<()> {
    let mut service_event = match pubsub.subscribe(ServiceEvent::CHANNELS) {
        Ok(service_event) => service_event,
        Err(error) if error.kind() == ErrorKind::Closed => return None,
        Err(_) => return target.upgrade().map(|target| look_again(&target, sentinel)),
    };
    // What happened before, or while there was no connection, was not heard.
    look(&target.upgrade()?, sentinel);
    loop {
        let next_look = target.upgrade()?.service()?.next_look();
        let item = service_event.next_until(next_look);
        let target = target.upgrade()?;
        let Some(item) = item else {
            look_again(&target, sentinel);
            continue;
        };
        match item? {
            SubscriptionEvent::Message(message) => match target.service()?.service_event(&message) {
                Some(ServiceEvent::Switched { master }) => follow(&target, master),
                Some(ServiceEvent::Promoted { replica }) => {
                    let config = pubsub.config().clone();
                    let confirm = move || confirm(&target, config, replica);
                    // Without it the news of the new master comes a little later.
                    let _ = threads::spawn("redwire-sentinel", confirm);
                }
                Some(ServiceEvent::Replicas) if next_look.is_some() => look(&target, sentinel),
                Some(ServiceEvent::Replicas) | None => {}
            },
            SubscriptionEvent::Gap { .. } | SubscriptionEvent::Lagged(_) => look(&target, sentinel),
            SubscriptionEvent::Failed(_) => return Some(()),
            _ => {}
        }
    }
}

/// Follows a replica that has taken over, if the sentinel that says so names it as the master already.
fn confirm(target: &Arc<Target>, sentinel: Config, replica: HostPort) {
    let (Some(service), Ok(mut sentinel)) = (target.service(), Connection::new(sentinel)) else { return };
    let named = sentinel.sentinel_get_master_addr_by_name(service.name());
    if let Ok(Some(MasterAddress(named))) = named
        && service.remap(named) == replica
    {
        follow(target, replica);
    }
}

/// Asks who is master, and where the replicas are, if it is time to.
fn look_again(target: &Arc<Target>, sentinel: &HostPort) {
    if target.service().is_some_and(Service::poll_look) {
        look(target, sentinel);
    }
}

/// Asks who is master, and where the replicas are: `sentinel` first, which may have told so already, while it
/// was not listened to.
fn look(target: &Arc<Target>, sentinel: &HostPort) {
    let Some(service) = target.service() else { return };
    let deadline = threads::now() + target.config().connect_timeout();
    let discovery = service.discovery().beginning_with(sentinel);
    if let Ok(found) = ask_in_turn(service, target.config(), discovery, deadline) {
        follow(target, service.handle_asked(&found));
        watch(target);
    }
}

fn follow(target: &Arc<Target>, master: HostPort) {
    if target.service().is_some_and(|service| service.handle_switched(master)) {
        cut_later(target);
    }
}

/// Cuts off calls that wait at a former master, after some time in which it may send them away itself.
pub(in crate::blocking) fn cut_later(target: &Arc<Target>) {
    let target = Arc::downgrade(target);
    let cut = move || {
        threads::sleep(SENT_AWAY);
        if let Some(target) = target.upgrade()
            && let Some(service) = target.service()
        {
            service.cut();
        }
    };
    // Without it they hear from the former master once it is demoted, or is found to be dead.
    let _ = threads::spawn("redwire-sentinel", cut);
}
