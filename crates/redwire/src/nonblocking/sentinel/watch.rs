//! Listening to sentinels: a client hears of another master as soon as one of them does, and not only when it
//! finds the old one gone. It must not know what that means for connections.

use std::sync::{Arc, Weak};

use redwire_core::config::{Config, HostPort};
use redwire_core::pubsub::SubscriptionEvent;
use redwire_core::sentinel::ServiceEvent;
use tokio::task::AbortHandle;

use super::ask_in_turn;
use crate::commands::{MasterAddress, SentinelCommands};
use crate::nonblocking::before;
use crate::nonblocking::connection::Connection;
use crate::nonblocking::pubsub::PubSub;
use crate::shared::clock::Timer;
use crate::shared::service::{self, RESUBSCRIBE_PAUSE, SENT_AWAY, Service};
use crate::shared::target::Target;

/// The tasks that listen, one for each sentinel, for as long as this is kept.
struct SentinelListeners {
    process: u32,
    tasks: Vec<AbortHandle>,
}

/// Has the sentinels listened to that `target` asks, if it asks any and that is not done yet.
pub(in crate::nonblocking) fn watch(target: &Arc<Target>) {
    let target = target.whole_service();
    let Some(service) = target.service() else { return };
    service.watch(|| {
        let listen = |sentinel| tokio::spawn(listen(Arc::downgrade(target), sentinel)).abort_handle();
        let tasks = service.sentinels().into_iter().map(listen).collect();
        Box::new(SentinelListeners { process: std::process::id(), tasks })
    });
}

impl service::SentinelWatch for SentinelListeners {
    fn is_alive(&self) -> bool {
        self.process == std::process::id() && !self.tasks.iter().any(AbortHandle::is_finished)
    }
}

impl Drop for SentinelListeners {
    fn drop(&mut self) {
        let tasks = std::mem::take(&mut self.tasks);
        if self.process == std::process::id() {
            tasks.iter().for_each(AbortHandle::abort);
        } else {
            // They are the parent's, and so is what they hold.
            std::mem::forget(tasks);
        }
    }
}

/// Listens for as long as a client wants to know.
async fn listen(target: Weak<Target>, sentinel: HostPort) {
    let Some(config) = target.upgrade().map(|target| target.config().for_sentinel(sentinel)) else { return };
    let Ok(pubsub) = PubSub::lazy(config) else { return };
    loop {
        if hear(&target, &pubsub).await.is_none() {
            return;
        }
        Timer::after(RESUBSCRIBE_PAUSE).await;
    }
}

/// Listens until that fails; `None` when no client wants to know any more.
async fn hear(target: &Weak<Target>, pubsub: &PubSub) -> Option<()> {
    let Ok(mut service_event) = pubsub.subscribe(ServiceEvent::CHANNELS).await else {
        look_again(&target.upgrade()?).await;
        return Some(());
    };
    // What happened before, or while there was no connection, was not heard.
    look(&target.upgrade()?).await;
    loop {
        let next_look = target.upgrade()?.service()?.next_look();
        let item = before(next_look, service_event.next()).await;
        let target = target.upgrade()?;
        let Some(item) = item else {
            look_again(&target).await;
            continue;
        };
        match item? {
            SubscriptionEvent::Message(message) => match target.service()?.service_event(&message) {
                Some(ServiceEvent::Switched { master }) => follow(&target, master),
                Some(ServiceEvent::Promoted { replica }) => {
                    tokio::spawn(confirm(target, pubsub.config().clone(), replica));
                }
                Some(ServiceEvent::Replicas) if next_look.is_some() => look(&target).await,
                Some(ServiceEvent::Replicas) | None => {}
            },
            SubscriptionEvent::Gap { .. } | SubscriptionEvent::Lagged(_) => look(&target).await,
            SubscriptionEvent::Failed(_) => return Some(()),
            _ => {}
        }
    }
}

/// Follows a replica that has taken over, if the sentinel that says so names it as the master already.
async fn confirm(target: Arc<Target>, sentinel: Config, replica: HostPort) {
    let (Some(service), Ok(mut sentinel)) = (target.service(), Connection::new(sentinel)) else { return };
    let named = sentinel.sentinel_get_master_addr_by_name(service.name()).await;
    if let Ok(Some(MasterAddress(named))) = named
        && service.remap(named) == replica
    {
        follow(&target, replica);
    }
}

/// Asks who is master, and where the replicas are, if it is time to.
async fn look_again(target: &Arc<Target>) {
    if target.service().is_some_and(Service::poll_look) {
        look(target).await;
    }
}

/// Asks who is master, and where the replicas are.
async fn look(target: &Arc<Target>) {
    let Some(service) = target.service() else { return };
    if let Ok(found) = ask_in_turn(service, target.config()).await {
        follow(target, service.handle_asked(&found));
    }
}

fn follow(target: &Arc<Target>, master: HostPort) {
    if target.service().is_some_and(|service| service.handle_switched(master)) {
        cut_later(target);
    }
}

/// Cuts off calls that wait at a former master, after some time in which it may send them away itself.
pub(in crate::nonblocking) fn cut_later(target: &Arc<Target>) {
    let target = Arc::downgrade(target);
    tokio::spawn(async move {
        Timer::after(SENT_AWAY).await;
        if let Some(target) = target.upgrade()
            && let Some(service) = target.service()
        {
            service.cut();
        }
    });
}
