//! What becomes of each kind of connection when its master is one no longer: shared and lent, calling and
//! waiting, listening and caching (I2, I6). The former master goes on as a master for some ten seconds, or is
//! frozen: it does nothing about it. FAULTS 28, 31.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::Outcome;
use redwire::cache::CacheOptions;
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use crate::common::pool::Pool;
use crate::common::{Client, LIMIT, Setup, TellOnDrop, named_clients, runtime, stood_still_since, words};
use crate::discovery::pair;
use crate::failover::{FAILOVER, each};
use crate::fake::{FakeSentinel, View, url};

both!(
    what_one_connection_finds_out_moves_all,
    a_promoted_replica_is_followed_once_it_is_named,
    what_connects_meanwhile_goes_to_the_new_master,
    what_a_sentinel_knew_before_it_was_listened_to_is_followed,
    the_sentinel_that_told_of_the_master_is_listened_to,
);

/// Half of the time that those have who wait at a former master.
const AT_ONCE: Duration = Duration::from_millis(250);

/// FAULTS 28: back within a second, and from then on no write goes to the former master.
#[test]
fn writes_go_to_the_new_master_within_a_second_and_no_more_to_the_old_one() {
    each(|setup, set| {
        let client = setup.client(&set.url(), "client_name=writer&timeout=5s");
        let (stop, count) = (AtomicBool::new(false), AtomicI64::new(0));
        let old = &set.nodes()[set.master_index()];
        let written = || old.command(&["GET", "n"]).unwrap();
        thread::scope(|scope| {
            let _ends = TellOnDrop(&stop);
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let done = client.run::<i64>("INCR n").is_ok();
                        count.fetch_add(done.into(), Ordering::Relaxed);
                    }
                });
            }
            let counts = |more: i64| {
                let before = count.load(Ordering::Relaxed);
                eventually("they count", LIMIT, || count.load(Ordering::Relaxed) > before + more);
            };
            counts(100);
            let switch = set.failover();
            eventually("the former master is left", LIMIT, || named_clients(old, "writer") == 0);
            counts(1);
            let took = switch.at.elapsed().saturating_sub(stood_still_since(switch.at));
            assert!(took < Duration::from_secs(1), "{setup:?}: {took:?}");
            let last = written();
            counts(200);
            assert!(old.command(&["ROLE"]).unwrap().starts_with("master"), "it is none too soon");
            assert_eq!(written(), last);
        });
    });
}

/// The former master is frozen: calls are cut off as soon as there is another, and those that wait there a
/// little later.
#[test]
fn calls_are_cut_off_at_once_and_those_that_wait_a_little_later() {
    each(|setup, set| {
        let client = setup.client(&set.url(), "timeout=60s&retries=0&health_check_interval=60s");
        let pool = Pool::of(&client);
        let mut lease = pool.get().unwrap();
        lease.run::<()>("SET k v").unwrap();
        let mut busy = pool.get().unwrap();
        let old = &set.nodes()[set.master_index()];
        thread::scope(|scope| {
            let ends = |line: &'static str| {
                let client = &client;
                move || (client.run::<Option<i64>>(line).unwrap_err(), Instant::now())
            };
            let waiting = scope.spawn(ends("BLPOP list 30"));
            eventually("it waits", LIMIT, || old.stat("blocked_clients") == 1);
            // This leaves a connection that the next call has at once.
            client.run::<()>("SET k w").unwrap();
            let events = set.switch_events();
            old.freeze();
            let calling = scope.spawn(ends("INCR n"));
            let lent = scope.spawn(move || (busy.run::<Option<i64>>("INCR n").unwrap_err(), Instant::now()));
            let switch = events.wait(FAILOVER);
            for call in [calling, lent] {
                let (error, end) = call.join().unwrap();
                let took = end.saturating_duration_since(switch.at);
                assert!(took < AT_ONCE + stood_still_since(switch.at), "{setup:?}: {took:?} {error}");
                assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
                assert!(error.to_string().contains("another master"), "{error}");
            }
            let (error, end) = waiting.join().unwrap();
            let took = end.saturating_duration_since(switch.at);
            assert!(took > AT_ONCE, "{setup:?}: {took:?} {error}");
            assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
            assert!(error.to_string().contains("another master"), "{error}");
        });
        // One that is lent and idle is ended, too, and made anew when its user says so.
        let error = lease.run::<i64>("INCR n").unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        lease.reconnect().unwrap();
        lease.run::<i64>("INCR n").unwrap();
        old.thaw();
    });
}

