//! Leases that are given up at any moment: no reply reaches another borrower, and no place is lost (I1, I4).
//! FAULTS 1, 2, 5.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use redwire::{Pool, Result, Run, Slot, Value, blocking, cmd};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually, shared};
use tokio::runtime::{Builder, Runtime};

use crate::common::{Driver, LIMIT, Setup, named_clients, runtime, words};

both!(
    a_panic_between_sending_and_reading_spoils_no_other_call,
    a_connection_killed_while_idle_is_invisible_to_borrowers,
);

const TASKS: usize = 64;
const GIVEN_UP: usize = 10_000;

/// Fewer connections than users, so that some wait for one when they give up.
const OPTIONS: &str = "max_connections=24&max_connecting=24&timeout=60s&client_name=storm";

#[test]
fn given_up_leases_on_two_workers() {
    storm(&Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(), 3, 1);
}

#[test]
fn given_up_leases_on_one_thread_with_resp2() {
    storm(&Builder::new_current_thread().enable_all().build().unwrap(), 2, 2);
}

/// Tasks borrow and call through a proxy that delays and splits, and give up half of that, until enough is
/// given up.
fn storm(runtime: &Runtime, protocol: u8, seed: u64) {
    let server = Server::start();
    let proxy = shaking(&server, seed);
    let given_up = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let url = format!("{}?protocol={protocol}&{OPTIONS}", proxy.url());
        let pool = Pool::lazy(redwire::config::Config::from_url(&url).unwrap()).unwrap();
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let rng = Rng::with_seed(seed * 1000 + task as u64);
                tokio::spawn(borrow_until_enough(pool.clone(), rng, task, Arc::clone(&given_up)))
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        // Attempts go on when the callers they were made for have left, and so does waiting for the reply
        // that a lease still owes. Both are tasks of this runtime.
        let begin = Instant::now();
        while pool.stats().connecting + pool.stats().in_use > 0 {
            assert!(begin.elapsed() < LIMIT, "{:?}", pool.stats());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        check_conserved(&server, pool.stats(), pool.borrowers().len());
        // As many as ever can be had at the same time.
        let mut leases = Vec::new();
        for _ in 0..24 {
            leases.push(pool.get().await.unwrap());
        }
    });
    assert!(given_up.load(Ordering::Relaxed) >= GIVEN_UP);
}

fn shaking(server: &Server, seed: u64) -> Proxy {
    let proxy = Proxy::seeded(server.addr(), seed);
    for direction in [Direction::ToServer, Direction::ToClient] {
        proxy.set(direction, Fault::jitter(Duration::from_millis(2)));
        proxy.set(direction, Fault::Chunk(4096));
    }
    proxy
}

/// No caller has a connection or waits for one; there is none that the pool does not know.
#[track_caller]
fn check_conserved(server: &Server, stats: redwire::pool::PoolStats, borrowers: usize) {
    assert_eq!((stats.in_use, stats.waiting, borrowers), (0, 0, 0), "{stats:?}");
    assert!(stats.size == stats.idle && stats.size <= 24, "{stats:?}");
    eventually("the server knows no others", LIMIT, || named_clients(server, "storm") == stats.size);
}

