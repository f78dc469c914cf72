//! Calls that share a connection: they take turns at driving it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redwire::cmd;
use redwire::explored::sleep;
use redwire_interleavings::{Peer, explore, is_calm, pick};

use crate::{check_idle, client, config, echo, join, spawn_each};

/// As many callers as there are connections share one.
const CONNECTIONS: usize = 2;

#[test]
fn every_caller_gets_its_own_reply() {
    let together = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&together);
    explore("every_caller_gets_its_own_reply", 9000, move || {
        let peer = Peer::default();
        let client = client(config(&peer).max_connections(CONNECTIONS));
        let callers = spawn_each(&client, 0..3, |client, caller| {
            (0..3).try_for_each(|round| echo(&client, &format!("{caller} {round}")))
        });
        let results = join(callers);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        check_idle(|| client.stats());
        seen.fetch_add(peer.together(), Ordering::Relaxed);
    });
    assert!(together.load(Ordering::Relaxed) > 1000, "hardly any calls went together: {together:?}");
}

#[test]
fn a_caller_leaves_at_its_deadline_and_another_drives() {
    explore("a_caller_leaves_at_its_deadline_and_another_drives", 9000, || {
        let peer = Peer::default();
        let client = client(config(&peer).max_connections(CONNECTIONS));
        let short = spawn_each(&client, 0..2, |client, caller| {
            let word = format!("held {caller}");
            let call = cmd::<String>("ECHO").arg(&word).timeout(Duration::from_millis(50));
            match client.execute(call) {
                Ok(heard) => assert_eq!(heard, word),
                Err(error) => assert!(error.is_timeout(), "{error}"),
            }
        });
        let long = spawn_each(&client, 0..2, |client, caller| {
            let results = [echo(&client, &format!("held, too {caller}")), echo(&client, "at once")];
            assert!(results.iter().all(Result::is_ok), "{results:?}");
        });
        sleep(Duration::from_millis(100));
        peer.release();
        join(short);
        join(long);
        assert!(echo(&client, "afterwards").is_ok());
        check_idle(|| client.stats());
    });
}

#[test]
fn closing_ends_all_calls() {
    explore("closing_ends_all_calls", 9000, || {
        let peer = Peer::default();
        let client = client(config(&peer).max_connections(CONNECTIONS));
        let callers = spawn_each(&client, 0..3, |client, caller| {
            assert!(echo(&client, &format!("held {caller}")).is_err(), "no reply was sent");
        });
        sleep(Duration::from_millis([0, 1][pick(2)]));
        client.close(Duration::from_millis([0, 10][pick(2)]));
        join(callers);
        assert!(echo(&client, "afterwards").is_err());
        check_idle(|| client.stats());
    });
}

#[test]
fn a_lost_connection_ends_all_waits() {
    explore("a_lost_connection_ends_all_waits", 9000, || {
        let peer = Peer::default();
        let client = client(config(&peer).max_connections(CONNECTIONS));
        let callers = spawn_each(&client, 0..3, |client, caller| {
            [0, 1].map(|round| echo(&client, &format!("{caller} {round}")))
        });
        sleep(Duration::ZERO);
        peer.hang_up();
        for error in join(callers).into_iter().flatten().filter_map(Result::err) {
            assert!(!is_calm(), "what only reads is tried again: {error}");
        }
        assert!(echo(&client, "afterwards").is_ok());
        check_idle(|| client.stats());
    });
}

#[test]
fn deadlines_all_hold_while_the_server_is_silent() {
    explore("deadlines_all_hold_while_the_server_is_silent", 6000, || {
        let peer = Peer::default();
        let limit = Duration::from_millis(50);
        let client = client(config(&peer).max_connections(CONNECTIONS).timeout(limit));
        join(spawn_each(&client, 0..4, |client, caller| {
            let error = echo(&client, &format!("held {caller}")).expect_err("no reply was sent");
            assert!(error.is_timeout() || !is_calm(), "{error}");
        }));
        check_idle(|| client.stats());
        peer.release();
        let afterwards = echo(&client, "afterwards");
        assert!(afterwards.is_ok() || !is_calm(), "{afterwards:?}");
    });
}
