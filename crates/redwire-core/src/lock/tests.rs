//! Locks without servers and clocks: one step at a time, and random histories of many holders.

use std::time::Instant;

use super::*;
use crate::error::{ConnectionFault, Result};

mod model;

const MS: Duration = Duration::from_millis(1);

fn options() -> LockOptions {
    LockOptions { ttl: 300 * MS, retry_interval: 100 * MS, ..LockOptions::new("l") }
}

fn claim(name: &str) -> Claim {
    Claim::new(name.as_bytes(), "t".into(), "a".into())
}

fn acquire(options: &LockOptions, timeout: u32, now: Instant) -> Acquire {
    Acquire::new(options, claim("l"), Some(timeout * MS), now)
}

fn lost_reply() -> Error {
    Error::new(ErrorKind::Connection(ConnectionFault::Reset), Outcome::MaybeExecuted, "gone")
}

/// The words of what is asked, without the script, and how long that may take.
fn asked(step: AcquireStep) -> (String, Option<Duration>) {
    let AcquireStep::Ask(cmd) = step else { panic!("a question was due, not {step:?}") };
    let words = cmd.words();
    ([&words[..1], &words[2..]].concat().join(" "), cmd.options().timeout)
}

fn listened(step: AcquireStep) -> (String, Option<Duration>) {
    let AcquireStep::Listen(cmd) = step else { panic!("listening was due, not {step:?}") };
    (cmd.words().join(" "), cmd.options().timeout)
}

fn paused(step: AcquireStep) -> Duration {
    let AcquireStep::Pause(pause) = step else { panic!("a pause was due, not {step:?}") };
    pause
}

#[test]
fn a_waiter_listens_no_longer_than_the_others_lock_and_its_own_time() {
    let now = Instant::now();
    let mut lock = acquire(&options(), 50, now);
    let question = "EVALSHA 5 l {l}:fence {l}:wake {l}:released:t {l}:attempt t 300 a";
    assert_eq!(asked(lock.poll_step(now, 0, true)), (question.into(), Some(50 * MS)));
    assert!(lock.leaves_traces());
    assert!(lock.handle_answer(Ok((false, 20_000)), now).unwrap().is_none());
    assert!(!lock.leaves_traces(), "the server said no");
    assert_eq!(listened(lock.poll_step(now, 0, true)), ("BLPOP {l}:wake 0.1".into(), Some(50 * MS)));
    assert!(lock.leaves_traces(), "a wake-up may be on its way");
    lock.handle_heard(true);
    let mut turn = |at: u32, left, may_listen| {
        asked(lock.poll_step(now + at * MS, 0, true));
        lock.handle_answer(Ok((false, left)), now + at * MS).unwrap();
        let step = lock.poll_step(now + at * MS, u64::MAX, may_listen);
        if may_listen {
            lock.handle_heard(true);
        }
        step
    };
    assert_eq!(listened(turn(100, 40, true)).0, "BLPOP {l}:wake 0.041", "then the other's lock has run out");
    assert_eq!(listened(turn(150, -1, true)).0, "BLPOP {l}:wake 0.1", "it has no end");
    assert_eq!(listened(turn(270, 40_000, true)), ("BLPOP {l}:wake 0.03".into(), Some(50 * MS)));
    assert_eq!(paused(turn(270, 40_000, false)), 30 * MS, "without a connection to listen on");
    assert_eq!(asked(lock.poll_step(now + 310 * MS, 0, true)).1, Some(40 * MS), "the end is near");
    let error = lock.handle_answer(Ok((false, 40_000)), now + 310 * MS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lock(LockFault::NotAcquired));
    assert!(error.is_retryable() && !lock.leaves_traces());
}

#[test]
fn a_waiter_that_cannot_be_woken_asks_once_a_second_at_least() {
    let now = Instant::now();
    let patient = LockOptions { retry_interval: Duration::MAX, wait: LockWait::Forever, ..options() };
    let mut lock = acquire(&patient, 50, now);
    asked(lock.poll_step(now, 0, true));
    lock.handle_answer(Ok((false, -1)), now).unwrap();
    assert_eq!(listened(lock.poll_step(now, 0, true)).0, "BLPOP {l}:wake 3600");
    lock.handle_heard(false);
    assert_eq!(paused(lock.poll_step(now, u64::MAX, true)), 1_000 * MS);
    asked(lock.poll_step(now, 0, true));
    lock.handle_answer(Ok((false, -1)), now).unwrap();
    assert_eq!(paused(lock.poll_step(now, 0, false)), 500 * MS);
    asked(lock.poll_step(now, 0, true));
    lock.handle_answer(Err(lost_reply()), now).unwrap();
    assert_eq!(paused(lock.poll_step(now, u64::MAX, true)), 1_000 * MS);
}

