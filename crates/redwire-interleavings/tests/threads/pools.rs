//! Callers that wait for a place.

use std::time::Duration;

use redwire::explored::sleep;
use redwire::{Run as _, cmd};
use redwire_interleavings::{Peer, explore, is_calm};

use crate::{check_idle, config, join, pool, spawn, spawn_each};

/// Gives back what it borrowed in one of four ways.
fn use_and_give_back(pool: &redwire::blocking::Pool, way: usize) -> redwire::Result<()> {
    let mut lease = pool.get()?;
    match way {
        // As it is.
        0 => lease.run(cmd("PING"))?,
        // Closed.
        1 => lease.discard(),
        // Taken out of the pool.
        2 => drop(lease.detach()),
        // With a reply outstanding, so that no other may have it.
        _ => {
            let call = cmd::<()>("ECHO").arg("held").timeout(Duration::from_millis(5));
            assert!(lease.run(call).is_err_and(|error| error.is_timeout()));
        }
    }
    Ok(())
}

#[test]
fn every_place_goes_on_to_the_next() {
    for places in [1, 2] {
        explore(&format!("every_place_goes_on_to_the_next ({places})"), 3000, move || {
            let peer = Peer::default();
            let pool = pool(config(&peer).max_connections(places));
            let callers = spawn_each(&pool, 0..4, |pool, way| {
                [way, (way + 1) % 4].map(|way| use_and_give_back(&pool, way))
            });
            let results = join(callers).into_iter().flatten();
            let failed: Vec<_> = results.filter_map(Result::err).collect();
            assert!(failed.is_empty() || !is_calm(), "{failed:?}");
            check_idle(|| pool.stats());
        });
    }
}

#[test]
fn a_place_is_handed_to_a_caller_that_gives_up() {
    for places in [1, 2] {
        explore(&format!("a_place_is_handed_to_a_caller_that_gives_up ({places})"), 3000, move || {
            let peer = Peer::default();
            let pool = pool(config(&peer).max_connections(places));
            join(spawn_each(&pool, 0..4, |pool, caller| {
                match pool.get_within(Duration::from_millis(10 * caller)) {
                    Ok(_lease) => sleep(Duration::from_millis(10)),
                    Err(error) => drop(error),
                }
            }));
            let waiter = pool.get();
            assert!(waiter.is_ok() || !is_calm(), "{waiter:?}");
            drop(waiter);
            check_idle(|| pool.stats());
        });
    }
}

#[test]
fn closing_a_pool_ends_all_waits() {
    explore("closing_a_pool_ends_all_waits", 4500, || {
        let peer = Peer::default();
        let pool = pool(config(&peer).max_connections(1));
        let callers = spawn_each(&pool, 0..3, |pool, _| {
            if let Ok(mut lease) = pool.get() {
                assert!(lease.run(cmd::<()>("ECHO").arg("held")).is_err(), "no reply was sent");
            }
        });
        let limit = Duration::from_millis(10);
        let closer = spawn_each(&pool, [limit], |pool, limit| pool.close(limit));
        pool.close(limit);
        join(callers);
        join(closer);
        check_idle(|| pool.stats());
    });
}

#[test]
fn closing_waits_for_what_is_in_use() {
    explore("closing_waits_for_what_is_in_use", 4500, || {
        let peer = Peer::default();
        let pool = pool(config(&peer).max_connections(2));
        let leases: Vec<_> = (0..2).filter_map(|_| pool.get().ok()).collect();
        let callers = leases.into_iter().map(|mut lease| {
            spawn(move || {
                let answer = lease.run(cmd::<()>("PING"));
                assert!(answer.is_ok(), "{answer:?}");
            })
        });
        let callers: Vec<_> = callers.collect();
        // Without limit: it returns when the last place is back.
        assert_eq!(pool.close(Duration::MAX), 0, "none was cut off");
        join(callers);
        check_idle(|| pool.stats());
    });
}
