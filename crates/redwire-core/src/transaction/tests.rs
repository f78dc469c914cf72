//! Transactions: what is sent, what the replies mean, and what is tried again.

use bytes::Bytes;

use super::*;
use crate::inbound::{Frames, Inbound};
use crate::link::{Link, QueueLimits};
use crate::pipeline::Slot;
use crate::reply::Value;
use crate::run::Run;

fn queue<R: crate::Reply>(pipeline: &Pipeline, line: &str) -> Slot<R> {
    let mut words = line.split(' ');
    let first = Cmd::new(words.next().unwrap_or_default());
    pipeline.run(words.fold(first, Cmd::arg))
}

fn two() -> Atomic<(Slot<i64>, Slot<Option<String>>)> {
    Atomic::record(|p| (queue(p, "INCR n"), queue(p, "GET k")))
}

/// The replies in `stream`, as a link gives them out when they arrive `step` bytes at a time.
fn replies(call: &impl Call, stream: &[u8], step: usize) -> Replies {
    let mut link = Link::new(QueueLimits { commands: 10, bytes: 1 << 20 }, None);
    let write = |outbox: &mut Outbox| call.write(outbox);
    let ticket = link.submit(call.count(), call.size(), call.is_whole(), write, (), None).unwrap();
    let (mut outbox, mut frames) = (Outbox::default(), Frames::default());
    link.poll_transmit(&mut outbox);
    let mut inbound = Inbound::new(64, redwire_resp::Limits::default());
    for piece in stream.chunks(step) {
        inbound.spare().extend_from_slice(piece);
        if inbound.poll_frames(&mut frames).unwrap() {
            link.handle_frames(&mut frames).unwrap();
        }
    }
    link.poll_reply(ticket, |()| {}).expect("all replies have come").unwrap()
}

#[test]
fn it_goes_out_whole_and_announces_its_size() {
    let call = two();
    let mut outbox = Outbox::default();
    call.write(&mut outbox);
    let lines: Vec<_> = ["MULTI", "INCR n", "GET k", "EXEC"]
        .iter()
        .flat_map(|line| {
            let mut words = line.split(' ');
            let first = Cmd::<()>::new(words.next().unwrap());
            words.fold(first, Cmd::arg).to_bytes()
        })
        .collect();
    assert_eq!(outbox.to_bytes(), lines);
    assert_eq!((call.count(), call.size()), (4, lines.len()));
    assert_eq!(Atomic::record(|_| ()).count(), 0, "nothing to be executed is not sent");
    assert_eq!(Atomic::record_watched(|_| ()).count(), 2, "but for what it tells of watched keys");
}

#[test]
fn values_come_out_of_the_reply_to_exec_however_it_arrived() {
    let stream = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:7\r\n$5\r\nhello\r\n";
    for step in 1..=stream.len() {
        let mut call = two();
        let replies = replies(&call, stream, step);
        assert_eq!(call.read(replies).unwrap(), (7, Some("hello".to_owned())), "in steps of {step}");
    }
}

#[test]
fn lists_in_lists_are_no_commands_of_their_own() {
    let stream = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*2\r\n$1\r\na\r\n*-1\r\n_\r\n";
    let mut call = Atomic::record(|p| {
        (queue::<(String, Option<String>)>(p, "LRANGE l 0 1"), queue::<Option<i64>>(p, "GET k"))
    });
    let replies = replies(&call, stream, 7);
    assert_eq!(call.read(replies).unwrap(), (("a".to_owned(), None), None));
}