async fn borrow_until_enough(pool: Pool, mut rng: Rng, task: usize, given_up: Arc<AtomicUsize>) {
    for number in 0.. {
        if given_up.load(Ordering::Relaxed) >= GIVEN_UP {
            break;
        }
        let use_it = borrow_and_call(&pool, task, number, rng.fork());
        if rng.bool() {
            use_it.await.unwrap();
            continue;
        }
        let limit = Duration::from_micros(rng.u64(..8_000));
        match tokio::time::timeout(limit, use_it).await {
            Ok(done) => done.unwrap(),
            Err(_) => drop(given_up.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// Some calls on a lease, each with the reply that is its own.
async fn borrow_and_call(pool: &Pool, task: usize, number: usize, mut rng: Rng) -> Result<()> {
    let tag = format!("task:{task}={number};{}", "x".repeat(rng.usize(..300)));
    let key = format!("task:{task}");
    let mut lease = pool.get().await?;
    match rng.u8(..3) {
        0 => assert_eq!(lease.run(cmd::<String>("ECHO").arg(&tag)).await?, tag),
        1 => {
            lease.send(&cmd::<String>("ECHO").arg(&tag)).await?;
            lease.send(&cmd::<()>("SET").arg(&key).arg(&tag)).await?;
            assert_eq!(lease.read_reply::<String>().await?, tag);
            assert_eq!(lease.read_reply::<String>().await?, "OK");
        }
        _ => {
            let replies = lease.pipeline(|p| -> (Slot<String>, Slot<Option<String>>) {
                (p.run(cmd("ECHO").arg(&tag)), p.run(cmd("GET").arg(&key)))
            });
            let (echo, value) = replies.await?;
            assert_eq!(echo, tag);
            assert!(value.is_none_or(|value| value.starts_with(&format!("{key}="))), "{key}");
        }
    }
    Ok(())
}

/// Threads cannot be given up; their calls can run out of time, at any point.
#[test]
fn blocking_calls_that_run_out_of_time() {
    const LATE: usize = 2_000;
    let server = Server::start();
    let proxy = shaking(&server, 3);
    let client = blocking::Client::connect_lazy(&format!("{}?{OPTIONS}&retries=0", proxy.url())).unwrap();
    let late = AtomicUsize::new(0);
    thread::scope(|scope| {
        for task in 0..32 {
            let (client, late) = (&client, &late);
            scope.spawn(move || {
                let mut rng = Rng::with_seed(task);
                for number in 0.. {
                    if late.load(Ordering::Relaxed) >= LATE {
                        break;
                    }
                    let tag = format!("task:{task}={number}");
                    let limit =
                        Duration::from_micros(if rng.bool() { rng.u64(1..8_000) } else { 60_000_000 });
                    match client.execute(cmd::<String>("ECHO").arg(&tag).timeout(limit)) {
                        Ok(echo) => assert_eq!(echo, tag),
                        Err(error) => {
                            assert!(error.is_timeout(), "{error}");
                            late.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let pool = client.pool();
    check_conserved(&server, pool.stats(), pool.borrowers().len());
    let leases: Vec<_> = (0..24).map(|_| pool.get().unwrap()).collect();
    assert_eq!(leases.len(), pool.stats().in_use);
}

/// The borrower is unwound with a reply under way.
fn a_panic_between_sending_and_reading_spoils_no_other_call(setup: Setup) {
    let url = setup.url(&shared().url(), "max_connections=1");
    let config = redwire::config::Config::from_url(&url).unwrap();
    let spoil = || -> Result<()> { panic!("between sending and reading") };
    let (unwound, echoed, stats) = match setup.driver {
        Driver::Tokio => {
            let pool = Pool::lazy(config).unwrap();
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                runtime().block_on(async {
                    let mut lease = pool.get().await?;
                    lease.send(&words::<Value>("ECHO secret")).await?;
                    spoil()
                })
            }));
            let echoed =
                runtime().block_on(async { pool.get().await?.run(words::<String>("ECHO own")).await });
            (unwound, echoed, pool.stats())
        }
        Driver::Blocking => {
            let pool = blocking::Pool::lazy(config).unwrap();
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                let mut lease = pool.get()?;
                lease.send(&words::<Value>("ECHO secret"))?;
                spoil()
            }));
            (unwound, pool.get().and_then(|mut lease| lease.run(words("ECHO own"))), pool.stats())
        }
    };
    assert!(unwound.is_err());
    assert_eq!(echoed.unwrap(), "own");
    assert_eq!((stats.size, stats.in_use, stats.created), (1, 0, 2), "{stats:?}");
}

/// FAULTS 2: system calls that were interrupted are not failures of the connection. In a process of its own,
/// since all threads of one stop together.
#[test]
fn a_process_that_was_stopped_goes_on_with_its_own_replies() {
    let itself = std::env::current_exe().unwrap();
    let child =
        Command::new(itself).args(["--ignored", "--exact", "leases::calls_that_are_stopped"]).output();
    let child = child.unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "stops its process again and again; run by the test above"]
fn calls_that_are_stopped() {
    let proxy = Proxy::start(shared().addr());
    let clients = Setup::ALL.map(|setup| setup.client(&proxy.url(), ""));
    let pause = Duration::from_millis(20);
    proxy.set(Direction::ToClient, Fault::Delay { min: pause, max: pause });
    thread::scope(|scope| {
        for (caller, client) in clients.iter().enumerate() {
            scope.spawn(move || {
                for number in 0..10 {
                    let echo = client.run::<String>(&format!("ECHO {caller}:{number}"));
                    assert_eq!(echo.unwrap(), format!("{caller}:{number}"));
                }
            });
        }
        // All calls of the system that wait with a limit return in between.
        let stop_and_go =
            "for i in 1 2 3 4 5 6 7 8 9; do kill -STOP $PPID; kill -CONT $PPID; sleep 0.02; done";
        assert!(Command::new("sh").args(["-c", stop_and_go]).status().unwrap().success());
    });
}

fn a_connection_killed_while_idle_is_invisible_to_borrowers(setup: Setup) {
    let server = Server::start();
    let url = setup.url(&server.url(), "max_connections=1&client_name=idle");
    let config = redwire::config::Config::from_url(&url).unwrap();
    let mut incr: Box<dyn FnMut() -> Result<i64>> = match setup.driver {
        Driver::Tokio => {
            let pool = Pool::lazy(config).unwrap();
            Box::new(move || runtime().block_on(async { pool.get().await?.run(words("INCR n")).await }))
        }
        Driver::Blocking => {
            let pool = blocking::Pool::lazy(config).unwrap();
            Box::new(move || pool.get()?.run(words("INCR n")))
        }
    };
    for n in 1..=20 {
        assert_eq!(incr().unwrap(), n);
        assert_eq!(server.kill_clients(&["TYPE", "normal"]), 1);
        eventually("it is killed", LIMIT, || named_clients(&server, "idle") == 0);
    }
    assert_eq!(server.command(&["GET", "n"]).unwrap(), "20");
}
