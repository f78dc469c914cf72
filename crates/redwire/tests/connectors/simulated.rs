//! A whole client in a runtime whose clock is paused, with its server in the same runtime: hours pass in no
//! time, twice in the same way, and with the pauses that are documented (I3, I6, I7).

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redwire::config::{Config, ConfigBuilder};
use redwire::connector::Connector;
use redwire::prelude::*;
use redwire::{Client, ErrorKind, EventKind, Outcome, Pool, Value, cmd};
use redwire_testkit::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::in_memory::{Peer, take};

/// How the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Well,
    /// It hangs up, and refuses.
    Gone,
    /// It says nothing more.
    Silent,
}

#[derive(Clone, Debug)]
struct Net {
    peer: Peer,
    state: watch::Sender<State>,
}

impl Net {
    fn new() -> Self {
        Self { peer: Peer::default(), state: watch::Sender::new(State::Well) }
    }

    fn options(&self) -> ConfigBuilder {
        let net = self.clone();
        Config::builder()
            .host("server")
            .connector(Connector::from_fn(move |_| std::future::ready(net.connect())))
    }

    fn connect(&self) -> io::Result<DuplexStream> {
        if *self.state.borrow() == State::Gone {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(self.clone().serve(far));
        Ok(near)
    }

    async fn serve(self, mut far: DuplexStream) -> io::Result<()> {
        let (mut bytes, mut state) = (Vec::new(), self.state.subscribe());
        loop {
            let read = tokio::select! {
                biased;
                _ = state.wait_for(|state| *state == State::Gone) => return Ok(()),
                read = far.read_buf(&mut bytes) => read?,
            };
            if read == 0 {
                return Ok(());
            }
            while let Some(words) = take(&mut bytes) {
                let answer = match words[0].as_str() {
                    "SUBSCRIBE" => format!(">3\r\n+subscribe\r\n+{}\r\n:1\r\n", words[1]),
                    // Nothing is ever pushed.
                    "BLPOP" => {
                        sleep(Duration::from_secs_f64(words[2].parse().unwrap())).await;
                        "_\r\n".to_owned()
                    }
                    _ => self.peer.answer(&words),
                };
                if *self.state.borrow() != State::Silent {
                    far.write_all(answer.as_bytes()).await?;
                }
            }
        }
    }
}

fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// When what happened, since the beginning.
type Trace = Arc<Mutex<Vec<(Duration, String)>>>;

const OUTAGE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3660));
const SILENCE: (Duration, Duration) = (Duration::from_secs(4000), Duration::from_secs(4600));
const END: Duration = Duration::from_secs(5000);

/// Calls each second, through an hour in which the server is gone and ten minutes in which it is silent.
fn run(seed: u64) -> Vec<(Duration, String)> {
    paused().block_on(async {
        let (net, trace, begun) = (Net::new(), Trace::default(), Instant::now());
        let note = {
            let trace = Arc::clone(&trace);
            move |what: String| trace.lock().unwrap().push((begun.elapsed(), what))
        };
        let client = Client::open(net.options().seed(seed).build().unwrap()).await.unwrap();
        let mut events = client.events();
        let told = note.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                told(match event.kind {
                    EventKind::Connecting => "connecting".to_owned(),
                    EventKind::Ready(_) => "ready".to_owned(),
                    EventKind::Failed(error) => format!("failed: {error}"),
                    EventKind::Lost(error) => format!("lost: {error}"),
                    other => format!("{other:?}"),
                });
            }
        });
        let script = net.state.clone();
        tokio::spawn(async move {
            for (when, state) in [
                (OUTAGE.0, State::Gone),
                (OUTAGE.1, State::Well),
                (SILENCE.0, State::Silent),
                (SILENCE.1, State::Well),
            ] {
                sleep_until(begun + when).await;
                script.send_replace(state);
            }
        });
        while begun.elapsed() < END {
            let call = cmd::<Option<String>>("GET").arg("k").timeout(Duration::from_millis(700));
            note(match client.execute(call).await {
                Ok(_) => "answered".to_owned(),
                Err(error) => format!("{error}"),
            });
            sleep(Duration::from_secs(1)).await;
        }
        drop(client);
        trace.lock().unwrap().clone()
    })
}

