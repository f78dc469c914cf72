//! Streams under faults: workers that are killed lose no entry of their group, and reads that wait hold up
//! no others, end when they should, and leave no client waiting. FAULTS 13, 14.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::commands::{Entry, StreamId, StreamsRead, XgroupOptions, XreadOptions, XreadgroupOptions};
use redwire::prelude::*;
use redwire::{Cmd, Reply, Result, Run};
use redwire_testkit::{Server, eventually};

use crate::common::{
    Client, Driver, GRACE, LIMIT, Setup, TellOnDrop, kill_named, runtime, stood_still_since, timed,
};

both!(
    no_entry_is_lost_when_workers_are_killed,
    a_read_waits_for_as_long_as_it_says,
    a_read_that_waits_for_ever_outlasts_many_health_checks,
    a_read_that_waits_on_a_frozen_server_ends,
    a_thousand_gets_end_beside_fifty_waits,
);

/// A client of either driver, as the families want it.
#[derive(Clone, Copy)]
struct On<'c>(&'c Client);

impl Run for On<'_> {
    type Out<R: Reply> = Result<R>;

    fn run<R: Reply>(self, cmd: Cmd<R>) -> Result<R> {
        self.0.execute(cmd)
    }
}

type Fields = BTreeMap<String, u64>;

/// How many entries there are to be worked on.
const JOBS: u64 = 300;

/// What is pending for longer belongs to a consumer that is gone.
const PATIENCE: Duration = Duration::from_millis(100);

fn no_entry_is_lost_when_workers_are_killed(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    On(&client).xgroup_create("jobs", "workers", StreamId::MIN, XgroupOptions::new().mkstream()).unwrap();
    let done = Mutex::new(BTreeSet::new());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = TellOnDrop(&over);
        for number in 0..3 {
            let (server, done, over) = (&server, &done, &over);
            scope.spawn(move || {
                let client = setup.lazy(&server.url(), "client_name=worker").unwrap();
                while !over.load(Ordering::Relaxed) {
                    // A consumer that is cut off goes on: what it got and did not finish is pending, for it
                    // or for who claims it.
                    let _ = work(&client, &format!("worker {number}"), done);
                }
            });
        }
        for job in 1..=JOBS {
            On(&client).xadd("jobs", ("job", job)).unwrap();
        }
        let (mut killed, mut rounds) = (0, 0);
        eventually("all is done", 3 * LIMIT, || {
            // No mercy for a while, and then some.
            if rounds < 100 {
                killed += kill_named(&server, "worker");
                rounds += 1;
                return false;
            }
            On(&client).xpending("jobs", "workers").unwrap().count == 0
                && done.lock().unwrap().len() as u64 == JOBS
        });
        over.store(true, Ordering::Relaxed);
        assert!(killed > 10, "{killed} connections were killed");
    });
    assert_eq!(*done.lock().unwrap(), (1..=JOBS).collect());
    let group = &On(&client).xinfo_groups("jobs").unwrap()[0];
    assert_eq!((group.pending, On(&client).xlen("jobs").unwrap()), (0, JOBS));
}

/// Takes over what others left, or takes what is new, and does it.
fn work(client: &Client, name: &str, done: &Mutex<BTreeSet<u64>>) -> Result<()> {
    let client = On(client);
    let left = client.xautoclaim::<Fields>("jobs", "workers", name, PATIENCE, StreamId::MIN, 10)?;
    finish(client, left.entries, done)?;
    let options = XreadgroupOptions::new().count(5).block(Duration::from_millis(20));
    let new = client.xreadgroup::<String, Fields>("workers", name, options, "jobs", StreamId::UNDELIVERED)?;
    for (_, entries) in new.unwrap_or_default() {
        finish(client, entries, done)?;
    }
    Ok(())
}

/// First it is done and then acknowledged: the other way round, what is cut off in between is lost.
fn finish(client: On<'_>, entries: Vec<Entry<Fields>>, done: &Mutex<BTreeSet<u64>>) -> Result<()> {
    for entry in entries {
        thread::sleep(Duration::from_millis(1));
        done.lock().unwrap().insert(entry.fields["job"]);
        client.xack("jobs", "workers", entry.id)?;
    }
    Ok(())
}

fn read(client: &Client, wait: Duration) -> Result<Option<StreamsRead<String, Fields>>> {
    On(client).xread(XreadOptions::new().block(wait), "log", StreamId::LATEST)
}

fn read_group(client: &Client, wait: Duration) -> Result<Option<StreamsRead<String, Fields>>> {
    On(client).xreadgroup("g", "c", XreadgroupOptions::new().block(wait), "log", StreamId::UNDELIVERED)
}

/// A server with a group, and a client that waits for 200 ms at most, besides what the server is asked to
/// wait.
fn waiting(setup: Setup) -> (Server, Client) {
    let server = Server::start();
    let client = setup.client(&server.url(), "health_check_interval=200ms&timeout=200ms&connect_timeout=10s");
    On(&client).xgroup_create("log", "g", StreamId::LATEST, XgroupOptions::new().mkstream()).unwrap();
    (server, client)
}

fn blocked(server: &Server) -> i64 {
    server.stat("blocked_clients")
}