#[test]
fn the_first_error_in_exec_is_raised_unless_its_slot_takes_it() {
    let stream = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n-ERR no integer\r\n$1\r\nv\r\n";
    let mut call = two();
    let error = call.read(replies(&call, stream, 9)).unwrap_err();
    assert_eq!(
        (error.command(), error.code(), error.outcome()),
        (Some("INCR"), Some("ERR"), Outcome::Rejected)
    );
    assert!(error.to_string().contains("command 1 of 2 in the transaction"), "{error}");
    assert!(!call.is_single(), "the other command was executed");
    let mut call = Atomic::record(|p| (queue::<i64>(p, "INCR n").attempt(), queue::<String>(p, "GET k")));
    let (failed, value) = call.read(replies(&call, stream, 9)).unwrap();
    assert_eq!((failed.unwrap_err().code(), value.as_str()), (Some("ERR"), "v"));
}

#[test]
fn a_command_that_is_not_queued_is_named_and_nothing_was_executed() {
    let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    let stream = format!("+OK\r\n+QUEUED\r\n-LOADING it loads\r\n{aborted}");
    let mut call =
        Atomic::record(|p| (queue::<i64>(p, "INCR n").attempt(), queue::<Value>(p, "GET k").attempt()));
    let error = call.read(replies(&call, stream.as_bytes(), 11)).unwrap_err();
    assert_eq!(
        (error.command(), error.code(), error.outcome()),
        (Some("GET"), Some("LOADING"), Outcome::Rejected)
    );
    let message = "nothing was executed: command 2 of 2 in the transaction: LOADING it loads";
    assert_eq!(error.message(), message);
    assert!(call.is_single(), "it may be tried again as a whole");
    let well = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n$1\r\nv\r\n";
    call.read(replies(&call, well, 100)).unwrap().0.unwrap();
}

#[test]
fn exec_that_is_refused_executes_nothing() {
    let stream = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n-EXECABORT Transaction discarded because of: READONLY\r\n";
    let mut call = two();
    let error = call.read(replies(&call, stream, 100)).unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Some("EXECABORT"), Outcome::Rejected));
    assert!(call.is_single() && error.message().contains("nothing was executed"), "{error}");
}

#[test]
fn without_multi_it_is_told_what_may_have_run() {
    let stream = b"-NOPERM no\r\n:1\r\n$1\r\nv\r\n-ERR EXEC without MULTI\r\n";
    let mut call = two();
    let error = call.read(replies(&call, stream, 100)).unwrap_err();
    assert_eq!((error.command(), error.outcome()), (Some("MULTI"), Outcome::MaybeExecuted), "{error}");
    let refused = b"-NOAUTH no\r\n-NOAUTH no\r\n-NOAUTH no\r\n-NOAUTH no\r\n";
    let error = call.read(replies(&call, refused, 100)).unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Some("NOAUTH"), Outcome::Rejected), "{error}");
}

#[test]
fn nil_is_an_abort_on_either_protocol() {
    for nil in ["*-1\r\n", "_\r\n"] {
        let mut call = two();
        let stream = format!("+OK\r\n+QUEUED\r\n+QUEUED\r\n{nil}");
        let error = call.read(replies(&call, stream.as_bytes(), 8)).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Aborted, Outcome::Rejected));
        assert!(error.is_retryable(), "{error}");
    }
}

