//! Slots of keys and commands.

use proptest::prelude::*;

use super::super::{slot, slot_of_words};
use crate::error::{ClusterFault, ErrorKind};
use crate::facts;

/// CRC16 as its definition says, bit by bit.
fn bitwise(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

proptest! {
    #[test]
    fn a_slot_is_the_crc_of_the_tag(before in "[^{}]{0,4}", tag in "[^{}]{1,8}", after in ".{0,6}") {
        let key = format!("{before}{{{tag}}}{after}");
        prop_assert_eq!(slot(key.as_bytes()), bitwise(tag.as_bytes()) % 16_384);
    }

    #[test]
    fn without_braces_the_whole_key_counts(key in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assume!(!key.contains(&b'{'));
        prop_assert_eq!(slot(&key), bitwise(&key) % 16_384);
    }
}

#[test]
fn the_slots_of_servers() {
    // As `CLUSTER KEYSLOT` answers, and what counts of each key.
    let table: [(&str, &str); 12] = [
        ("", ""),
        ("foo", "foo"),
        ("{user1000}.following", "user1000"),
        ("foo{}{bar}", "foo{}{bar}"),
        ("foo{{bar}}zap", "{bar"),
        ("foo{bar}{zap}", "bar"),
        ("{}", "{}"),
        ("{", "{"),
        ("}", "}"),
        ("}{a}", "a"),
        ("{a", "{a"),
        ("a}b{c}d", "c"),
    ];
    for (key, counts) in table {
        assert_eq!(slot(key.as_bytes()), bitwise(counts.as_bytes()) % 16_384, "{key:?}");
    }
    assert_eq!((slot(b"foo"), slot(b"123456789"), slot(b"")), (12_182, 12_739, 0));
}

fn of(line: &str) -> crate::Result<Option<u16>> {
    let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
    let facts = facts::lookup(words[0], words.get(1).copied()).unwrap_or(&facts::UNKNOWN);
    slot_of_words(facts, words.into_iter())
}

#[test]
fn all_keys_of_a_command_agree_or_are_named() {
    assert_eq!(of("GET foo").unwrap(), Some(12_182));
    assert_eq!(of("PING").unwrap(), None);
    assert_eq!(of("NO.SUCH foo").unwrap(), Some(12_182));
    assert_eq!(of("NO.SUCH").unwrap(), None);
    assert_eq!(of("EVAL s 2 {foo}1 {foo}2 x").unwrap(), Some(12_182));
    assert_eq!(of("EVAL s 0 x").unwrap(), None);
    assert_eq!(of("SPUBLISH foo message").unwrap(), Some(12_182));
    assert_eq!(of("ZUNIONSTORE {foo}d 2 {foo}a foo WEIGHTS 1 2").unwrap(), Some(12_182));
    let error = of("RENAME foo bar").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::CrossSlot));
    let text = error.to_string();
    for words in ["RENAME", "\"foo\" in 12182", "\"bar\" in 5061", "hash tag", "not sent"] {
        assert!(text.contains(words), "{text}");
    }
    assert!(!error.is_retryable());
    let many = (0..20).map(|n| format!(" k{n}")).collect::<String>();
    let text = of(&format!("SUNION{many}")).unwrap_err().to_string();
    assert!(text.contains("and 12 more"), "{text}");
}
