//! Lookups, keys, timeouts and the table's own consistency.

use std::time::Duration;

use super::*;
use crate::cmd::Cmd;
use crate::reply::Value;

fn words(command: &str) -> Vec<&[u8]> {
    command.split(' ').map(str::as_bytes).collect()
}

fn of(command: &str) -> &'static Facts {
    let words = words(command);
    lookup(words[0], words.get(1).copied()).unwrap()
}

fn keys(command: &str) -> Vec<usize> {
    of(command).keys(words(command).into_iter()).map(|(position, _)| position).collect()
}

fn blocks(command: &str) -> Blocking {
    of(command).blocks(words(command).into_iter())
}

#[test]
fn every_name_is_found_in_any_case() {
    for facts in all() {
        let odd: String = facts
            .name
            .bytes()
            .enumerate()
            .map(|(i, b)| char::from(if i % 2 == 0 { b.to_ascii_lowercase() } else { b }))
            .collect();
        for name in [facts.name.to_owned(), facts.name.to_lowercase(), odd] {
            let found = of(&name);
            assert!(std::ptr::eq(found, *facts), "{name} gives {}", found.name);
        }
    }
}

#[test]
fn a_second_word_matters_only_to_containers() {
    assert_eq!(lookup(b"GET", Some(b"SET")).unwrap().name, "GET");
    assert_eq!(lookup(b"CLIENT", Some(b"not-yet-invented")).unwrap().name, "CLIENT");
    assert_eq!(lookup(b"CLIENT", Some(&[b'x'; 1000])).unwrap().name, "CLIENT");
    assert_eq!(lookup(b"CLIENT", None).unwrap().name, "CLIENT");
    assert_eq!(lookup(b"COMMAND", None).unwrap().name, "COMMAND");
}

#[test]
fn what_is_no_command_is_not_found() {
    for name in [&b""[..], b"GETT", b"GE", b"CLIENT SETINFO", b"\xff\xfe", &[b'A'; 1000]] {
        assert!(name.contains(&b' ') || lookup(name, None).is_none(), "{name:?}");
        assert!(lookup(name, Some(b"GET")).is_none_or(|facts| facts.words == 2), "{name:?}");
    }
}

#[test]
fn the_table_is_sorted_and_its_wire_words_are_its_name() {
    assert!(all().windows(2).all(|pair| pair[0].name < pair[1].name));
    for facts in all() {
        let wire: String =
            facts.name.split(' ').map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        assert_eq!(facts.wire, wire.as_bytes());
        assert_eq!(usize::from(facts.words), facts.name.split(' ').count());
        assert!(facts.arity.unsigned_abs() >= u16::from(facts.words), "{}", facts.name);
    }
}

#[test]
fn keys_are_where_the_rules_say() {
    assert_eq!(keys("GET k"), [1]);
    assert_eq!(keys("MSET a 1 b 2"), [1, 3]);
    assert_eq!(keys("EVAL s 2 a b c"), [3, 4]);
    assert_eq!(keys("ZUNIONSTORE d 2 a b WEIGHTS 1 2"), [1, 3, 4]);
    assert_eq!(keys("XREADGROUP GROUP STREAMS c STREAMS a b > >"), [5, 6]);
    assert_eq!(keys("SORT k BY STORE GET # STORE d"), [1, 7]);
    assert_eq!(keys("MIGRATE h 1 k 0 10"), [3]);
    assert_eq!(keys("MIGRATE h 1  0 10 AUTH KEYS KEYS a b"), [9, 10]);
    assert_eq!(keys("OBJECT ENCODING k"), [2]);
    assert_eq!(keys("MSETEX 2 a 1 b 2 EX 5"), [2, 4]);
    assert_eq!(keys("SSUBSCRIBE a b"), [1, 2]);
    assert_eq!(keys("PING"), [0; 0]);
}