/// Longer than the timeout of the client, which is on top.
fn a_read_waits_for_as_long_as_it_says(setup: Setup) {
    let (_server, client) = waiting(setup);
    let wait = Duration::from_millis(500);
    for reads in [read, read_group] {
        let begun = Instant::now();
        let (nothing, took) = timed(|| reads(&client, wait));
        assert_eq!(nothing.unwrap(), None);
        // The server looks for the end of such waits ten times a second.
        let late = took.saturating_sub(wait);
        assert!(took >= wait && late <= Duration::from_millis(300) + stood_still_since(begun), "{took:?}");
    }
}

fn a_read_that_waits_for_ever_outlasts_many_health_checks(setup: Setup) {
    let (server, client) = waiting(setup);
    thread::scope(|scope| {
        let reads = [read, read_group].map(|reads| {
            let client = &client;
            scope.spawn(move || reads(client, Duration::ZERO))
        });
        eventually("both wait", LIMIT, || blocked(&server) == 2);
        // Five intervals: that nothing happens can only be seen in time.
        thread::sleep(Duration::from_secs(1));
        assert_eq!(blocked(&server), 2);
        let id = On(&client).xadd("log", ("n", 7)).unwrap();
        for read in reads {
            let read = read.join().unwrap().unwrap().expect("an entry");
            assert_eq!((read[0].0.as_str(), read[0].1[0].id, read[0].1[0].fields["n"]), ("log", id, 7));
        }
    });
    assert_eq!(On(&client).xpending("log", "g").unwrap().count, 1, "delivered, and not acknowledged yet");
}

fn a_read_that_waits_on_a_frozen_server_ends(setup: Setup) {
    let (server, client) = waiting(setup);
    thread::scope(|scope| {
        let begun = Instant::now();
        let waits = scope.spawn(|| timed(|| read_group(&client, Duration::from_millis(500))));
        eventually("it waits", LIMIT, || blocked(&server) == 1);
        server.freeze();
        let (result, took) = waits.join().unwrap();
        assert!(result.is_err(), "{result:?}");
        let slack = GRACE + stood_still_since(begun);
        assert!(took < Duration::from_millis(700) + slack, "{took:?}");
    });
    server.thaw();
    eventually("no client waits", LIMIT, || blocked(&server) == 0);
    On(&client).xadd("log", ("n", 1)).unwrap();
    assert_eq!(On(&client).xpending("log", "g").unwrap().count, 0, "it was delivered to no consumer");
}

/// Commands that wait have connections of their own: who would be behind one of them would wait for ever.
fn a_thousand_gets_end_beside_fifty_waits(setup: Setup) {
    const WAITS: usize = 50;
    let server = Server::start();
    let client = setup.client(&server.url(), "max_connections=60");
    client.run::<()>("SET k v").unwrap();
    thread::scope(|scope| {
        let waits: Vec<_> = (0..WAITS)
            .map(|number| {
                let client = &client;
                scope.spawn(move || {
                    On(client).blpop::<String, usize>(format!("list {number}"), Duration::ZERO)
                })
            })
            .collect();
        eventually("all wait", LIMIT, || blocked(&server) == WAITS as i64);
        for _ in 0..1000 {
            assert_eq!(client.run::<String>("GET k").unwrap(), "v");
        }
        assert_eq!(blocked(&server), WAITS as i64, "all of that went on beside them");
        for (number, wait) in waits.into_iter().enumerate() {
            let list = format!("list {number}");
            On(&client).rpush(&list, number).unwrap();
            assert_eq!(wait.join().unwrap().unwrap(), Some((list, number)));
        }
    });
}

/// A reader that is dropped is gone from the server at once, and nothing is delivered to it any more.
#[test]
fn a_read_that_is_dropped_leaves_no_ghost() {
    let setup = Setup { driver: Driver::Tokio, protocol: 3 };
    let (server, client) = waiting(setup);
    let Client::Tokio(reader) = client.clone() else { panic!("the async client was asked for") };
    for _ in 0..10 {
        let reader = reader.clone();
        let waits = runtime().spawn(async move {
            let forever = XreadgroupOptions::new().block(Duration::ZERO);
            reader.xreadgroup::<String, Fields>("g", "c", forever, "log", StreamId::UNDELIVERED).await
        });
        eventually("it waits", LIMIT, || blocked(&server) == 1);
        waits.abort();
        let dropped = Instant::now();
        eventually("it is dropped", LIMIT, || waits.is_finished());
        eventually("no client waits", LIMIT, || {
            server.client_list().iter().all(|client| !client["cmd"].starts_with("xreadgroup"))
        });
        let (took, slack) = (dropped.elapsed(), GRACE + stood_still_since(dropped));
        assert!(took < Duration::from_millis(100) + slack, "{took:?}");
        On(&client).xadd("log", ("n", 1)).unwrap();
        assert_eq!(On(&client).xpending("log", "g").unwrap().count, 0, "it was delivered to no consumer");
        let all = read_group(&client, Duration::ZERO).unwrap().expect("the entry");
        assert_eq!(all[0].1.len(), 1);
        On(&client).xack("log", "g", all[0].1[0].id).unwrap();
    }
}
