//! What commands leave behind, by what was sent and what was answered.

use super::*;
use crate::facts::*;

/// Commands, each with its reply; `""`: none came, or it was not read.
type Said<'a> = &'a [(&'static Facts, &'a [u8])];

const OK: &[u8] = b"+OK\r\n";
const QUEUED: &[u8] = b"+QUEUED\r\n";
const REFUSED: &[u8] = b"-ERR unknown command, or NOPERM, or wrong number of arguments\r\n";

fn reply(frame: &[u8]) -> Replies {
    Replies::from_frame(frame.to_vec().into())
}

fn after(said: Said<'_>) -> SessionState {
    let mut session_state = SessionState::new(0);
    for (facts, reply) in said {
        let sent = session_state.handle_command(facts);
        if !reply.is_empty() {
            session_state.handle_reply(sent, &self::reply(reply));
        }
    }
    session_state
}

fn names(said: Said<'_>) -> Vec<String> {
    said.iter().map(|(facts, reply)| format!("{} {}", facts.name, reply.escape_ascii())).collect()
}

#[test]
fn each_command_that_changes_its_connection_is_known() {
    let table: &[(Said<'_>, Cleanup)] = &[
        (&[], Cleanup::None),
        (&[(&GET, OK), (&SET, OK), (&BLPOP, b"*-1\r\n")], Cleanup::None),
        (&[(&SELECT, OK)], Cleanup::Select),
        (&[(&MULTI, OK)], Cleanup::Reset),
        (&[(&MULTI, OK), (&SET, QUEUED), (&EXEC, b"*1\r\n+OK\r\n")], Cleanup::None),
        (&[(&WATCH, OK), (&MULTI, OK), (&DISCARD, OK)], Cleanup::None),
        (&[(&WATCH, OK)], Cleanup::Reset),
        (&[(&WATCH, OK), (&UNWATCH, OK)], Cleanup::None),
        (&[(&WATCH, OK), (&MULTI, OK)], Cleanup::Reset),
        (&[(&AUTH, OK)], Cleanup::Reset),
        (&[(&HELLO, b"%0\r\n")], Cleanup::Reset),
        (&[(&CLIENT_TRACKING, OK)], Cleanup::Reset),
        (&[(&CLIENT_SETNAME, OK)], Cleanup::Reset),
        (&[(&CLIENT_NO_EVICT, OK)], Cleanup::Drop),
        (&[(&CLIENT_CAPA, OK)], Cleanup::Drop),
        (&[(&CLIENT_IMPORT_SOURCE, OK)], Cleanup::Drop),
        (&[(&READONLY, OK)], Cleanup::Reset),
        (&[(&ASKING, OK)], Cleanup::Reset),
        (&[(&RESET, b"+RESET\r\n")], Cleanup::Reset),
        (&[(&SUBSCRIBE, b"")], Cleanup::Drop),
        (&[(&SUBSCRIBE, b""), (&UNSUBSCRIBE, b"")], Cleanup::Drop),
        (&[(&MONITOR, OK), (&RESET, b"+RESET\r\n")], Cleanup::Drop),
        (&[(&CLIENT_REPLY, b"")], Cleanup::Drop),
        (&[(&QUIT, OK)], Cleanup::Drop),
    ];
    for (said, cleanup) in table {
        assert_eq!(after(said).cleanup(0), *cleanup, "{:?}", names(said));
    }
}

/// Whatever the server says to it, or if the answer was not read: a command that changes the connection
/// counts as done.
#[test]
fn what_changes_a_connection_counts_whatever_is_answered() {
    for facts in all() {
        for reply in [OK, REFUSED, QUEUED, b"$-1\r\n", b"", b"-NOPERM no\r\n"] {
            let changes = facts.changes_connection_state();
            let ends = matches!(facts.name, "EXEC" | "DISCARD" | "UNWATCH");
            let clean = after(&[(facts, reply)]).cleanup(0) == Cleanup::None;
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
        let session_state = after(&[(&WATCH, OK), (&MULTI, OK), (facts, reply)]);
        assert!(!session_state.is_bound(), "{} {}", facts.name, reply.escape_ascii());
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
        let session_state = after(&[(&MULTI, OK), (facts, reply)]);
        assert!(session_state.in_transaction(), "{} {}", facts.name, reply.escape_ascii());
        if !std::ptr::eq(facts, &UNWATCH) {
            let session_state = after(&[(&WATCH, OK), (facts, reply)]);
            assert!(session_state.is_bound(), "{} {}", facts.name, reply.escape_ascii());
        }
    }
    assert!(after(&[(&WATCH, OK), (&UNWATCH, REFUSED)]).is_bound());
}

/// Replies may be read long after more was sent.
#[test]
fn a_late_reply_ends_nothing_that_was_begun_since() {
    let mut session_state = SessionState::new(0);
    let sent: Vec<SentCommand> =
        [&WATCH, &MULTI, &EXEC, &WATCH].map(|facts| session_state.handle_command(facts)).into();
    session_state.handle_reply(sent[2], &reply(b"*0\r\n"));
    assert_eq!(session_state.cleanup(0), Cleanup::Reset);
    let unwatch = session_state.handle_command(&UNWATCH);
    session_state.handle_reply(unwatch, &reply(OK));
    // The first transaction ended; that it did was not believed, which costs a RESET.
    assert!(session_state.in_transaction());
    let exec = session_state.handle_command(&DISCARD);
    session_state.handle_reply(exec, &reply(OK));
    assert_eq!(session_state.cleanup(0), Cleanup::None);
}

#[test]
fn what_is_settled_is_no_dirt() {
    let settled = |said: Said<'_>| {
        let mut session_state = after(said);
        session_state.adopt();
        session_state.cleanup(0)
    };
    assert_eq!(settled(&[(&CLIENT_SETNAME, OK)]), Cleanup::None);
    assert_eq!(settled(&[(&CLIENT_NO_EVICT, OK)]), Cleanup::None);
    assert_eq!(settled(&[(&CLIENT_SETNAME, OK), (&WATCH, OK)]), Cleanup::Reset);
    assert_eq!(settled(&[(&SELECT, OK)]), Cleanup::Select);
    assert_eq!(settled(&[(&SELECT, OK), (&CLIENT_SETNAME, OK)]), Cleanup::Select);
    assert_eq!(settled(&[(&RESET, b"+RESET\r\n")]), Cleanup::Select);
    assert_eq!(settled(&[(&SUBSCRIBE, b"")]), Cleanup::Drop);
}

/// `MULTI; SELECT 0; DISCARD` leaves the database what it was, so a `SELECT` is never believed before it is
/// answered.
#[test]
fn a_database_that_was_chosen_by_hand_is_chosen_again() {
    let mut session_state = SessionState::new(5);
    assert_eq!((session_state.cleanup(5), session_state.cleanup(0)), (Cleanup::None, Cleanup::Select));
    session_state.handle_command(&SELECT);
    assert_eq!(session_state.cleanup(5), Cleanup::Select);
    session_state.handle_selected(5);
    assert_eq!(session_state.cleanup(5), Cleanup::None);
    // Only queued.
    session_state.handle_command(&MULTI);
    session_state.handle_command(&SELECT);
    session_state.handle_selected(7);
    let discard = session_state.handle_command(&DISCARD);
    session_state.handle_reply(discard, &reply(OK));
    assert_eq!((session_state.cleanup(7), session_state.cleanup(5)), (Cleanup::Select, Cleanup::Select));
}

/// Bytes by hand are sent as they are; whether calls can still be told their replies depends on what they
/// are.
#[test]
fn packed_bytes_are_a_stream_unless_each_command_has_its_reply() {
    let packed = |commands: Option<&[&'static Facts]>, count| {
        let mut session_state = SessionState::new(0);
        let sent = session_state.handle_packed(commands, count).len();
        assert_eq!(session_state.cleanup(0), Cleanup::Drop);
        (sent, session_state.is_stream())
    };
    assert_eq!(packed(Some(&[&GET, &MULTI]), 2), (2, false));
    assert_eq!(packed(Some(&[]), 0), (0, false));
    assert_eq!(packed(Some(&[&GET, &GET]), 1), (2, true));
    assert_eq!(packed(Some(&[&GET]), 2), (1, true));
    assert_eq!(packed(Some(&[&GET, &SUBSCRIBE]), 2), (2, true));
    assert_eq!(packed(Some(&[&SUBSCRIBE]), 5), (1, true));
    assert_eq!(packed(None, 1), (0, true));
    let mut session_state = after(&[(&MONITOR, b""), (&RESET, b"")]);
    session_state.handle_packed(None, 0);
    session_state.handle_frame(b"+RESET\r\n");
    assert!(session_state.is_stream());
}

/// After these no call can tell its reply; until `RESET` says that it was done, and was the last that was
/// sent.
#[test]
fn a_stream_of_frames_is_read_by_hand_until_reset() {
    for begin in [&SUBSCRIBE, &PSUBSCRIBE, &SSUBSCRIBE, &UNSUBSCRIBE, &MONITOR, &CLIENT_REPLY, &PSYNC, &QUIT]
    {
        let mut session_state = after(&[(begin, b"")]);
        let error = session_state.check_calls().unwrap_err();
        assert!(error.to_string().contains(begin.name) && error.to_string().contains("RESET"), "{error}");
        // Not asked for, so not an answer to it.
        session_state.handle_frame(b"+RESET\r\n");
        assert!(session_state.is_stream());
        session_state.handle_command(&RESET);
        session_state.handle_command(&PING);
        session_state.handle_frame(b"+RESET\r\n");
        session_state.handle_frame(b"+PONG\r\n");
        assert!(session_state.is_stream(), "more was sent after it");
        session_state.handle_command(&RESET);
        session_state.handle_command(&RESET);
        for frame in [&b"+OK\r\n"[..], REFUSED, b"+RESET\r\n"] {
            session_state.handle_frame(frame);
            assert!(session_state.is_stream(), "{}", frame.escape_ascii());
        }
        session_state.handle_frame(b"+RESET\r\n");
        session_state.check_calls().unwrap();
        assert_eq!(session_state.cleanup(0), Cleanup::Drop);
    }
}