#[test]
fn the_commands_of_modules_have_the_keys_of_their_documentation() {
    for command in all().iter().filter(|facts| facts.flags.contains(Flags::MODULE)) {
        assert!(!command.group.is_empty() && !command.since.is_empty(), "{}", command.name);
    }
    assert_eq!(keys("JSON.MSET a $ 1 b $ 2"), [1, 4]);
    assert_eq!(keys("JSON.MGET a b $"), [1, 2]);
    assert_eq!(keys("JSON.DEBUG MEMORY a $"), [2]);
    assert_eq!(keys("TS.MADD a 1 1 b 2 2"), [1, 4]);
    assert_eq!(keys("TS.CREATERULE a b AGGREGATION avg 1"), [1, 2]);
    assert_eq!(keys("TS.MRANGE - + FILTER a=b"), [0; 0]);
    assert_eq!(keys("CMS.MERGE d 2 a b WEIGHTS 1 2"), [1, 3, 4]);
    assert_eq!(keys("TDIGEST.MERGE d 1 a COMPRESSION 9"), [1, 3]);
    assert_eq!(keys("VSIM k ELE e"), [1]);
    // An index leads to one node, so that a cursor is read where it was made.
    for command in
        ["FT.SEARCH i q", "FT.AGGREGATE i q", "FT.HYBRID i SEARCH q", "FT.PROFILE i SEARCH QUERY q"]
    {
        assert_eq!(keys(command), [1], "{command}");
    }
    assert_eq!((keys("FT.CURSOR READ i 7"), keys("FT.CURSOR DEL i 7")), (vec![2], vec![2]));
    assert_eq!(
        (keys("FT.ALIASADD a i"), keys("FT._LIST"), keys("FT.DICTADD d t")),
        (vec![2], vec![], vec![])
    );
    for changing in ["FT.DICTADD d t", "FT.ALIASADD a i", "FT.CURSOR READ i 7", "FT.CONFIG SET a b"] {
        assert!(!of(changing).is_repeatable() && !of(changing).is_read_only(), "{changing}");
    }
    assert!(of("FT.SEARCH i q").is_repeatable() && of("TS.MGET FILTER a=b").is_read_only());
    assert_eq!(of("FT.CONFIG SET a b").request_policy, RequestPolicy::AllShards);
}

#[test]
fn words_against_the_grammar_give_fewer_keys() {
    assert_eq!(keys("GET"), [0; 0]);
    assert_eq!(keys("MSET a"), [1]);
    assert_eq!(keys("EVAL s"), [0; 0]);
    assert_eq!(keys("EVAL s two a b"), [0; 0]);
    assert_eq!(keys("EVAL s 18446744073709551615 a b"), [3, 4]);
    assert_eq!(keys("EVAL s -1 a"), [0; 0]);
    assert_eq!(keys("XREAD COUNT 1"), [0; 0]);
    assert_eq!(keys("XREAD STREAMS"), [0; 0]);
    assert_eq!(keys("BLPOP"), [0; 0]);
    assert_eq!(keys("SORT k STORE"), [1]);
    for facts in all() {
        for len in 0..8 {
            let words = std::iter::repeat_n(&b"KEYS"[..], len);
            assert!(facts.keys(words).all(|(position, _)| position < len), "{}", facts.name);
        }
    }
}

#[test]
fn a_module_says_what_its_commands_do() {
    static GET: Facts = Facts::new("SKETCH.GET").with_keys(&[KeySpec::at(1)]).read_only();
    static MERGE: Facts =
        Facts::new("Sketch.Debug merge").with_keys(&[KeySpec::at(2), KeySpec::counted_at(3)]);
    let get: Cmd<Value> = Cmd::of(&GET).arg("k");
    let merge: Cmd<Value> = Cmd::of(&MERGE).arg("to").arg(2).arg(["a", "b"]).arg("c");
    assert_eq!(get.to_bytes(), Cmd::<Value>::new("SKETCH.GET").arg("k").to_bytes());
    assert_eq!(merge.words(), ["Sketch.Debug", "merge", "to", "2", "a", "b", "c"]);
    assert_eq!((&*get.name(), &*merge.name()), ("SKETCH.GET", "Sketch.Debug merge"));
    assert!(get.may_repeat() && GET.is_read_only() && !merge.may_repeat() && !MERGE.is_read_only());
    let keys = |cmd: &Cmd<Value>| {
        let words: Vec<_> = cmd.args().iter().collect();
        cmd.facts().keys(words.into_iter()).map(|(position, _)| position).collect::<Vec<_>>()
    };
    assert_eq!((keys(&get), keys(&merge)), (vec![1], vec![2, 4, 5]));
    assert!(!UNKNOWN.is_repeatable() && UNKNOWN.flags.contains(Flags::WRITE));
}