/// The sentinel that leads a failover names the new master before it publishes that there is one. FAULTS 118.
fn a_promoted_replica_is_followed_once_it_is_named(setup: Setup) {
    let (old, new) = pair();
    new.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    for (named, expected) in [(&old, &old), (&new, &new)] {
        // Asked for more, it tells of the former one until all is done.
        let view = View { promoted: Some((new.addr(), named.addr())), ..View::of(old.addr()) };
        let sentinel = FakeSentinel::telling(view);
        let client = setup.client(&url(&[sentinel.addr()]), "timeout=10s&retries=20");
        eventually("it is asked", LIMIT, || sentinel.asked_for_address() > 0);
        // It is done, and nothing is published about that.
        sentinel.tell(View { epoch: 2, ..View::of(named.addr()) });
        let count =
            |server: &Server| server.command(&["INCRBY", "n", "0"]).unwrap().replace("(integer) ", "");
        eventually("it is followed", LIMIT, || {
            let before = count(expected);
            // One under way is cut off.
            client.run::<i64>("INCR n").is_ok() && count(expected) != before
        });
        let before = count(expected);
        client.run::<i64>("INCR n").unwrap();
        assert_ne!(count(expected), before);
    }
}

/// Sentinels name another master while the first connections to the former one are being made.
fn what_connects_meanwhile_goes_to_the_new_master(setup: Setup) {
    let (old, new) = pair();
    new.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    let slow = Proxy::start(old.addr());
    let pause = Duration::from_millis(400);
    slow.set(Direction::ToClient, Fault::Delay { min: pause, max: pause });
    let view = View { promoted: Some((new.addr(), new.addr())), ..View::of(slow.addr()) };
    let connects: [fn(Setup, &str); 2] = [
        |setup, url| {
            setup.client(url, "").run::<i64>("INCR n").unwrap();
        },
        |setup, url| {
            Pool::of(&setup.lazy(url, "").unwrap()).get().unwrap().run::<i64>("INCR n").unwrap();
        },
    ];
    for (place, connect) in connects.into_iter().enumerate() {
        let sentinel = FakeSentinel::telling(view.clone());
        connect(setup, &url(&[sentinel.addr()]));
        assert_eq!(new.command(&["GET", "n"]).unwrap(), (place + 1).to_string());
    }
}

/// The one that is asked first knows less, and each is listened to.
fn what_a_sentinel_knew_before_it_was_listened_to_is_followed(setup: Setup) {
    let (old, new) = pair();
    new.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    let telling = |master: &Server, epoch| {
        FakeSentinel::telling(View { publishes: true, epoch, ..View::of(master.addr()) })
    };
    let (behind, ahead) = (telling(&old, 1), telling(&new, 2));
    let client = setup.client(&url(&[behind.addr(), ahead.addr()]), "timeout=10s&retries=20");
    eventually("the one that knows more is believed", LIMIT, || {
        // One under way is cut off.
        client.run::<i64>("INCR n").ok();
        new.command(&["GET", "n"]).is_ok_and(|n| n.parse::<i64>().is_ok())
    });
}

/// The configuration names only one that dies, which has told of it.
fn the_sentinel_that_told_of_the_master_is_listened_to(setup: Setup) {
    let (old, new) = pair();
    new.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    let told = View { promoted: Some((new.addr(), new.addr())), ..View::of(old.addr()) };
    let told = FakeSentinel::telling(told);
    let named = FakeSentinel::telling(View { sentinels: vec![told.addr()], ..View::of(old.addr()) });
    let proxy = Proxy::start(named.addr());
    let client = setup.client(&url(&[proxy.addr()]), "timeout=10s&retries=20");
    client.run::<i64>("INCR n").unwrap();
    assert_eq!(old.command(&["GET", "n"]).unwrap(), "1");
    proxy.set(Direction::ToClient, Fault::Refuse);
    proxy.cut_all();
    kill_clients_that_last_ran(&old, "incr");
    eventually("the other publishes another master", LIMIT, || {
        client.run::<i64>("INCR n").ok();
        new.command(&["GET", "n"]).is_ok_and(|n| n.parse::<i64>().is_ok())
    });
}