#[test]
fn a_list_of_another_length_is_not_taken_for_the_replies() {
    let mut call = two();
    let error = call.read(replies(&call, b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*1\r\n:1\r\n", 100)).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Protocol, Outcome::Unreadable));
}

#[test]
fn half_of_it_is_not_sent() {
    let call = two();
    for (sent, outcome) in [(call.size() - 1, Outcome::NotSent), (call.size(), Outcome::MaybeExecuted)] {
        let mut link = Link::new(QueueLimits { commands: 10, bytes: 1 << 20 }, None);
        let write = |outbox: &mut Outbox| call.write(outbox);
        let ticket = link.submit(call.count(), call.size(), call.is_whole(), write, (), None).unwrap();
        link.poll_transmit(&mut Outbox::default());
        link.handle_sent(sent);
        link.handle_lost(&Error::closed_by_peer(Outcome::MaybeExecuted));
        let error = link.poll_reply(ticket, |()| {}).expect("it failed").unwrap_err();
        assert_eq!(error.outcome(), outcome, "{sent} of {} bytes", call.size());
    }
}

#[test]
fn a_connection_is_clean_once_exec_was_answered() {
    let table: [(&[u8], bool); 6] = [
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n-ERR x\r\n:1\r\n", false),
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*-1\r\n", false),
        (b"+OK\r\n+QUEUED\r\n-ERR x\r\n-EXECABORT y\r\n", false),
        // A slot that began to move in between.
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n-TRYAGAIN Multiple keys request during rehashing of slot\r\n", false),
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n-MOVED 1 h:2\r\n", false),
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n-ERR unknown command 'EXEC'\r\n", true),
    ];
    for (stream, stuck) in table {
        let mut session_state = SessionState::new(0);
        session_state.handle_command(&facts::WATCH);
        check_start(&session_state, true).unwrap();
        handle_replies(&mut session_state, &replies(&two(), stream, 100));
        assert_eq!(
            (session_state.in_transaction(), session_state.is_bound()),
            (stuck, stuck),
            "{}",
            stream.escape_ascii()
        );
        assert_eq!(check_start(&session_state, false).is_err(), stuck);
    }
}

#[test]
fn exec_goes_only_where_the_keys_are_watched() {
    let error = check_start(&SessionState::new(0), true).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Aborted, Outcome::NotSent));
    check_start(&SessionState::new(0), false).unwrap();
    for line in ["MULTI", "EXEC", "UNWATCH", "WATCH", "SELECT", "RESET", "SUBSCRIBE"] {
        assert_eq!(check_command(&Cmd::<()>::new(line)).unwrap_err().kind(), ErrorKind::Usage, "{line}");
    }
    check_command(&Cmd::<()>::new("GET")).unwrap();
}

#[test]
fn a_lost_connection_is_an_abort_where_nothing_may_have_run() {
    let config = Config::builder().build().unwrap();
    let lost = Error::closed_by_peer;
    let (get, incr) = (Cmd::<Value>::new("GET").arg("k"), Cmd::<Value>::new("INCR").arg("k"));
    let harmless = incr.clone().idempotent();
    let table = [
        (lost(Outcome::NotSent), &incr, Some(Outcome::NotSent)),
        (lost(Outcome::MaybeExecuted), &get, Some(Outcome::NotSent)),
        (lost(Outcome::MaybeExecuted), &harmless, Some(Outcome::MaybeExecuted)),
        (lost(Outcome::MaybeExecuted), &incr, None),
        (Error::timeout(Outcome::NotSent), &get, None),
        (Error::from_server(b"LOADING"), &get, None),
    ];
    for (error, call, aborts) in table {
        let told = interrupted(error.clone(), call, &config);
        assert_eq!(told.kind() == ErrorKind::Aborted, aborts.is_some(), "{error}");
        assert_eq!(told.outcome(), aborts.unwrap_or_else(|| error.outcome()));
    }
    let bold = Config::builder().idempotent(true).build().unwrap();
    assert_eq!(interrupted(lost(Outcome::MaybeExecuted), &incr, &bold).kind(), ErrorKind::Aborted);
}

#[test]
fn a_call_ends_no_later_than_its_transaction() {
    let now = Instant::now();
    let [soon, later] = [1, 2].map(|seconds| Some(now + Duration::from_secs(seconds)));
    for (own, whole, expected) in
        [(soon, later, soon), (later, soon, soon), (None, soon, soon), (soon, None, soon)]
    {
        assert_eq!(deadline(own, whole, now).unwrap(), expected);
    }
    assert_eq!(deadline(None, None, now).unwrap(), None);
    let late = deadline(later, soon, now + Duration::from_secs(1)).unwrap_err();
    assert!(late.is_timeout() && late.outcome() == Outcome::NotSent);
}