#[test]
fn timeouts_are_read_from_the_words() {
    let seconds = |count| Blocking::Upto(Duration::from_secs_f64(count));
    assert_eq!(blocks("GET k"), Blocking::No);
    assert_eq!(blocks("BLPOP a b 1.5"), seconds(1.5));
    assert_eq!(blocks("BLPOP a 0"), Blocking::Forever);
    assert_eq!(blocks("BLPOP a 0x10"), Blocking::Forever);
    assert_eq!(blocks("BLPOP a -1"), Blocking::No);
    assert_eq!(blocks("BLPOP a 1e300"), Blocking::Forever);
    assert_eq!(blocks("BLPOP a 31536000"), seconds(31_536_000.0));
    assert_eq!(blocks("BLPOP a 31536001"), Blocking::Forever);
    assert_eq!(blocks("BLPOP a 99999999999"), Blocking::Forever);
    assert_eq!(blocks("BLPOP a nan"), Blocking::Forever);
    assert_eq!(blocks("BLPOP a inf"), Blocking::Forever);
    assert_eq!(blocks("WAIT 1 31536000001"), Blocking::Forever);
    assert_eq!(blocks("BZMPOP 2 1 a MIN"), seconds(2.0));
    assert_eq!(blocks("WAIT 1 250"), seconds(0.25));
    assert_eq!(blocks("XREAD STREAMS BLOCK 0"), Blocking::No);
    assert_eq!(blocks("XREAD COUNT 1 block 100 STREAMS a 0"), seconds(0.1));
    assert_eq!(blocks("XREADGROUP GROUP BLOCK 5 STREAMS a >"), Blocking::No);
    assert_eq!(blocks("XREADGROUP GROUP g c BLOCK 0 STREAMS a >"), Blocking::Forever);
    assert_eq!(blocks("MIGRATE h 1 k 0 0"), seconds(1.0));
    assert_eq!(blocks("SHUTDOWN"), seconds(10.0));
    assert_eq!(blocks("shutdown NOSAVE"), seconds(10.0));
    assert_eq!(blocks("SHUTDOWN abort"), Blocking::No);
}

#[test]
fn what_matters_to_retries_and_lanes() {
    assert!(GET.is_read_only() && GET.is_repeatable() && !GET.changes_connection_state());
    assert!(!PING.is_read_only() && PING.is_repeatable());
    assert!(!INCR.is_repeatable() && INCR.flags.contains(Flags::WRITE));
    assert!(!EVAL.is_repeatable() && EVAL_RO.is_repeatable());
    assert_eq!(CLIENT_REPLY.session, SessionEffect::Replies);
    assert_eq!(SUBSCRIBE.session, SessionEffect::Subscribes);
    assert!(BLPOP.is_blocking() && XREAD.is_blocking() && !GET.is_blocking());
    assert!(all().iter().all(|facts| !(facts.is_repeatable() && facts.flags.contains(Flags::WRITE))));
    assert!(all().iter().all(|facts| !(facts.is_repeatable() && facts.changes_connection_state())));
}

#[test]
fn policies_come_from_the_tips() {
    assert_eq!(
        (DBSIZE.request_policy, DBSIZE.response_policy),
        (RequestPolicy::AllShards, ResponsePolicy::AggSum)
    );
    assert_eq!(
        (MGET.request_policy, MGET.response_policy),
        (RequestPolicy::MultiShard, ResponsePolicy::Default)
    );
    assert_eq!(GET.request_policy, RequestPolicy::Default);
}

#[test]
fn arity_is_checked_by_its_sign() {
    assert!(GET.accepts(2) && !GET.accepts(3) && !GET.accepts(1));
    assert!(MGET.accepts(2) && MGET.accepts(1000) && !MGET.accepts(1));
}

#[test]
fn flags_print_their_names() {
    assert_eq!(format!("{:?}", Flags::READONLY.with(Flags::FAST)), r#"{"READONLY", "FAST"}"#);
}