/// One is lost, asks, and finds another master. The sentinels say nothing by themselves, and the former
/// master lives.
fn what_one_connection_finds_out_moves_all(setup: Setup) {
    let (old, new) = pair();
    let sentinel = FakeSentinel::telling(View::of(old.addr()));
    let client = setup.client(&url(&[sentinel.addr()]), "client_name=member&timeout=10s&retries=20");
    let pool = Pool::of(&client);
    let mut lease = pool.get().unwrap();
    assert_eq!(lease.run::<i64>("INCR n").unwrap(), 1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.run::<Option<i64>>("BLPOP list 30"));
        eventually("it waits", LIMIT, || old.stat("blocked_clients") == 1);
        assert_eq!(client.run::<i64>("INCR n").unwrap(), 2);
        lease.id();
        eventually("the replica has it", LIMIT, || new.command(&["GET", "n"]).unwrap() == "2");
        new.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
        sentinel.tell(View { epoch: 2, ..View::of(new.addr()) });
        // Neither the lent one, nor the one that waits.
        kill_clients_that_last_ran(&old, "incr");
        eventually("it goes on at the new master", LIMIT, || client.run::<i64>("INCR n").is_ok());
        assert_ne!(new.command(&["GET", "n"]).unwrap(), "2");
        let error = waiting.join().unwrap().unwrap_err();
        assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
    });
    assert_eq!(lease.run::<i64>("INCR n").unwrap_err().outcome(), Outcome::NotSent);
    eventually("the former master is left", LIMIT, || named_clients(&old, "member") == 0);
}

fn kill_clients_that_last_ran(server: &Server, command: &str) {
    let list = server.command(&["CLIENT", "LIST"]).unwrap();
    let lines: Vec<_> = list.lines().filter(|line| line.contains(&format!(" cmd={command} "))).collect();
    assert_eq!(lines.len(), 1, "{list}");
    let id = lines[0].split(' ').find_map(|word| word.strip_prefix("id=")).unwrap();
    server.command(&["CLIENT", "KILL", "ID", id]).unwrap();
}

/// No server announces changes of the new master's data over a connection to the former one.
#[test]
fn a_cache_serves_what_the_new_master_has() {
    each(|setup, set| {
        let client = setup.client(&set.url(), "timeout=5s&retries=20");
        client.run::<()>("SET k old").unwrap();
        let get = cache(&client);
        assert_eq!(get(), "old");
        let switch = set.failover();
        let master = set.nodes().iter().find(|node| node.address() == switch.to).unwrap();
        master.command(&["SET", "k", "new"]).unwrap();
        // The former master becomes a replica after ten seconds, and then has what the new one has.
        eventually("the new value is served", Duration::from_secs(5), || get() == "new");
        master.command(&["SET", "k", "newer"]).unwrap();
        eventually("the newer value is served", Duration::from_secs(2), || get() == "newer");
    });
}

/// Reads `k` by a client-side cache.
fn cache(client: &Client) -> Box<dyn Fn() -> String + '_> {
    let read = || words::<String>("GET k");
    match client {
        Client::Tokio(client) => {
            let cache = runtime().block_on(client.cached(CacheOptions::default())).unwrap();
            Box::new(move || runtime().block_on(cache.execute(read())).unwrap_or_default())
        }
        Client::Blocking(client) => {
            let cache = client.cached(CacheOptions::default()).unwrap();
            Box::new(move || cache.execute(read()).unwrap_or_default())
        }
    }
}

/// One for all its connections, and none for a client that is gone.
#[test]
fn a_client_listens_once_to_each_sentinel() {
    each(|setup, set| {
        let client = setup.client(&set.url(), "client_name=listener&timeout=5s");
        let get = cache(&client);
        let pool = Pool::of(&client);
        let leases = [pool.get().unwrap(), pool.get().unwrap()];
        client.run::<()>("SET k v").unwrap();
        assert_eq!(get(), "v");
        let listening = || -> Vec<usize> {
            let subscribed = |sentinel: &Server| {
                let list = sentinel.command(&["CLIENT", "LIST"]).unwrap();
                let is_ours = |line: &&str| line.contains(" name=listener ") && line.contains(" sub=5 ");
                list.lines().filter(is_ours).count()
            };
            set.sentinels().iter().map(subscribed).collect()
        };
        eventually("each is listened to", LIMIT, || listening() == [1, 1, 1]);
        set.failover();
        eventually("it goes on", LIMIT, || client.run::<()>("SET k w").is_ok() && get() == "w");
        assert_eq!(listening(), [1, 1, 1]);
        drop((leases, get));
        pool.close(Duration::from_secs(1));
        eventually("none is listened to", LIMIT, || listening() == [0, 0, 0]);
        client.close();
    });
}
