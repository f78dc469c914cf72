//! Which caller does what, and that none is forgotten.

use std::time::Duration;

use redwire_resp::Limits;

use super::*;
use crate::inbound::Inbound;
use crate::link::QueueLimits;

const BYTES: &[u8] = b"0123456789";

fn combiner() -> Combiner<u32> {
    Combiner::new(Link::new(QueueLimits { commands: 1000, bytes: 1 << 20 }, None))
}

fn submit(combiner: &mut Combiner<u32>, waiter: u32, deadline: Option<Instant>) -> Ticket {
    combiner.submit(1, BYTES.len(), true, |outbox| outbox.copy(BYTES), waiter, deadline).unwrap()
}

fn woken(combiner: &mut Combiner<u32>) -> Vec<u32> {
    let mut woken = Vec::new();
    combiner.poll_woken(&mut woken);
    woken
}

/// Does what a writer does, when the kernel takes everything.
fn write_all(combiner: &mut Combiner<u32>) {
    let mut outbox = Outbox::default();
    combiner.poll_transmit(&mut outbox);
    combiner.handle_written(outbox.len(), Ok(()));
}

/// Submits and writes; the ticket is back from whatever duty came next.
fn send(combiner: &mut Combiner<u32>, waiter: u32, deadline: Option<Instant>) -> Ticket {
    let ticket = submit(combiner, waiter, deadline);
    let Duty::Write(ticket) = combiner.poll_duty(ticket) else { panic!("no caller writes") };
    write_all(combiner);
    ticket
}

fn read(combiner: &mut Combiner<u32>, bytes: &[u8]) {
    let mut inbound = Inbound::new(64, Limits::default());
    let mut frames = Frames::default();
    inbound.spare().extend_from_slice(bytes);
    assert!(inbound.poll_frames(&mut frames).unwrap());
    combiner.handle_read(Ok(Some(&mut frames)));
}

fn reads(duty: Duty) -> Ticket {
    if let Duty::Read(ticket) = duty { ticket } else { panic!("reads not: {duty:?}") }
}

fn waits(duty: Duty) -> Ticket {
    if let Duty::Wait(ticket) = duty { ticket } else { panic!("waits not: {duty:?}") }
}

fn done(duty: Duty) -> Result<Replies, Error> {
    if let Duty::Done(result) = duty { result } else { panic!("not done: {duty:?}") }
}

#[test]
fn one_writes_and_one_reads_for_all() {
    let mut combiner = combiner();
    let first = submit(&mut combiner, 1, None);
    let Duty::Write(first) = combiner.poll_duty(first) else { panic!("no caller writes") };
    // Come while the first writes: one reads, the others have nothing to do.
    let second = submit(&mut combiner, 2, None);
    let second = reads(combiner.poll_duty(second));
    let third = submit(&mut combiner, 3, None);
    let third = waits(combiner.poll_duty(third));
    let mut outbox = Outbox::default();
    combiner.poll_transmit(&mut outbox);
    assert_eq!(outbox.len(), 3 * BYTES.len());
    combiner.handle_written(outbox.len(), Ok(()));
    let first = waits(combiner.poll_duty(first));
    read(&mut combiner, b":1\r\n:2\r\n:3\r\n");
    for (value, ticket) in [(1, first), (2, second), (3, third)] {
        assert_eq!(done(combiner.poll_duty(ticket)).unwrap().read::<i64>().unwrap(), value);
    }
    assert_eq!(woken(&mut combiner), [1, 2, 3]);
    assert!(matches!(combiner.poll_end(), Some(CombinerEnd::Idle(3))));
}

