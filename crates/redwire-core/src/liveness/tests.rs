//! Liveness: what ticks find, in time, late, and across connections.

use super::Verdict::{Ask, Dead, Doubt, Fine};
use super::*;

const INTERVAL: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_secs(1);

fn connected() -> (Liveness, Instant) {
    let (mut liveness, now) = (Liveness::new(Some(INTERVAL)), Instant::now());
    assert_eq!(liveness.poll_timeout(), None);
    liveness.handle_connected(now);
    (liveness, now)
}

/// The verdicts of ticks in time, each with the progress at it.
fn verdicts(liveness: &mut Liveness, progress: &[u64]) -> Vec<Verdict> {
    let tick = |&progress: &u64| {
        let now = liveness.poll_timeout().expect("a connection");
        liveness.handle_timeout(now, progress)
    };
    progress.iter().map(tick).collect()
}

#[test]
fn silence_is_asked_once_and_then_death() {
    let table: [(&[u64], &[Verdict]); 6] = [
        (&[5, 5, 5, 5], &[Fine, Ask, Doubt, Dead]),
        (&[5, 6, 6, 6, 6], &[Fine, Fine, Ask, Doubt, Dead]),
        // Idle and alive: the answer comes before the next tick.
        (&[5, 5, 6, 6, 7, 7, 8], &[Fine, Ask, Fine, Ask, Fine, Ask, Fine]),
        // The answer takes nearly an interval.
        (&[5, 5, 5, 6, 6], &[Fine, Ask, Doubt, Fine, Ask]),
        (&[1, 2, 3, 4, 5], &[Fine; 5]),
        // A counter that wraps differs, too.
        (&[u64::MAX, 0, 0], &[Fine, Fine, Ask]),
    ];
    for (progress, expected) in table {
        let (mut liveness, _) = connected();
        assert_eq!(verdicts(&mut liveness, progress), expected, "{progress:?}");
    }
}

#[test]
fn a_dead_peer_is_found_within_two_intervals() {
    for last_byte in [0, 1, 300, 999, 1_000, 1_001, 2_345].map(Duration::from_millis) {
        let (mut liveness, start) = connected();
        let died = start + last_byte;
        let found = loop {
            let now = liveness.poll_timeout().expect("a connection");
            // Until it dies, something comes all the time.
            let progress = now.min(died).duration_since(start).as_millis() as u64;
            if liveness.handle_timeout(now, progress) == Dead {
                break now;
            }
        };
        let after = found.duration_since(died);
        assert!(after > INTERVAL && after <= INTERVAL * 2, "{after:?} after its last byte");
    }
}

#[test]
fn a_suspended_process_keeps_its_connections() {
    for ticks_before in 0..4 {
        let (mut liveness, start) = connected();
        let before = verdicts(&mut liveness, &vec![5; ticks_before]);
        if before.contains(&Dead) {
            continue;
        }
        let woken = start + Duration::from_secs(3_600);
        assert_ne!(liveness.handle_timeout(woken, 5), Dead, "after {ticks_before} ticks");
        assert_eq!(liveness.poll_timeout(), Some(woken + TICK));
        assert_eq!(liveness.handle_timeout(woken, 5), Fine, "only one tick has passed");
        // What waited in the kernel was read by the next tick.
        assert_eq!(verdicts(&mut liveness, &[6]), [Fine]);
    }
}

#[test]
fn a_dead_peer_is_found_after_a_suspension_too() {
    let (mut liveness, start) = connected();
    assert_eq!(verdicts(&mut liveness, &[5, 5, 5]), [Fine, Ask, Doubt]);
    assert_eq!(liveness.handle_timeout(start + Duration::from_secs(3_600), 5), Doubt);
    assert_eq!(verdicts(&mut liveness, &[5]), [Dead]);
}

#[test]
fn a_little_late_is_in_time() {
    let (mut liveness, now) = connected();
    assert_eq!(verdicts(&mut liveness, &[5, 5, 5]), [Fine, Ask, Doubt]);
    assert_eq!(liveness.handle_timeout(now + TICK * 4 + TICK / 2, 5), Dead);
}

#[test]
fn each_connection_starts_anew() {
    let (mut liveness, now) = connected();
    assert_eq!(verdicts(&mut liveness, &[5, 5, 5]), [Fine, Ask, Doubt]);
    liveness.handle_lost();
    assert_eq!(liveness.poll_timeout(), None);
    assert_eq!(liveness.handle_timeout(now + INTERVAL * 9, 5), Fine);
    liveness.handle_connected(now + INTERVAL * 10);
    assert_eq!(verdicts(&mut liveness, &[5, 5, 5, 5]), [Fine, Ask, Doubt, Dead]);
}

#[test]
fn without_an_interval_nothing_is_asked() {
    for interval in [None, Some(Duration::ZERO), Some(Duration::MAX)] {
        let mut liveness = Liveness::new(interval);
        let now = Instant::now();
        liveness.handle_connected(now);
        assert_eq!(liveness.poll_timeout(), None, "{interval:?}");
        assert_eq!(liveness.handle_timeout(now + INTERVAL, 5), Fine);
    }
}

/// A caller has more time, or the server lives elsewhere: it is given more, and is overdue all the same.
#[test]
fn more_time_makes_nothing_younger() {
    let (mut liveness, _) = connected();
    let mut overdue = Vec::new();
    for (progress, more) in [(5, false), (5, false), (5, true), (5, true), (5, true), (6, false), (6, false)]
    {
        let now = liveness.poll_timeout().expect("a connection");
        assert_ne!(liveness.handle_timeout(now, progress), Dead);
        if more {
            liveness.handle_alive();
        }
        overdue.push(liveness.is_overdue());
    }
    assert_eq!(overdue, [false, false, false, true, true, false, false]);
}