#[test]
fn outages_pass_in_no_time_and_the_same_way_each_time() {
    let trace = run(7);
    let again = run(7);
    for (one, other) in trace.iter().zip(&again) {
        assert_eq!(one, other);
    }
    assert_eq!(trace.len(), again.len());
    assert_ne!(trace, run(8), "the seed makes the difference");

    let during = |(begin, end): (Duration, Duration)| {
        trace.iter().filter(move |(when, _)| (begin..end).contains(when))
    };
    // Pauses of full jitter up to a second: two attempts a second on average.
    let attempts: Vec<Duration> =
        during(OUTAGE).filter(|(_, what)| what == "connecting").map(|(when, _)| *when).collect();
    assert!((5_000..10_000).contains(&attempts.len()), "{}", attempts.len());
    let longest = attempts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    let pause = Duration::from_millis(1_010);
    assert!(longest > Duration::from_millis(900) && longest < pause, "{longest:?}");

    // I6: found dead within 5 s, and well again within the pause, or the attempt that hangs and a pause.
    let first = |begin: Duration, what: &str| {
        let found = trace.iter().find(|(when, told)| *when >= begin && told.starts_with(what));
        found.unwrap_or_else(|| panic!("nothing is {what} after {begin:?}")).0 - begin
    };
    assert!(first(OUTAGE.0, "lost") < Duration::from_millis(10));
    assert!(first(OUTAGE.1, "ready") < pause);
    assert!(first(SILENCE.0, "lost") <= Duration::from_secs(5), "{:?}", first(SILENCE.0, "lost"));
    assert!(first(SILENCE.1, "ready") < Duration::from_secs(2) + pause);
    // I3: each call ends by its deadline, with 1.0 s between them.
    let calls: Vec<Duration> = trace
        .iter()
        .filter(|(_, what)| what == "answered" || what.starts_with("GET"))
        .map(|(when, _)| *when)
        .collect();
    let slowest = calls.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(slowest < Duration::from_millis(1_705), "{slowest:?}");
    assert!(during((Duration::ZERO, OUTAGE.0)).any(|(_, what)| what == "answered"));
    assert!(during((SILENCE.1 + Duration::from_secs(5), END)).all(|(_, what)| what == "answered"));
}

/// Each of these waits by the clock of the runtime, to the millisecond.
#[test]
fn whatever_waits_goes_by_the_clock_of_the_runtime() {
    const HOUR: Duration = Duration::from_secs(3600);
    const TICK: Duration = Duration::from_millis(2);
    let net = Net::new();
    // Made outside of the runtime.
    let config = net.options().max_connections(2).timeout(HOUR).health_check_interval(HOUR).build().unwrap();
    let (client, pool) = (Client::lazy(config.clone()).unwrap(), Pool::lazy(config).unwrap());
    paused().block_on(async {
        client.set("k", "v").await.unwrap();
        let took = |begun: Instant, wanted: Duration| {
            let took = begun.elapsed();
            assert!(took >= wanted && took <= wanted + TICK, "{took:?} of {wanted:?}");
        };
        let begun = Instant::now();
        let nothing: Option<(String, String)> = client.blpop("list", HOUR / 2).await.unwrap();
        assert_eq!(nothing, None);
        took(begun, HOUR / 2);

        let mut news = client.subscribe("news").await.unwrap();
        let begun = Instant::now();
        assert!(news.next_within(24 * HOUR).await.is_none());
        took(begun, 24 * HOUR);

        let leases = (pool.get().await.unwrap(), pool.get().await.unwrap());
        let begun = Instant::now();
        pool.get_within(HOUR).await.unwrap_err();
        took(begun, HOUR);
        drop(leases);

        net.state.send_replace(State::Silent);
        let begun = Instant::now();
        let call = cmd::<Value>("SET").arg("k").arg("v").timeout(HOUR / 4);
        let error = client.execute(call).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted), "{error}");
        took(begun, HOUR / 4);
    });
}

/// The clock of a runtime is that of its own clients only: sockets of another in this thread know nothing of
/// it.
#[test]
fn a_later_runtime_of_the_thread_has_its_own_clock() {
    let server = Server::start();
    paused().block_on(async {
        let client = Client::open(Net::new().options().build().unwrap()).await.unwrap();
        client.set("k", "v").await.unwrap();
    });
    paused().block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        sleep(Duration::from_secs(3600)).await;
        for n in 1..=5 {
            assert_eq!(client.incr("n").await.unwrap(), n);
        }
    });
}
