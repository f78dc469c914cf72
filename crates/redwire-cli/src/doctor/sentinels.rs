//! The layer of the sentinels: whether each can be reached, knows the service and agrees with the others, and
//! whether they are enough to agree on a failover.

use std::time::Instant;

use redwire::config::{Config, HostPort};
use redwire::{ConnectionFault, Error, ErrorKind};
use serde_json::{Value as Json, json};

use super::report::{Finding, Layer};
use super::tls::sentence;
use crate::sentinels::{self, AskedSentinel, SentinelReport};

/// What they tell, and where the master is by most of them.
pub(crate) async fn examine(config: &Config, service: &str, blocking: bool) -> (Layer, Option<HostPort>) {
    let begun = Instant::now();
    let mut layer = Layer::new("sentinels");
    let asked_sentinels = sentinels::ask_all(config, blocking).await;
    layer.took(begun.elapsed());
    let master = sentinels::believed(&asked_sentinels);
    layer.detail("service", service);
    layer.detail("master", master.as_ref().map(ToString::to_string));
    layer.detail("sentinels", asked_sentinels.iter().map(to_json).collect::<Vec<Json>>());
    let answered = sentinels::answers(&asked_sentinels).count();
    if let Some(master) = &master {
        let agreeing = asked_sentinels
            .iter()
            .filter(|asked_sentinel| asked_sentinel.master().as_ref() == Some(master))
            .count();
        let count = asked_sentinels.len();
        layer.summary(format!("{agreeing} of {count} sentinels say that {service:?} is at {master}"));
    }
    for asked_sentinel in &asked_sentinels {
        match &asked_sentinel.report {
            Err(error) => layer.found(unasked(&asked_sentinel.address, error, answered == 0)),
            Ok(report) => describe(&mut layer, service, asked_sentinel, report, master.as_ref()),
        }
    }
    (layer, master)
}

fn to_json(asked_sentinel: &AskedSentinel) -> Json {
    let quorum = asked_sentinel.report.as_ref().ok().and_then(|report| match &report.quorum {
        Err(_) if report.lacks_quorum().is_none() => None,
        quorum => Some(quorum.is_ok()),
    });
    let ms = asked_sentinel.report.as_ref().ok().map(|report| report.took.as_secs_f64() * 1e3);
    json!({
        "address": asked_sentinel.address.to_string(), "from_here": asked_sentinel.reached(), "ms": ms,
        "master": asked_sentinel.master().map(|master| master.to_string()), "quorum": quorum,
    })
}

/// One that could not be asked; `all`: as none of them could.
fn unasked(address: &HostPort, error: &Error, all: bool) -> Finding {
    let meaning = format!("The sentinel {address} cannot be asked: {}", sentence(error.message()));
    let advice = match error.kind() {
        ErrorKind::Authentication(_) => {
            "Sentinels have a password of their own, or none: `sentinel_password` (and `sentinel_username`) \
             in the URL's query."
        }
        ErrorKind::Connection(ConnectionFault::Tls) => {
            "Whether sentinels use TLS is set apart from the servers: `sentinel_tls` in the URL's query."
        }
        _ => {
            "Is it running, is the port right (26379 by default), and does it listen on this address \
             (`bind`)?"
        }
    };
    if all { Finding::bad(meaning, advice) } else { Finding::warning(meaning, advice) }
}

/// One that does not know the service; `all`: as none of them does.
fn unknown(address: &HostPort, service: &str, watched: &[String], all: bool) -> Finding {
    let meaning = format!("The sentinel {address} knows no service {service:?}.");
    let watched = match watched {
        [] => "It watches none (`sentinel monitor`).".to_owned(),
        names => format!("It watches: {}.", names.join(", ")),
    };
    let advice = format!("Check the name in the URL, `redis+sentinel://HOST:PORT/SERVICE`. {watched}");
    if all { Finding::bad(meaning, advice) } else { Finding::warning(meaning, advice) }
}

/// One that refuses to tell; `all`: as all of them do.
fn silent(address: &HostPort, error: &Error, all: bool) -> Finding {
    let meaning = format!("The sentinel {address} refuses to tell the master: {}", sentence(error.message()));
    let advice = "Its user needs `+sentinel|get-master-addr-by-name`, and should have `+sentinel|master`, \
                  `+sentinel|sentinels` and `+sentinel|replicas`.";
    if all { Finding::bad(meaning, advice) } else { Finding::warning(meaning, advice) }
}

fn describe(
    layer: &mut Layer,
    service: &str,
    asked_sentinel: &AskedSentinel,
    report: &SentinelReport,
    believed: Option<&HostPort>,
) {
    let address = &asked_sentinel.address;
    let master = match &report.master {
        Ok(master) => master,
        Err(error) if sentinels::is_unknown(error) => {
            return layer.found(unknown(address, service, &report.services, believed.is_none()));
        }
        Err(error) => return layer.found(silent(address, error, believed.is_none())),
    };
    if let (Some(theirs), Some(believed)) = (asked_sentinel.master(), believed)
        && theirs != *believed
    {
        layer.found(Finding::warning(
            format!("The sentinel {address} says that the master is {theirs}, most others say {believed}."),
            "During a failover this passes within seconds. If it lasts, the sentinel is cut off from the \
             others, or was set up for another set.",
        ));
    }
    if master.is_down() || !master.is_reached() {
        layer.found(Finding::warning(
            format!("The sentinel {address} thinks that the master is down: {}.", master.flags()),
            "Check whether the master runs, and whether the sentinel can reach it.",
        ));
    }
    if let Some(error) = report.lacks_quorum() {
        layer.found(Finding::warning(
            format!(
                "The sentinel {address} says that no failover is possible: {}",
                sentence(error.message())
            ),
            "Bring back the sentinels that are down; more than half of all, and as many as the quorum, must \
             be up.",
        ));
    }
}