#[test]
fn one_that_does_not_wait_has_the_time_of_a_call() {
    let now = Instant::now();
    let mut lock = acquire(&options().at_once(), 50, now);
    assert_eq!(asked(lock.poll_step(now, 0, true)).1, Some(50 * MS));
    let error = lock.handle_answer(Ok((false, 1)), now + MS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lock(LockFault::NotAcquired));
    let forever = LockOptions { wait: LockWait::Forever, ..options() };
    let mut lock = acquire(&forever, 50, now);
    let late = now + 1_000_000 * MS;
    assert_eq!(asked(lock.poll_step(late, 0, true)).1, Some(50 * MS));
    assert!(lock.handle_answer(Ok((false, 1)), late).is_ok());
}

#[test]
fn a_lost_reply_is_asked_for_again_and_remembered() {
    let now = Instant::now();
    let mut lock = acquire(&options(), 50, now);
    asked(lock.poll_step(now, 0, true));
    assert!(lock.handle_answer(Err(lost_reply()), now).unwrap().is_none());
    assert!(lock.leaves_traces());
    assert_eq!(paused(lock.poll_step(now, 0, true)), 50 * MS, "not all at once, and no waiter listens there");
    asked(lock.poll_step(now + 50 * MS, 0, true));
    // What was lost may yet arrive.
    lock.handle_answer(Ok((false, 10)), now + 60 * MS).unwrap();
    assert!(lock.leaves_traces());
    lock.poll_step(now + 60 * MS, 0, true);
    lock.handle_heard(false);
    assert_eq!(paused(lock.poll_step(now + 60 * MS, u64::MAX, true)), 100 * MS, "what cannot listen, sleeps");
    asked(lock.poll_step(now + 70 * MS, 0, true));
    let (fence, hold) = lock.handle_answer(Ok((true, 7)), now + 80 * MS).unwrap().unwrap();
    assert_eq!((fence, hold.until()), (7, Some(now + 370 * MS)), "counted from before it was sent");
    assert!(!lock.leaves_traces());
}

#[test]
fn what_time_will_not_mend_is_told_at_once_and_the_rest_when_time_is_up() {
    let now = Instant::now();
    let mut lock = acquire(&options(), 50, now);
    asked(lock.poll_step(now, 0, true));
    let wrong = Error::from_server(b"WRONGTYPE Operation against a key");
    assert_eq!(lock.handle_answer(Err(wrong), now).unwrap_err().code(), Some("WRONGTYPE"));
    assert!(!lock.leaves_traces());
    let mut lock = acquire(&options(), 50, now);
    asked(lock.poll_step(now + 200 * MS, 0, true));
    let error = lock.handle_answer(Err(lost_reply()), now + 200 * MS).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Connection(_)) && lock.leaves_traces());
}

#[test]
fn an_answer_that_took_longer_than_the_lock_lasts_gives_no_lock() {
    let now = Instant::now();
    let mut lock = acquire(&LockOptions { wait: LockWait::Forever, ..options() }, 1_000, now);
    asked(lock.poll_step(now, 0, true));
    assert!(lock.handle_answer(Ok((true, 1)), now + 300 * MS).unwrap().is_none());
    assert!(lock.leaves_traces());
    paused(lock.poll_step(now + 300 * MS, 0, true));
    asked(lock.poll_step(now + 350 * MS, 0, true));
    assert!(lock.handle_answer(Ok((true, 1)), now + 351 * MS).unwrap().is_some());
}

fn hold(auto_extend: bool, now: Instant) -> Hold {
    Hold::new(claim("l"), 300 * MS, auto_extend, now, Some(300 * MS))
}

/// The extension that is due, and how long it may take.
fn extension(keep: HoldStep) -> (Extension, Option<Duration>) {
    let HoldStep::Extend(cmd, extension) = keep else { panic!("an extension was due, not {keep:?}") };
    assert_eq!(cmd.words()[2..].join(" "), "2 l {l}:attempt t 300");
    (extension, cmd.options().timeout)
}

