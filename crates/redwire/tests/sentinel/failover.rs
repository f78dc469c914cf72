//! A master that is replaced, on purpose, killed or frozen, under load: service returns at the new one,
//! nothing is executed twice, and no client goes on with the old one (I2, I6). FAULTS 28, 31.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::{Outcome, Value};
use redwire_testkit::{SentinelSet, eventually};

use crate::common::{Client, Driver, Setup, TellOnDrop, named_clients, words};

/// What sentinels need, by their own settings, on a busy machine.
pub(crate) const FAILOVER: Duration = Duration::from_secs(30);

const WORKERS: usize = 4;

/// What workers saw who count up, each a key of its own.
#[derive(Default)]
struct Account {
    stop: AtomicBool,
    acknowledged: [AtomicI64; WORKERS],
    maybe: [AtomicI64; WORKERS],
}

impl Account {
    fn count(&self, client: &Client, worker: usize) {
        while !self.stop.load(Ordering::Relaxed) {
            match client
                .execute(words::<i64>(&format!("INCR worker:{worker}")).timeout(Duration::from_secs(1)))
            {
                Ok(_) => self.acknowledged[worker].fetch_add(1, Ordering::Relaxed),
                Err(error) if error.outcome() == Outcome::MaybeExecuted => {
                    self.maybe[worker].fetch_add(1, Ordering::Relaxed)
                }
                Err(_) => 0,
            };
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// A server may lose what it acknowledged, since replicas follow after the fact; nothing may be counted
    /// twice.
    fn check(&self, client: &Client) {
        for worker in 0..WORKERS {
            let counted =
                client.run::<Option<i64>>(&format!("GET worker:{worker}")).unwrap().unwrap_or_default();
            let acknowledged = self.acknowledged[worker].load(Ordering::Relaxed);
            let maybe = self.maybe[worker].load(Ordering::Relaxed);
            assert!(acknowledged > 0, "worker {worker} did nothing");
            assert!(
                counted <= acknowledged + maybe,
                "{worker}: {counted} of {acknowledged}, maybe {maybe} more"
            );
        }
    }
}

/// Runs `replace` under load, which says which node was master.
fn under_load(setup: Setup, set: &SentinelSet, replace: impl FnOnce() -> usize) {
    let client = setup.client(&set.url(), "client_name=counter&timeout=5s");
    let account = Account::default();
    thread::scope(|scope| {
        let _ends = TellOnDrop(&account.stop);
        for worker in 0..WORKERS {
            let (account, client) = (&account, &client);
            scope.spawn(move || account.count(client, worker));
        }
        let total = || account.acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).sum::<i64>();
        eventually("they count", FAILOVER, || total() > 50);
        let old = replace();
        let begin = Instant::now();
        eventually("there is another master", FAILOVER, || set.master_index() != old);
        let before = total();
        eventually("they count again", FAILOVER, || total() > before + 50);
        let master = &set.nodes()[set.master_index()];
        eventually("they count at the new master", FAILOVER, || {
            master.command(&["ROLE"]).is_ok_and(|role| role.starts_with("master"))
                && named_clients(master, "counter") > 0
        });
        assert!(begin.elapsed() < FAILOVER);
    });
    account.check(&client);
}

pub(crate) fn each(scenario: impl Fn(Setup, &SentinelSet)) {
    // One set for both drivers: the servers' part is the same, and takes its time.
    for setup in [Setup::ALL[0], Setup { driver: Driver::Blocking, protocol: 2 }] {
        let set = SentinelSet::start();
        scenario(setup, &set);
    }
}

#[test]
fn a_failover_on_purpose_is_followed() {
    each(|setup, set| {
        under_load(setup, set, || {
            let old = set.master_index();
            set.failover();
            old
        });
        let old = (0..set.nodes().len()).find(|node| *node != set.master_index()).unwrap();
        eventually("the former master is left", FAILOVER, || {
            named_clients(&set.nodes()[old], "counter") == 0
        });
    });
}

#[test]
fn a_master_that_is_killed_is_replaced() {
    each(|setup, set| {
        under_load(setup, set, || {
            let old = set.master_index();
            set.nodes()[old].kill();
            old
        });
    });
}

/// It comes back after it was replaced, and thinks that it is the master.
#[test]
fn a_master_that_is_frozen_is_replaced_and_not_gone_back_to() {
    each(|setup, set| {
        let frozen = std::cell::Cell::new(0);
        under_load(setup, set, || {
            let old = set.master_index();
            set.nodes()[old].freeze();
            frozen.set(old);
            old
        });
        let old = &set.nodes()[frozen.get()];
        old.thaw();
        eventually("the former master is left", FAILOVER, || named_clients(old, "counter") == 0);
    });
}

/// No read fails, and the replica that takes over is left to those that write.
#[test]
fn readers_follow_the_replicas() {
    each(|setup, set| {
        let reader = setup.client(&set.url(), "read_from=replica&client_name=reader&timeout=10s&retries=20");
        let read = || drop(reader.run::<Option<String>>("GET counter:0").unwrap());
        let old = set.master_index();
        let readers = |node: usize| {
            (0..20).for_each(|_| read());
            named_clients(&set.nodes()[node], "reader")
        };
        let replicas = |master: usize| (0..set.nodes().len()).filter(move |node| *node != master);
        eventually("all are read from", FAILOVER, || replicas(old).all(|node| readers(node) > 0));
        assert_eq!(readers(old), 0);
        set.failover();
        let master = set.master_index();
        eventually("the new master is left", FAILOVER, || master != old && readers(master) == 0);
        let still = replicas(master).find(|node| *node != old).unwrap();
        assert!(readers(still) > 0);
    });
}

/// A call that waits at the master when it is demoted is sent away by it, and waits at the next.
#[test]
fn calls_that_wait_move_over() {
    each(|setup, set| {
        let client = setup.client(&set.url(), "timeout=5s&retries=20");
        thread::scope(|scope| {
            let wait = scope.spawn(|| client.run::<Option<(String, String)>>("BLPOP list 60"));
            let old = set.master_index();
            eventually("it waits", FAILOVER, || set.nodes()[old].stat("blocked_clients") == 1);
            let switch = set.failover();
            // The sentinels would do so themselves, some ten seconds later.
            set.rejoin(old);
            let master = set.nodes().iter().find(|node| node.address() == switch.to).unwrap();
            eventually("it waits at the next", FAILOVER, || master.stat("blocked_clients") == 1);
            master.command(&["RPUSH", "list", "x"]).unwrap();
            assert_eq!(wait.join().unwrap().unwrap(), Some(("list".to_owned(), "x".to_owned())));
        });
        assert!(client.run::<Value>("PING").is_ok());
    });
}
