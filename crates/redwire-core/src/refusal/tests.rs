//! What a server says before it runs a script, what a script says, and what tells one from the other.

use proptest::prelude::*;

use super::*;
use crate::facts;

const EVAL: [&[u8]; 4] = [b"EVAL", b"return 1", b"1", b"foo"];

fn refused(line: &str, facts: &Facts, words: &[&[u8]]) -> bool {
    is_refusal(line, facts, words)
}

#[test]
fn whole_sentences_are_believed_and_nothing_else() {
    let believed = [
        "LOADING Redis is loading the dataset in memory",
        "LOADING Valkey is loading the dataset in memory",
        "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "CLUSTERDOWN The cluster is down",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "READONLY You can't write against a read only replica.",
        "READONLY You can't write against a read only slave.",
        "NOREPLICAS Not enough good replicas to write.",
        "NOPERM User bob has no permissions to run the 'eval' command",
        "NOSCRIPT No matching script. Please use EVAL.",
        "NOSCRIPT No matching script.",
        "ERR unknown command `EVAL`, with args beginning with: `return 1`, ",
        "ERR unknown command 'eval'",
        "ERR wrong number of arguments for 'eval' command",
        "ERR Can't execute 'eval': only (P|S)SUBSCRIBE / PING are allowed in this context",
        "MOVED 12182 127.0.0.1:7001",
        "ASK 12182 ?:7001",
    ];
    let made_up = [
        "LOADING",
        "LOADING it loads",
        "LOADING Redis is loading the dataset in memory script: f_1, on @user_script:1.",
        "BUSY lock is held",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE",
        "TRYAGAIN later",
        "CLUSTERDOWN mine",
        "MASTERDOWN mine",
        "READONLY maintenance",
        "READONLY You can't write against a read only replica. script: f_1, on @user_script:1.",
        "ERR READONLY You can't write against a read only replica.",
        "@user_script: 1: -READONLY You can't write against a read only replica.",
        "ERR Error running script (call to f_1): @user_script:1: LOADING Redis is loading the dataset in \
         memory",
        "MISCONF Redis is configured to save RDB snapshots, but it's not able to. script: f_1, on \
         @user_script:1.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "NOSCRIPT of the script's own",
        "NOPERM mine",
        "NOAUTH mine",
        "ERR unknown command 'get'",
        "ERR unknown command 'ev'",
        "ERR unknown command ''",
        "ERR wrong number of arguments for 'get' command",
        "ERR ACL failure in script: User bob has no permissions to run the 'set' command",
        "MOVED 12181 127.0.0.1:7001",
        "MOVED 12182 127.0.0.1:7001 there",
        "MOVED 12182",
        "MOVED x 127.0.0.1:7001",
        "ASK 99999 127.0.0.1:7001",
    ];
    for line in believed {
        assert!(refused(line, &facts::EVAL, &EVAL), "{line}");
    }
    for line in made_up {
        assert!(!refused(line, &facts::EVAL, &EVAL), "{line}");
    }
}

#[test]
fn of_a_long_name_the_begin_is_quoted() {
    let name = "x".repeat(200);
    let line = |len| format!("ERR unknown command '{}', with args beginning with: ", &name[..len]);
    for (len, believed) in [(200, true), (128, true), (127, false)] {
        assert_eq!(refused(&line(len), &facts::UNKNOWN, &[name.as_bytes()]), believed, "{len}");
    }
}

#[test]
fn a_redirection_is_about_a_slot_of_the_command() {
    let moved = "MOVED 12182 h:1";
    assert!(!refused(moved, &facts::EVAL, &[b"EVAL", b"foo", b"0", b"foo"]), "no argument is a key");
    assert!(refused(moved, &facts::FCALL, &[b"FCALL", b"f", b"2", b"{foo}1", b"{foo}2"]));
    assert!(refused(moved, &facts::UNKNOWN, &[b"BF.ADD", b"foo", b"x"]), "any word may be a key");
    assert!(!refused(moved, &facts::UNKNOWN, &[b"foo", b"bar"]), "but not the name");
    assert!(!refused(moved, &facts::UNKNOWN, &[]));
}

proptest! {
    /// What stands before or behind a sentence shows that a script has said it.
    #[test]
    fn no_sentence_is_believed_within_another_line(nth in 0..SENTENCES.len(), word in "[a-z]{1,8}") {
        let line = SENTENCES[nth].replace('*', "Redis").replace('@', "'eval':").replace('…', "x");
        prop_assert!(refused(&line, &facts::EVAL, &EVAL), "{line}");
        prop_assert!(!refused(&format!("{word} {line}"), &facts::EVAL, &EVAL), "{word} {line}");
        if !SENTENCES[nth].ends_with('…') {
            prop_assert!(!refused(&format!("{line} {word}"), &facts::EVAL, &EVAL), "{line} {word}");
        }
    }
}
