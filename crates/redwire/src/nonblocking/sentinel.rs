//! Asking sentinels where the servers of a service are. Whom to ask when, and whom to believe, is decided in `redwire-core`.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use redwire_core::Result;
use redwire_core::config::{Config, HostPort};
use redwire_core::sentinel::{Answer, question};
use tokio::time::{Sleep, sleep_until};

use super::connection::Connection;
use crate::service::Service;

/// A question under way.
type Asked = (HostPort, Pin<Box<dyn Future<Output = Result<Answer>> + Send>>);

/// The server of `service` to connect to. Boxed, since asking is connecting, too.
pub(super) fn discover<'s>(
    service: &'s Service,
    config: &'s Config,
) -> Pin<Box<dyn Future<Output = Result<HostPort>> + Send + 's>> {
    Box::pin(async move {
        let mut discovery = service.discovery();
        let mut asked: Vec<Asked> = Vec::new();
        let mut timer: Option<Pin<Box<Sleep>>> = None;
        let found = poll_fn(|cx| {
            loop {
                while let Some(sentinel) = discovery.poll_ask(Instant::now()) {
                    let asking = ask(config.for_sentinel(sentinel.clone()), service.name().to_owned());
                    asked.push((sentinel, Box::pin(asking)));
                }
                let mut answered = false;
                asked.retain_mut(|(sentinel, asking)| match asking.as_mut().poll(cx) {
                    Poll::Pending => true,
                    Poll::Ready(answer) => {
                        discovery.handle_answer(sentinel, answer, Instant::now());
                        answered = true;
                        false
                    }
                });
                if let Some(found) = discovery.poll_found() {
                    return Poll::Ready(found);
                }
                if answered {
                    continue;
                }
                let Some(next) = discovery.poll_timeout() else { return Poll::Pending };
                let sleep = timer.get_or_insert_with(|| Box::pin(sleep_until(next.into())));
                sleep.as_mut().reset(next.into());
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        });
        service.handle_found(found.await?)
    })
}

async fn ask(config: Config, service: String) -> Result<Answer> {
    let mut sentinel = Connection::new(config)?;
    sentinel.pipeline(|p| question(p, &service)).await.map(Answer::from)
}
