//! Listening to sentinels: a client hears of another master as soon as one of them does, and not only when it finds the old one
//! gone. It must not know what that means for connections.

use std::sync::Arc;
use std::time::Duration;

use redwire_core::config::HostPort;
use redwire_core::pubsub::Item;
use redwire_core::sentinel::News;
use tokio::task::AbortHandle;

use super::ask_in_turn;
use crate::nonblocking::pubsub::PubSub;
use crate::service::{SENT_AWAY, Service};
use crate::target::Target;

/// The tasks that listen, one for each sentinel, for as long as this is kept.
#[derive(Debug, Default)]
pub(in crate::nonblocking) struct Watch {
    tasks: Vec<AbortHandle>,
}

impl Watch {
    /// Listens to all sentinels that the configuration of `target` names, where there are any.
    pub(in crate::nonblocking) fn start(target: &Arc<Target>) -> Self {
        let sentinels = target.service().map(Service::sentinels).unwrap_or_default();
        let listen = |sentinel| tokio::spawn(listen(Arc::clone(target), sentinel)).abort_handle();
        Self { tasks: sentinels.into_iter().map(listen).collect() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn listen(target: Arc<Target>, sentinel: HostPort) {
    let Some(service) = target.service() else { return };
    let Ok(pubsub) = PubSub::lazy(target.config().for_sentinel(sentinel)) else { return };
    let mut pause = target.config().sentinel_options().timeout;
    loop {
        let Ok(mut news) = pubsub.subscribe(News::CHANNELS).await else {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            continue;
        };
        // What happened before, or while there was no connection, was not heard.
        let mut missed = true;
        loop {
            if std::mem::take(&mut missed)
                && let Ok(found) = ask_in_turn(service, target.config()).await
            {
                follow(service, service.handle_asked(&found)).await;
            }
            match news.next().await {
                Some(Item::Message(message)) => {
                    if let Some(master) = service.handle_message(&message) {
                        follow(service, master).await;
                    }
                }
                Some(Item::Gap { .. } | Item::Lagged(_)) => missed = true,
                Some(Item::Failed(_)) | None => break,
                Some(_) => {}
            }
        }
    }
}

/// A sentinel that refuses is asked again no more often than that.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

async fn follow(service: &Service, master: HostPort) {
    if service.handle_switched(master) {
        service.switch();
        tokio::time::sleep(SENT_AWAY).await;
        service.cut();
    }
}