#[test]
fn tries_end_by_number_deadline_or_budget_and_only_aborts_are_tried_again() {
    let (config, now) = (Config::builder().build().unwrap(), Instant::now());
    let second = Duration::from_secs(1);
    let tries = |options| Tries::new(options, &config, now);
    let options = TransactionOptions::new().backoff(Backoff::constant(second / 10)).timeout(second);
    let get = Cmd::<Value>::new("GET").arg("k");
    let lost = || interrupted(Error::closed_by_peer(Outcome::NotSent), &get, &config);
    let unasked = || -> bool { panic!("asked") };

    let mut three = tries(options.tries(3));
    for _ in 0..2 {
        assert!(matches!(three.handle_end(changed(), now, 0, unasked), Decision::Retry(_)));
    }
    let ends = |decision, reason: &str, made| {
        let Decision::Fail(error) = decision else { panic!("another try, in spite of {reason}") };
        assert_eq!((error.kind(), error.tries()), (ErrorKind::Aborted, made), "{error}");
        assert!(error.message().contains(reason), "{error}");
    };
    ends(three.handle_end(changed(), now, 0, unasked), "too many tries", 3);
    ends(tries(options).handle_end(changed(), now + second, 0, unasked), "no time", 1);
    ends(tries(options).handle_end(lost(), now, 0, || false), "budget", 1);
    assert!(matches!(tries(options).handle_end(lost(), now, 0, || true), Decision::Retry(_)));
    let endless = TransactionOptions::new().backoff(Backoff::constant(Duration::MAX));
    ends(tries(endless.timeout(second)).handle_end(changed(), now, 0, unasked), "no time", 1);
    let other = tries(options).handle_end(Error::usage("no"), now, 0, unasked);
    assert!(matches!(other, Decision::Fail(error) if error.kind() == ErrorKind::Usage));
    assert_eq!(tries(TransactionOptions::new()).deadline(), Some(now + 5 * second));
    assert_eq!(tries(TransactionOptions::new().timeout(Duration::ZERO)).deadline(), None);
}

#[test]
fn a_try_whose_exec_was_lost_is_remembered() {
    let (config, now) = (Config::builder().build().unwrap(), Instant::now());
    let incr = Cmd::<Value>::new("INCR").arg("k").idempotent();
    let lost = || interrupted(Error::closed_by_peer(Outcome::MaybeExecuted), &incr, &config);
    let ends = [changed(), Error::from_server(b"OOM no"), Error::timeout(Outcome::NotSent)];
    for (end, first) in ends.into_iter().flat_map(|end| [(end.clone(), lost()), (end, changed())]) {
        let mut tries = Tries::new(TransactionOptions::new().tries(2), &config, now);
        let (outcome, wanted) = (first.outcome(), end.outcome());
        assert!(matches!(tries.handle_end(first, now, 0, || true), Decision::Retry(_)));
        let Decision::Fail(error) = tries.handle_end(end, now, 0, || true) else { panic!("a third try") };
        let wanted = if outcome == Outcome::MaybeExecuted { outcome } else { wanted };
        assert_eq!(error.outcome(), wanted, "{error}");
    }
}

#[test]
fn what_was_refused_whole_before_is_not_executed_twice() {
    let mut call = Atomic::record(|p| p.run(Cmd::<Value>::new("EVAL").arg("return 1").arg(1).arg("k")));
    let moved = [
        "+OK\r\n",
        "-MOVED 7629 h:2\r\n",
        "-EXECABORT Transaction discarded because of previous errors.\r\n",
    ];
    let refused = call.read(Replies::of(moved.map(|frame| Bytes::from_static(frame.as_bytes()))));
    assert_eq!(refused.unwrap_err().outcome(), Outcome::Rejected);
    assert!(call.is_single(), "nothing of it was executed");
    let answered = ["+OK\r\n", "+QUEUED\r\n", "*1\r\n-TRYAGAIN mine\r\n"];
    let error =
        call.read(Replies::of(answered.map(|frame| Bytes::from_static(frame.as_bytes())))).unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Some("TRYAGAIN"), Outcome::MaybeExecuted), "{error}");
    assert!(!call.is_single());
}

