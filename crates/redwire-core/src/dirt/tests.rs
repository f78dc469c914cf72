//! What commands leave behind, by what was sent and what was answered.

use super::*;
use crate::facts::*;

/// Commands, each with its reply; `""`: none came, or nobody read it.
type Said<'a> = &'a [(&'static Facts, &'a [u8])];

const OK: &[u8] = b"+OK\r\n";
const QUEUED: &[u8] = b"+QUEUED\r\n";
const REFUSED: &[u8] = b"-ERR unknown command, or NOPERM, or wrong number of arguments\r\n";

fn reply(frame: &[u8]) -> Replies {
    Replies::from_frame(frame.to_vec().into())
}

fn after(said: Said<'_>) -> Dirt {
    let mut dirt = Dirt::new(0);
    for (facts, reply) in said {
        let sent = dirt.handle_command(facts);
        if !reply.is_empty() {
            dirt.handle_reply(sent, &self::reply(reply));
        }
    }
    dirt
}

fn names(said: Said<'_>) -> Vec<String> {
    said.iter().map(|(facts, reply)| format!("{} {}", facts.name, reply.escape_ascii())).collect()
}

#[test]
fn each_command_that_changes_its_connection_is_known() {
    let table: &[(Said<'_>, Repair)] = &[
        (&[], Repair::None),
        (&[(&GET, OK), (&SET, OK), (&BLPOP, b"*-1\r\n")], Repair::None),
        (&[(&SELECT, OK)], Repair::Select),
        (&[(&MULTI, OK)], Repair::Reset),
        (&[(&MULTI, OK), (&SET, QUEUED), (&EXEC, b"*1\r\n+OK\r\n")], Repair::None),
        (&[(&WATCH, OK), (&MULTI, OK), (&DISCARD, OK)], Repair::None),
        (&[(&WATCH, OK)], Repair::Reset),
        (&[(&WATCH, OK), (&UNWATCH, OK)], Repair::None),
        (&[(&WATCH, OK), (&MULTI, OK)], Repair::Reset),
        (&[(&AUTH, OK)], Repair::Reset),
        (&[(&HELLO, b"%0\r\n")], Repair::Reset),
        (&[(&CLIENT_TRACKING, OK)], Repair::Reset),
        (&[(&CLIENT_SETNAME, OK)], Repair::Reset),
        (&[(&CLIENT_NO_EVICT, OK)], Repair::Drop),
        (&[(&CLIENT_CAPA, OK)], Repair::Drop),
        (&[(&CLIENT_IMPORT_SOURCE, OK)], Repair::Drop),
        (&[(&READONLY, OK)], Repair::Reset),
        (&[(&ASKING, OK)], Repair::Reset),
        (&[(&RESET, b"+RESET\r\n")], Repair::Reset),
        (&[(&SUBSCRIBE, b"")], Repair::Drop),
        (&[(&SUBSCRIBE, b""), (&UNSUBSCRIBE, b"")], Repair::Drop),
        (&[(&MONITOR, OK), (&RESET, b"+RESET\r\n")], Repair::Drop),
        (&[(&CLIENT_REPLY, b"")], Repair::Drop),
        (&[(&QUIT, OK)], Repair::Drop),
    ];
    for (said, repair) in table {
        assert_eq!(after(said).repair(0), *repair, "{:?}", names(said));
    }
}

/// Whatever the server says to it, or if nobody heard: a command that changes the connection counts as done.
#[test]
fn what_changes_a_connection_counts_whatever_is_answered() {
    for facts in all() {
        for reply in [OK, REFUSED, QUEUED, b"$-1\r\n", b"", b"-NOPERM no\r\n"] {
            let changes = facts.changes_connection_state();
            let ends = matches!(facts.name, "EXEC" | "DISCARD" | "UNWATCH");
            let clean = after(&[(facts, reply)]).repair(0) == Repair::None;
            assert_eq!(clean, !changes || ends, "{} {}", facts.name, reply.escape_ascii());
        }
    }
}

/// Only what says that it was done ends a transaction, or a watch.
#[test]
fn what_ends_a_state_counts_only_when_it_is_done() {
    let nil: [&[u8]; 3] = [b"*-1\r\n", b"_\r\n", b"$-1\r\n"];
    let done: Vec<(&'static Facts, &[u8])> = [
        (&EXEC, &b"*1\r\n+OK\r\n"[..]),
        (&EXEC, b"*0\r\n"),
        (&EXEC, b"-EXECABORT Transaction discarded because of previous errors.\r\n"),
        (&DISCARD, OK),
        (&RESET, b"+RESET\r\n"),
    ]
    .into_iter()
    .chain(nil.map(|nil| (&EXEC, nil)))
    .collect();
    for (facts, reply) in &done {
        let dirt = after(&[(&WATCH, OK), (&MULTI, OK), (facts, reply)]);
        assert!(!dirt.is_bound(), "{} {}", facts.name, reply.escape_ascii());
    }
    let not: [(&'static Facts, &[u8]); 10] = [
        (&EXEC, REFUSED),
        (&EXEC, b""),
        (&EXEC, b"-ERR EXEC without MULTI\r\n"),
        (&EXEC, OK),
        (&DISCARD, REFUSED),
        (&DISCARD, b""),
        (&DISCARD, QUEUED),
        // In a transaction it is queued.
        (&UNWATCH, QUEUED),
        (&UNWATCH, OK),
        (&RESET, REFUSED),
    ];
    for (facts, reply) in not {
        let dirt = after(&[(&MULTI, OK), (facts, reply)]);
        assert!(dirt.in_transaction(), "{} {}", facts.name, reply.escape_ascii());
        if !std::ptr::eq(facts, &UNWATCH) {
            let dirt = after(&[(&WATCH, OK), (facts, reply)]);
            assert!(dirt.is_bound(), "{} {}", facts.name, reply.escape_ascii());
        }
    }
    assert!(after(&[(&WATCH, OK), (&UNWATCH, REFUSED)]).is_bound());
}

/// Replies may be read long after more was sent.
#[test]
fn a_late_reply_ends_nothing_that_was_begun_since() {
    let mut dirt = Dirt::new(0);
    let sent: Vec<Sent> = [&WATCH, &MULTI, &EXEC, &WATCH].map(|facts| dirt.handle_command(facts)).into();
    dirt.handle_reply(sent[2], &reply(b"*0\r\n"));
    assert_eq!(dirt.repair(0), Repair::Reset);
    let unwatch = dirt.handle_command(&UNWATCH);
    dirt.handle_reply(unwatch, &reply(OK));
    // The first transaction ended; that it did was not believed, which costs a RESET.
    assert!(dirt.in_transaction());
    let exec = dirt.handle_command(&DISCARD);
    dirt.handle_reply(exec, &reply(OK));
    assert_eq!(dirt.repair(0), Repair::None);
}

#[test]
fn what_is_settled_is_no_dirt() {
    let settled = |said: Said<'_>| {
        let mut dirt = after(said);
        dirt.settle();
        dirt.repair(0)
    };
    assert_eq!(settled(&[(&CLIENT_SETNAME, OK)]), Repair::None);
    assert_eq!(settled(&[(&CLIENT_NO_EVICT, OK)]), Repair::None);
    assert_eq!(settled(&[(&CLIENT_SETNAME, OK), (&WATCH, OK)]), Repair::Reset);
    assert_eq!(settled(&[(&SELECT, OK)]), Repair::Select);
    assert_eq!(settled(&[(&SELECT, OK), (&CLIENT_SETNAME, OK)]), Repair::Select);
    assert_eq!(settled(&[(&RESET, b"+RESET\r\n")]), Repair::Select);
    assert_eq!(settled(&[(&SUBSCRIBE, b"")]), Repair::Drop);
}

/// `MULTI; SELECT 0; DISCARD` leaves the database what it was, so a `SELECT` is never believed before it is
/// answered.
#[test]
fn a_database_that_was_chosen_by_hand_is_chosen_again() {
    let mut dirt = Dirt::new(5);
    assert_eq!((dirt.repair(5), dirt.repair(0)), (Repair::None, Repair::Select));
    dirt.handle_command(&SELECT);
    assert_eq!(dirt.repair(5), Repair::Select);
    dirt.handle_selected(5);
    assert_eq!(dirt.repair(5), Repair::None);
    // Only queued.
    dirt.handle_command(&MULTI);
    dirt.handle_command(&SELECT);
    dirt.handle_selected(7);
    let discard = dirt.handle_command(&DISCARD);
    dirt.handle_reply(discard, &reply(OK));
    assert_eq!((dirt.repair(7), dirt.repair(5)), (Repair::Select, Repair::Select));
}

/// Bytes by hand are sent as they are; whether calls can still be told their replies depends on what they
/// are.
#[test]
fn packed_bytes_are_a_stream_unless_each_command_has_its_reply() {
    let packed = |commands: Option<&[&'static Facts]>, count| {
        let mut dirt = Dirt::new(0);
        let sent = dirt.handle_packed(commands, count).len();
        assert_eq!(dirt.repair(0), Repair::Drop);
        (sent, dirt.is_stream())
    };
    assert_eq!(packed(Some(&[&GET, &MULTI]), 2), (2, false));
    assert_eq!(packed(Some(&[]), 0), (0, false));
    assert_eq!(packed(Some(&[&GET, &GET]), 1), (2, true));
    assert_eq!(packed(Some(&[&GET]), 2), (1, true));
    assert_eq!(packed(Some(&[&GET, &SUBSCRIBE]), 2), (2, true));
    assert_eq!(packed(Some(&[&SUBSCRIBE]), 5), (1, true));
    assert_eq!(packed(None, 1), (0, true));
    let mut dirt = after(&[(&MONITOR, b""), (&RESET, b"")]);
    dirt.handle_packed(None, 0);
    dirt.handle_frame(b"+RESET\r\n");
    assert!(dirt.is_stream());
}

/// After these no call can tell its reply; until `RESET` says that it was done, and was the last that was
/// sent.
#[test]
fn a_stream_of_frames_is_read_by_hand_until_reset() {
    for begin in [&SUBSCRIBE, &PSUBSCRIBE, &SSUBSCRIBE, &UNSUBSCRIBE, &MONITOR, &CLIENT_REPLY, &PSYNC, &QUIT]
    {
        let mut dirt = after(&[(begin, b"")]);
        let error = dirt.check_calls().unwrap_err();
        assert!(error.to_string().contains(begin.name) && error.to_string().contains("RESET"), "{error}");
        // Not asked for, so somebody else's text.
        dirt.handle_frame(b"+RESET\r\n");
        assert!(dirt.is_stream());
        dirt.handle_command(&RESET);
        dirt.handle_command(&PING);
        dirt.handle_frame(b"+RESET\r\n");
        dirt.handle_frame(b"+PONG\r\n");
        assert!(dirt.is_stream(), "more was sent after it");
        dirt.handle_command(&RESET);
        dirt.handle_command(&RESET);
        for frame in [&b"+OK\r\n"[..], REFUSED, b"+RESET\r\n"] {
            dirt.handle_frame(frame);
            assert!(dirt.is_stream(), "{}", frame.escape_ascii());
        }
        dirt.handle_frame(b"+RESET\r\n");
        dirt.check_calls().unwrap();
        assert_eq!(dirt.repair(0), Repair::Drop);
    }
}