fn waiting(keep: HoldStep) -> Option<Instant> {
    let HoldStep::LockWait(until) = keep else { panic!("there was nothing to do but {keep:?}") };
    until
}

#[test]
fn an_extension_is_due_after_a_third_and_again_after_a_failure() {
    let now = Instant::now();
    let mut hold = hold(true, now);
    assert_eq!(waiting(hold.poll_keep(now, None)), Some(now + 100 * MS));
    let (sent, limit) = extension(hold.poll_keep(now + 100 * MS, Some(5_000 * MS)));
    assert_eq!(limit, Some(100 * MS), "so that there is time for another");
    hold.handle_extended(sent, Err(lost_reply()), now + 200 * MS).unwrap_err();
    assert_eq!(waiting(hold.poll_keep(now + 200 * MS, None)), Some(now + 225 * MS));
    let (sent, limit) = extension(hold.poll_keep(now + 225 * MS, None));
    assert_eq!(limit, Some(75 * MS), "no longer than the lock lasts");
    hold.handle_extended(sent, Ok(true), now + 230 * MS).unwrap();
    assert_eq!(hold.until(), Some(now + 525 * MS), "counted from before it was sent");
    assert_eq!(waiting(hold.poll_keep(now + 230 * MS, None)), Some(now + 325 * MS));
    let (sent, _) = extension(hold.poll_keep(now + 325 * MS, None));
    let error = hold.handle_extended(sent, Ok(false), now + 330 * MS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lock(LockFault::NotOwned));
    assert!(hold.is_lost(now + 330 * MS) && matches!(hold.poll_keep(now + 330 * MS, None), HoldStep::Stop));
}

#[test]
fn what_was_told_lost_stays_so() {
    let now = Instant::now();
    let mut hold = hold(false, now);
    assert_eq!(waiting(hold.poll_keep(now, None)), Some(now + 300 * MS));
    let (_, sent) = hold.extend(300 * MS, now + 200 * MS).unwrap();
    assert!(!hold.is_lost(now + 299 * MS) && hold.is_lost(now + 300 * MS));
    let error = hold.handle_extended(sent, Ok(true), now + 301 * MS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lock(LockFault::Lost));
    assert!(hold.extend(300 * MS, now + 301 * MS).is_err());
    assert!(matches!(hold.poll_keep(now + 301 * MS, None), HoldStep::Stop));
}

#[test]
fn a_confirmation_that_comes_late_counts_where_no_holder_was_told() {
    let now = Instant::now();
    let mut hold = hold(false, now);
    let (_, sent) = hold.extend(300 * MS, now + 200 * MS).unwrap();
    hold.handle_extended(sent, Ok(true), now + 350 * MS).unwrap();
    assert!(!hold.is_lost(now + 499 * MS) && hold.is_lost(now + 500 * MS));
}

#[test]
fn an_extension_never_shortens() {
    let now = Instant::now();
    let mut hold = hold(false, now);
    let (_, sent) = hold.extend(10 * MS, now).unwrap();
    hold.handle_extended(sent, Ok(true), now).unwrap();
    assert_eq!(hold.until(), Some(now + 300 * MS));
}

#[test]
fn a_lock_that_is_found_lasts_as_long_as_it_did() {
    let (now, claim) = (Instant::now(), claim("l"));
    let found = |found| Hold::found(&options(), claim.clone(), found, now);
    let (fence, hold) = found(Some((5, 120))).unwrap();
    assert_eq!((fence, hold.until()), (5, Some(now + 120 * MS)));
    let (_, mut endless) = found(Some((0, -1))).unwrap();
    assert!(endless.until().is_none() && !endless.is_lost(now + 1_000_000 * MS));
    assert_eq!(found(None).unwrap_err().kind(), ErrorKind::Lock(LockFault::NotOwned));
    endless.handle_found(false);
    assert!(endless.is_lost(now));
}

#[test]
fn all_keys_lie_in_the_slot_of_the_name() {
    for (name, beside) in
        [("l", "{l}:wake"), ("{a}l", "{a}l:wake"), ("a{b", "{a{b}:wake"), ("a}b", "a}b:wake")]
    {
        let cmd = claim(name).listen(MS);
        assert_eq!(cmd.words()[1], beside);
    }
}

#[test]
fn half_of_the_connections_are_left_to_others() {
    assert_eq!(
        [(0, 50), (24, 50), (25, 50), (0, 1), (1, 2)].map(|(used, max)| may_listen(used, max)),
        [true, true, false, true, false]
    );
}
