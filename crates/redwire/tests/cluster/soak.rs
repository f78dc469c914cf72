//! A drill in the small: callers count while slots move and replicas take over, and every count is right in
//! the end (I2, I6).

use std::time::{Duration, Instant};

use redwire_testkit::{ClusterSet, eventually};

use crate::account::Account;
use crate::common::{LIMIT, Setup};

each!(counts_are_right_while_slots_move_and_replicas_take_over);

/// Nothing is lost by either: a primary that is asked to step down waits until its replica has everything.
fn counts_are_right_while_slots_move_and_replicas_take_over(setup: Setup) {
    const ROUNDS: usize = 4;
    // No replica is to take over unasked because the machine stands still: slots that just moved would be
    // lost with their keys.
    let set = ClusterSet::builder().arg("cluster-replica-no-failover", "yes").start();
    let client = setup.client(&set.url(), "");
    let keys: Vec<_> = (0..24).map(|n| format!("count:{n}")).collect();
    let account = Account::new(keys.clone());
    let (begin, mut slowest) = (Instant::now(), Duration::ZERO);
    account.during(&client, 8, Duration::from_millis(1), || {
        eventually("they count", LIMIT, || account.done() > 200);
        for round in 0..ROUNDS {
            for key in keys.iter().skip(round * 6).take(6) {
                let slot = redwire_testkit::slot(key);
                let primaries = set.primaries();
                let from = set.owner(slot);
                let to = primaries.iter().copied().find(|node| *node != from).unwrap();
                set.move_slot(slot, to);
            }
            // A replica takes over what it has heard that its primary has, no more.
            set.wait_settled();
            let primary = set.primaries()[round % 3];
            set.failover(set.replica_of(primary));
            slowest = slowest.max(account.wait_for_all(LIMIT));
            set.wait_settled();
        }
    });
    let (failed, list) = account.failed();
    println!(
        "{setup:?}: {} calls in {:?}, all within {slowest:?} after each failover; {failed} failed\n{list}",
        account.done(),
        begin.elapsed()
    );
    account.check(&client, true);
}
