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

/// The task that listens to one sentinel, for as long as this is kept.
struct SentinelListener {
    process: u32,
    task: Option<AbortHandle>,
}

/// Has the sentinels of `target` listened to, if it has any and that is not done yet.
pub(in crate::nonblocking) fn watch(target: &Arc<Target>) {
    let target = target.whole_service();
    let Some(service) = target.service() else { return };
    service.watch(|sentinel| {
        let task = Some(tokio::spawn(listen(Arc::downgrade(target), sentinel)).abort_handle());
        Some(Box::new(SentinelListener { process: std::process::id(), task }))
    });
}

impl service::SentinelListener for SentinelListener {
    fn is_alive(&self) -> bool {
        self.process == std::process::id() && !self.task.as_ref().is_none_or(AbortHandle::is_finished)
    }
}

impl Drop for SentinelListener {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        if self.process == std::process::id() {
            task.abort();
        } else {
            // It is the parent's, and so is what it holds.
            std::mem::forget(task);
        }
    }
}

/// Listens for as long as a client wants to know.
async fn listen(target: Weak<Target>, sentinel: HostPort) {
    let Some(config) = target.upgrade().map(|target| target.config().for_sentinel(sentinel.clone())) else {
        return;
    };
    let Ok(pubsub) = PubSub::lazy(config) else { return };
    loop {
        if hear(&target, &sentinel, &pubsub).await.is_none() {
            return;
        }
        Timer::after(RESUBSCRIBE_PAUSE).await;
    }
}

/// Listens until that fails; `None` when no client wants to know any more.
async fn hear(target: &Weak<Target>, sentinel: &HostPort, pubsub: &PubSub) -> Option<()> {
    let Ok(mut service_event) = pubsub.subscribe(ServiceEvent::CHANNELS).await else {
        look_again(&target.upgrade()?, sentinel).await;
        return Some(());
    };
    // What happened before, or while there was no connection, was not heard.
    look(&target.upgrade()?, sentinel).await;
    loop {
        let next_look = target.upgrade()?.service()?.next_look();
        let item = before(next_look, service_event.next()).await;
        let target = target.upgrade()?;
        let Some(item) = item else {
            look_again(&target, sentinel).await;
            continue;
        };
        match item? {
            SubscriptionEvent::Message(message) => match target.service()?.service_event(&message) {
                Some(ServiceEvent::Switched { master }) => follow(&target, master),
                Some(ServiceEvent::Promoted { replica }) => {
                    tokio::spawn(confirm(target, pubsub.config().clone(), replica));
                }
                Some(ServiceEvent::Replicas) if next_look.is_some() => look(&target, sentinel).await,
                Some(ServiceEvent::Replicas) | None => {}
            },
            SubscriptionEvent::Gap { .. } | SubscriptionEvent::Lagged(_) => look(&target, sentinel).await,
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
async fn look_again(target: &Arc<Target>, sentinel: &HostPort) {
    if target.service().is_some_and(Service::poll_look) {
        look(target, sentinel).await;
    }
}

/// Asks who is master, and where the replicas are: `sentinel` first, which may have told so already, while it
/// was not listened to.
async fn look(target: &Arc<Target>, sentinel: &HostPort) {
    let Some(service) = target.service() else { return };
    let discovery = service.discovery().beginning_with(sentinel);
    if let Ok(found) = ask_in_turn(service, target.config(), discovery).await {
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