/// The replies to a transaction that is marked as one, and the result of taking them, however they come in;
/// `asking`: it is the second command of its request.
fn taken(stream: &[u8], step: usize, given_up: bool, asking: bool) -> Result<()> {
    let mut call = two();
    let mut link = Link::new(QueueLimits { commands: 10, bytes: 1 << 20 }, None);
    let ticket = if asking {
        let asking = crate::cluster::Asking(&mut call);
        let write = |outbox: &mut Outbox| asking.write(outbox);
        let ticket = link.submit(asking.count(), asking.size(), asking.is_whole(), write, (), None).unwrap();
        link.mark_transaction(&ticket, asking.multi());
        ticket
    } else {
        let write = |outbox: &mut Outbox| call.write(outbox);
        let ticket = link.submit(call.count(), call.size(), call.is_whole(), write, (), None).unwrap();
        link.mark_transaction(&ticket, call.multi());
        ticket
    };
    link.poll_transmit(&mut Outbox::default());
    link.handle_sent(call.size());
    let next = link.submit(1, 4, true, |outbox| outbox.copy(b"NEXT"), (), None).unwrap();
    let ticket = if given_up { (link.abandon(ticket), None).1 } else { Some(ticket) };
    let (mut inbound, mut frames) = (Inbound::new(64, redwire_resp::Limits::default()), Frames::default());
    let mut result = Ok(());
    for piece in [stream, b"+NEXT\r\n"].concat().chunks(step) {
        inbound.spare().extend_from_slice(piece);
        if result.is_ok() && inbound.poll_frames(&mut frames).unwrap() {
            result = link.handle_frames(&mut frames);
        }
    }
    // The next request has its reply, or is never told one.
    let answered = link.poll_reply(next, |()| {}).is_ok();
    assert_eq!(answered, result.is_ok(), "{}", stream.escape_ascii());
    if let Some(ticket) = ticket {
        link.poll_reply(ticket, |()| {}).expect("it has its replies").unwrap();
    }
    result
}

/// No caller behind a transaction that stays open is told that its command was queued.
#[test]
fn a_transaction_that_stays_open_ends_its_connection() {
    let table: [(&[u8], bool); 11] = [
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n-ERR x\r\n:1\r\n", false),
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*-1\r\n", false),
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n_\r\n", false),
        (b"+OK\r\n+QUEUED\r\n-ERR x\r\n-EXECABORT y\r\n", false),
        // A slot that began to move in between.
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n-TRYAGAIN Multiple keys request during rehashing of slot\r\n", false),
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n-MOVED 1 h:2\r\n", false),
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n-ERR unknown command 'EXEC'\r\n", true),
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n-NOPERM no\r\n", true),
        (b"+OK\r\n-ERR x\r\n-ERR x\r\n-ERR unknown command 'EXEC'\r\n", true),
        // Never begun: what was queued was executed, and what follows will be.
        (b"-ERR unknown command 'MULTI'\r\n:1\r\n:2\r\n-ERR EXEC without MULTI\r\n", false),
        (b"-ERR unknown command 'MULTI'\r\n:1\r\n:2\r\n-ERR unknown command 'EXEC'\r\n", false),
    ];
    for (stream, stays_open) in table {
        for step in [1, 7, stream.len() + 7] {
            for asking in [false, true] {
                let stream = if asking { [b"-ERR x\r\n", stream].concat() } else { stream.to_vec() };
                let result = taken(&stream, step, false, asking);
                assert_eq!(result.is_err(), stays_open, "{} by {step}", stream.escape_ascii());
                if stays_open {
                    let error = taken(&stream, step, true, asking).unwrap_err();
                    assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{error}");
                }
            }
        }
    }
}