#[test]
fn a_reader_that_has_its_reply_calls_the_oldest() {
    let mut combiner = combiner();
    let first = send(&mut combiner, 1, None);
    let first = reads(combiner.poll_duty(first));
    let second = send(&mut combiner, 2, None);
    let second = waits(combiner.poll_duty(second));
    let third = send(&mut combiner, 3, None);
    let third = waits(combiner.poll_duty(third));
    read(&mut combiner, b":1\r\n");
    done(combiner.poll_duty(first)).unwrap();
    assert_eq!(woken(&mut combiner), [1, 2]);
    assert!(combiner.poll_end().is_none(), "two still wait");
    let second = reads(combiner.poll_duty(second));
    let third = waits(combiner.poll_duty(third));
    read(&mut combiner, b":2\r\n:3\r\n");
    done(combiner.poll_duty(second)).unwrap();
    done(combiner.poll_duty(third)).unwrap();
}

#[test]
fn a_reader_that_is_late_hands_over() {
    let mut combiner = combiner();
    let now = Instant::now();
    let first = send(&mut combiner, 1, Some(now));
    let first = reads(combiner.poll_duty(first));
    let second = send(&mut combiner, 2, Some(now + Duration::from_secs(1)));
    let second = waits(combiner.poll_duty(second));
    combiner.handle_read(Ok(None));
    combiner.handle_timeout(now);
    assert!(done(combiner.poll_duty(first)).unwrap_err().is_timeout());
    assert!(woken(&mut combiner).contains(&2));
    assert!(combiner.poll_end().is_none());
    // Whether the stream is in step is asked first; then the reply that no caller waits for is swallowed.
    let Duty::Write(second) = combiner.poll_duty(second) else { panic!("no caller asks") };
    write_all(&mut combiner);
    let second = reads(combiner.poll_duty(second));
    read(&mut combiner, b":1\r\n:2\r\n");
    assert_eq!(done(combiner.poll_duty(second)).unwrap().read::<i64>().unwrap(), 2);
    assert!(
        matches!(combiner.poll_end(), Some(CombinerEnd::Forsaken)),
        "the answer to the question is missing"
    );
}

#[test]
fn one_that_waits_in_vain_leaves_the_reader_alone() {
    let mut combiner = combiner();
    let now = Instant::now();
    let first = send(&mut combiner, 1, None);
    let first = reads(combiner.poll_duty(first));
    let second = send(&mut combiner, 2, Some(now));
    let second = waits(combiner.poll_duty(second));
    combiner.handle_timeout(now);
    assert!(done(combiner.poll_duty(second)).unwrap_err().is_timeout());
    assert!(combiner.poll_end().is_none(), "a caller reads");
    read(&mut combiner, b":1\r\n");
    done(combiner.poll_duty(first)).unwrap();
    assert!(matches!(combiner.poll_end(), Some(CombinerEnd::Forsaken)));
    // Nothing of that is left for callers that come later, on another connection.
    let third = send(&mut combiner, 3, None);
    let third = reads(combiner.poll_duty(third));
    read(&mut combiner, b":3\r\n");
    assert_eq!(done(combiner.poll_duty(third)).unwrap().read::<i64>().unwrap(), 3);
}

#[test]
fn a_writer_that_cannot_write_all_calls_for_a_reader() {
    let mut combiner = combiner();
    let first = send(&mut combiner, 1, None);
    let first = reads(combiner.poll_duty(first));
    let second = submit(&mut combiner, 2, None);
    let Duty::Write(second) = combiner.poll_duty(second) else { panic!("no caller writes") };
    let third = submit(&mut combiner, 3, None);
    let third = waits(combiner.poll_duty(third));
    read(&mut combiner, b":1\r\n");
    done(combiner.poll_duty(first)).unwrap();
    assert_eq!(woken(&mut combiner), [1, 2, 3], "those of them that do not write read");
    let mut outbox = Outbox::default();
    combiner.poll_transmit(&mut outbox);
    combiner.handle_written(outbox.len() - 1, Ok(()));
    let Duty::Write(_) = combiner.poll_duty(second) else { panic!("the rest is forgotten") };
    assert!(woken(&mut combiner).contains(&3));
    let _third = reads(combiner.poll_duty(third));
}

