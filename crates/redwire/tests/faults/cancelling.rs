//! Calls given up at random moments: a reply reaches the call that asked for it, or none (I1), and the
//! connection stays (FAULTS 1).

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use redwire::{Client, Run, Slot, cmd};
use redwire_testkit::{Direction, Fault, Proxy, Server};
use tokio::runtime::{Builder, Runtime};

const TASKS: usize = 64;
const GIVEN_UP: usize = 10_000;

#[test]
fn given_up_calls_on_two_workers() {
    storm(&Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(), 3, 1);
}

#[test]
fn given_up_calls_on_two_workers_with_resp2() {
    storm(&Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(), 2, 2);
}

#[test]
fn given_up_calls_on_one_thread() {
    storm(&Builder::new_current_thread().enable_all().build().unwrap(), 3, 3);
}

/// The waker of an executor that is not tokio may own the last of another task, and with it another call.
#[test]
fn a_waker_may_own_another_call() {
    struct Owner(
        #[expect(dead_code, reason = "it is owned")] Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>,
    );
    impl Wake for Owner {
        fn wake(self: Arc<Self>) {}
    }
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = runtime.block_on(Client::connect(&proxy.url())).unwrap();
    proxy.set(Direction::ToClient, Fault::Blackhole);
    let (done, end) = mpsc::channel();
    thread::spawn(move || {
        let _context = runtime.enter();
        let mut idle = Context::from_waker(Waker::noop());
        for is_dropped in [false, true] {
            let another = client.clone();
            let mut other: Pin<Box<dyn Future<Output = ()> + Send>> =
                Box::pin(async move { drop(another.execute::<Option<String>>(cmd("GET").arg("b")).await) });
            assert!(other.as_mut().poll(&mut idle).is_pending());
            let waker = Waker::from(Arc::new(Owner(Mutex::new(other))));
            let mut call = Box::pin(client.execute::<Option<String>>(cmd("GET").arg("a")));
            assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            drop(waker);
            if !is_dropped {
                assert!(call.as_mut().poll(&mut idle).is_pending());
            }
            drop(call);
        }
        done.send(()).unwrap();
    });
    end.recv_timeout(Duration::from_secs(10)).expect("no lock is taken twice");
}

/// Tasks make calls through a proxy that delays and splits, and give up half of them, until enough are given
/// up.
fn storm(runtime: &Runtime, protocol: u8, seed: u64) {
    let server = Server::start();
    let proxy = Proxy::seeded(server.addr(), seed);
    let url = format!("{}?protocol={protocol}&timeout=60s", proxy.url());
    let given_up = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let client = Client::connect(&url).await.unwrap();
        for direction in [Direction::ToServer, Direction::ToClient] {
            proxy.set(direction, Fault::Delay { min: Duration::ZERO, max: Duration::from_millis(5) });
            proxy.set(direction, Fault::Chunk(4096));
        }
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let caller = Caller {
                    client: client.clone(),
                    key: format!("task:{task}"),
                    rng: Rng::with_seed(seed * 1000 + task as u64),
                    given_up: Arc::clone(&given_up),
                };
                tokio::spawn(caller.call_until_enough())
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        proxy.heal();
        assert_eq!(client.execute(cmd::<String>("PING")).await.unwrap(), "PONG");
    });
    assert!(given_up.load(Ordering::Relaxed) >= GIVEN_UP);
    assert_eq!(proxy.connections(), 1, "giving up closes nothing");
}

struct Caller {
    client: Client,
    key: String,
    rng: Rng,
    given_up: Arc<AtomicUsize>,
}

impl Caller {
    async fn call_until_enough(mut self) {
        for number in 0.. {
            if self.given_up.load(Ordering::Relaxed) >= GIVEN_UP {
                break;
            }
            self.call(number).await;
        }
    }

    /// One call of a random kind; its reply must be its own.
    async fn call(&mut self, number: usize) {
        let (key, client) = (self.key.clone(), self.client.clone());
        let tag = format!("{key}={number};{}", "x".repeat(self.rng.usize(..300)));
        let own = format!("{key}=");
        match self.rng.u8(..4) {
            0 => {
                if let Some(echo) = self.perhaps(client.execute(cmd::<String>("ECHO").arg(&tag))).await {
                    assert_eq!(echo.unwrap(), tag);
                }
            }
            1 => {
                if let Some(status) =
                    self.perhaps(client.execute(cmd::<String>("SET").arg(&key).arg(&tag))).await
                {
                    assert_eq!(status.unwrap(), "OK");
                }
            }
            2 => {
                if let Some(value) =
                    self.perhaps(client.execute(cmd::<Option<String>>("GET").arg(&key))).await
                {
                    assert!(value.unwrap().is_none_or(|value| value.starts_with(&own)), "{key}");
                }
            }
            _ => {
                let call = client.pipeline(|p| -> (Slot<String>, Slot<()>, Slot<String>) {
                    (
                        p.run(cmd("ECHO").arg(&tag)),
                        p.run(cmd("SET").arg(&key).arg(&tag)),
                        p.run(cmd("GET").arg(&key)),
                    )
                });
                if let Some(replies) = self.perhaps(call).await {
                    assert_eq!(replies.unwrap(), (tag.clone(), (), tag));
                }
            }
        }
    }

    /// Awaits `call`, or gives it up: after some polls, or after some time.
    async fn perhaps<F: Future>(&mut self, call: F) -> Option<F::Output> {
        let output = match self.rng.u8(..4) {
            0 => after_polls(call, self.rng.usize(..6)).await,
            1 => tokio::time::timeout(Duration::from_micros(self.rng.u64(..9000)), call).await.ok(),
            _ => return Some(call.await),
        };
        self.given_up.fetch_add(usize::from(output.is_none()), Ordering::Relaxed);
        output
    }
}

/// Polls `call` at most so often, then drops it.
async fn after_polls<F: Future>(call: F, polls: usize) -> Option<F::Output> {
    let (mut call, mut left) = (pin!(call), polls);
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        cx.waker().wake_by_ref();
        call.as_mut().poll(cx).map(Some)
    })
    .await
}
