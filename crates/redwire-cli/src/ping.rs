//! `redwire ping`: a line per probe, and a summary.
//!
//! Promises that a probe which is lost is told with its reason and counted, and that the next one is sent all
//! the same: the client connects again by itself. Must not know how probes travel.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use redwire::config::Config;
use redwire::{Cmd, Error, EventKind, Outcome, cmd};
use serde_json::{Value as Json, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::args::{Global, Ping};
use crate::connect::{self, Client};
use crate::interrupt::interrupted;
use crate::output::{BAD, DIM, Failure, GOOD, Output, Verdict};

/// What came of all probes so far.
#[derive(Debug)]
struct Tally {
    probes: u64,
    lost: u64,
    errors: BTreeMap<String, u64>,
    /// Round trips, in microseconds.
    times: Histogram<u64>,
}

pub(crate) async fn run(global: &Global, ping: &Ping, output: &Output) -> Result<Verdict, Failure> {
    let url = connect::only_url(global)?;
    // The options beside the URL are not part of its name; and no password is either.
    let shown = Config::from_url(url).map_err(Error::from)?.to_string();
    let config = connect::config(global, url)?;
    let place = connect::place(&config);
    let client = Client::lazy(config, global.blocking).await?;

    let trouble = Trouble::watch(&client);

    let mut tally = Tally::new()?;
    let started = Instant::now();
    tokio::select! {
        () = probe_all(&client, &trouble, ping, &place, output, &mut tally) => {}
        () = interrupted() => {}
    }
    tally.tell(&shown, started.elapsed(), output);
    output.json(&tally.to_json(&shown));
    // Nothing was asked, so nothing is wrong.
    Ok(if tally.lost < tally.probes || tally.probes == 0 { Verdict::Good } else { Verdict::Bad })
}

async fn probe_all(
    client: &Client,
    trouble: &Trouble,
    ping: &Ping,
    place: &str,
    output: &Output,
    tally: &mut Tally,
) {
    connect_first(client, trouble, place, output).await;
    // A timer cannot tick without a pause; no pause at all is as close as makes no difference.
    let mut ticks = interval(ping.interval.max(Duration::from_micros(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sequence = 0;
    while ping.count.is_none_or(|count| sequence < count) {
        ticks.tick().await;
        sequence += 1;
        let begun = Instant::now();
        let answer = client.execute(probe()).await.map_err(|error| trouble.behind(error));
        let time = begun.elapsed();
        let millis = millis(time);
        match &answer {
            Ok(()) => {
                output.line(format_args!("{GOOD}PONG{GOOD:#} from {place}: seq={sequence} time={millis}"));
            }
            Err(error) => {
                output.line(format_args!("{BAD}lost{BAD:#} seq={sequence} after {millis}: {error}"));
            }
        }
        tally.handle_answer(answer.err().as_ref(), time);
    }
}

/// The first connection is made before the first probe, so that it is no part of that probe's time.
async fn connect_first(client: &Client, trouble: &Trouble, place: &str, output: &Output) {
    let begun = Instant::now();
    let patience = client.config().timeout().map_or(MOST_PATIENCE, |timeout| timeout.min(MOST_PATIENCE));
    match client.execute(probe().timeout(patience)).await {
        Ok(()) => {
            let time = millis(begun.elapsed());
            output.line(format_args!("{DIM}connected to {place}, and the first answer after {time}{DIM:#}"));
        }
        Err(error) => output.line(format_args!("{DIM}not connected yet{DIM:#}: {}", trouble.behind(error))),
    }
}

/// How long the first connection is waited for before probes are sent all the same.
const MOST_PATIENCE: Duration = Duration::from_secs(2);

/// One `PING`, sent once: a probe that is repeated unseen would not be seen to be lost.
fn probe() -> Cmd<()> {
    cmd("PING").retries(0)
}

fn millis(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

/// Why there is no connection, as long as there is none. A call that waited for one only knows that its time
/// ran out.
#[derive(Clone, Debug, Default)]
struct Trouble(Arc<Mutex<Option<Error>>>);

impl Trouble {
    fn watch(client: &Client) -> Self {
        let trouble = Self::default();
        let watched = trouble.clone();
        match client {
            Client::Tokio(client) => {
                let mut events = client.events();
                drop(tokio::spawn(async move {
                    while let Some(event) = events.next().await {
                        watched.handle(event.kind);
                    }
                }));
            }
            Client::Blocking(client) => {
                let events = client.events();
                drop(thread::spawn(move || events.for_each(|event| watched.handle(event.kind))));
            }
        }
        trouble
    }

    fn handle(&self, event: EventKind) {
        match event {
            EventKind::Failed(error) => *self.current() = Some(error),
            EventKind::Ready(_) => *self.current() = None,
            _ => {}
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is behind the failure of a call.
    fn behind(&self, error: Error) -> Error {
        let never_sent = error.is_timeout() && error.outcome() == Outcome::NotSent;
        self.current().clone().filter(|_| never_sent).unwrap_or(error)
    }
}

impl Tally {
    fn new() -> Result<Self, Failure> {
        // Up to a day: of one that would have to grow, `saturating_record` clamps to the size it has.
        let times = Histogram::new_with_bounds(1, 86_400_000_000, 3);
        let times = times.map_err(|error| Failure::new("the histogram", error))?;
        Ok(Self { probes: 0, lost: 0, errors: BTreeMap::new(), times })
    }

    fn handle_answer(&mut self, error: Option<&Error>, time: Duration) {
        self.probes += 1;
        match error {
            None => self.times.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            Some(error) => {
                self.lost += 1;
                *self.errors.entry(format!("{:?}", error.kind())).or_default() += 1;
            }
        }
    }

    /// Smallest, median, 99th percentile and largest of the round trips, in microseconds.
    fn figures(&self) -> Option<[u64; 4]> {
        let times = &self.times;
        let percentile = |percent| times.value_at_percentile(percent);
        (!times.is_empty()).then(|| [times.min(), percentile(50.0), percentile(99.0), times.max()])
    }

    fn tell(&self, url: &str, elapsed: Duration, output: &Output) {
        let percent = if self.probes == 0 { 0.0 } else { self.lost as f64 / self.probes as f64 * 100.0 };
        output.line(format_args!("\n--- {url} ---"));
        output.line(format_args!(
            "{} probes, {} answered, {percent:.1} % lost, {:.1} s",
            self.probes,
            self.probes - self.lost,
            elapsed.as_secs_f64(),
        ));
        if let Some(figures) = self.figures() {
            let [min, median, p99, max] = figures.map(|micros| micros as f64 / 1e3);
            output.line(format_args!(
                "round trip min/median/p99/max = {min:.3}/{median:.3}/{p99:.3}/{max:.3} ms"
            ));
        }
        for (kind, count) in &self.errors {
            output.line(format_args!("lost by {kind}: {count}"));
        }
    }

    fn to_json(&self, url: &str) -> Json {
        let times = self
            .figures()
            .map(|[min, median, p99, max]| json!({ "min": min, "median": median, "p99": p99, "max": max }));
        let Self { probes, lost, errors, .. } = self;
        json!({ "url": url, "probes": probes, "lost": lost, "errors": errors, "rtt_us": times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To three digits, as long as a probe may take.
    #[test]
    fn long_round_trips_stand_in_the_summary_as_they_were() {
        for millis in [1, 3, 250, 5_000, 3_600_000] {
            let mut tally = Tally::new().unwrap();
            tally.handle_answer(None, Duration::from_millis(millis));
            for figure in tally.figures().unwrap() {
                let off = figure.abs_diff(millis * 1000);
                assert!(off * 1000 <= millis * 1000, "{figure} µs for {millis} ms");
            }
        }
    }
}