#[test]
fn what_was_sent_is_known_before_a_caller_is_told_of_a_loss() {
    let mut combiner = combiner();
    let first = send(&mut combiner, 1, None);
    let first = reads(combiner.poll_duty(first));
    let second = submit(&mut combiner, 2, None);
    let Duty::Write(second) = combiner.poll_duty(second) else { panic!("no caller writes") };
    let third = submit(&mut combiner, 3, None);
    let third = waits(combiner.poll_duty(third));
    let mut outbox = Outbox::default();
    combiner.poll_transmit(&mut outbox);
    combiner.handle_read(Err(Error::closed_by_peer(Outcome::MaybeExecuted)));
    assert!(combiner.has_failed());
    let first = waits(combiner.poll_duty(first));
    assert!(woken(&mut combiner).is_empty() && combiner.poll_end().is_none(), "the writer is not back");
    combiner.handle_written(BYTES.len(), Ok(()));
    assert_eq!(woken(&mut combiner), [1, 2, 3]);
    let outcomes =
        [first, second, third].map(|ticket| done(combiner.poll_duty(ticket)).unwrap_err().outcome());
    assert_eq!(outcomes, [Outcome::MaybeExecuted, Outcome::MaybeExecuted, Outcome::NotSent]);
    assert!(matches!(combiner.poll_end(), Some(CombinerEnd::Lost(_))));
    assert!(!combiner.has_failed());
}

/// The reader sleeps in the kernel and does not hear when it is called: its own request would never be
/// written.
#[test]
fn a_caller_that_goes_writes_first_if_only_the_reader_is_left() {
    let mut combiner = combiner();
    let first = submit(&mut combiner, 1, None);
    let Duty::Write(first) = combiner.poll_duty(first) else { panic!("no caller writes") };
    let mut outbox = Outbox::default();
    combiner.poll_transmit(&mut outbox);
    // Comes too late for this write, and finds that no caller reads.
    let second = submit(&mut combiner, 2, None);
    let second = reads(combiner.poll_duty(second));
    read(&mut combiner, b":1\r\n");
    let second = reads(combiner.poll_duty(second));
    combiner.handle_written(outbox.len(), Ok(()));
    let Duty::Write(first) = combiner.poll_duty(first) else { panic!("the second is forgotten") };
    write_all(&mut combiner);
    assert_eq!(done(combiner.poll_duty(first)).unwrap().read::<i64>().unwrap(), 1);
    read(&mut combiner, b":2\r\n");
    assert_eq!(done(combiner.poll_duty(second)).unwrap().read::<i64>().unwrap(), 2);
}

#[test]
fn a_thread_that_reads_for_good_leaves_callers_only_to_write() {
    let mut combiner = combiner();
    combiner.handle_resident();
    let first = send(&mut combiner, 1, None);
    let first = waits(combiner.poll_duty(first));
    assert!(!combiner.poll_writer());
    combiner.handle_read(Ok(None));
    let second = submit(&mut combiner, 2, None);
    // No caller does it in time.
    assert!(combiner.poll_writer() && !combiner.poll_writer());
    write_all(&mut combiner);
    let second = waits(combiner.poll_duty(second));
    read(&mut combiner, b":1\r\n:2\r\n");
    assert_eq!(woken(&mut combiner), [1, 2]);
    for (value, ticket) in [(1, first), (2, second)] {
        assert_eq!(done(combiner.poll_duty(ticket)).unwrap().read::<i64>().unwrap(), value);
    }
    assert!(combiner.poll_end().is_none(), "it is still read");
    let third = send(&mut combiner, 3, None);
    combiner.handle_read(Err(Error::closed_by_peer(Outcome::MaybeExecuted)));
    assert!(done(combiner.poll_duty(third)).is_err());
    assert!(matches!(combiner.poll_end(), Some(CombinerEnd::Lost(_))));
}
