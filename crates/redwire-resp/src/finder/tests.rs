//! The finder against its twin, in pieces, at its limits, and type by type.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::twin::{self, Stop, Tree};

/// Small enough that random values exceed them now and then.
const TIGHT: Limits = Limits { depth: 4, bulk_len: 1000, elements: 6, line_len: 7, frame_len: 2000 };

/// Frames found when `buf` arrives up to each of `cuts` in turn and then whole.
fn frames(buf: &[u8], limits: Limits, cuts: &[usize]) -> (Vec<Found>, Stop) {
    let mut finder = Finder::new(limits);
    let mut found = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([buf.len()]) {
        while start <= end {
            match finder.find(&buf[start..end]) {
                Ok(Some(frame)) => {
                    start += frame.len;
                    found.push(frame);
                }
                Ok(None) => {
                    assert!(finder.missing() > 0);
                    break;
                }
                Err(_) => {
                    assert!(finder.find(&buf[start..end]).is_err(), "fails until it is reset");
                    return (found, Stop::Bad);
                }
            }
        }
    }
    (found, Stop::Short)
}

fn kind(buf: &[u8]) -> ProtocolErrorKind {
    match Finder::new(Limits::default()).find(buf) {
        Err(error) => error.kind(),
        other => panic!("{} gave {other:?}", buf.escape_ascii()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn written_values_are_found_whole_however_they_arrive(
        trees in vec(twin::tree(), 1..5),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let each: Vec<Vec<u8>> = trees.iter().map(Tree::bytes).collect();
        let buf = each.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(buf.len())).collect();
        cuts.sort_unstable();
        let limits = Limits::default();
        let (found, stop) = frames(&buf, limits, &cuts);
        let lens: Vec<usize> = found.iter().map(|frame| frame.len).collect();
        prop_assert_eq!(lens, each.iter().map(Vec::len).collect::<Vec<_>>());
        prop_assert_eq!(stop, Stop::Short);
        prop_assert_eq!(twin::frames(&buf, limits), (found, stop));
    }

    #[test]
    fn damaged_values_are_judged_as_the_twin_does(
        buf in prop_oneof![twin::damaged(), twin::garbage(), vec(any::<u8>(), 0..40)],
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(buf.len() + 1)).collect();
        cuts.sort_unstable();
        for limits in [TIGHT, Limits::default()] {
            let expected = twin::frames(&buf, limits);
            prop_assert_eq!(&frames(&buf, limits, &[]), &expected);
            prop_assert_eq!(&frames(&buf, limits, &cuts), &expected);
            prop_assert_eq!(&frames(&buf, limits, &(0..buf.len()).collect::<Vec<_>>()), &expected);
        }
    }
}

#[test]
fn every_type_is_found() {
    let frames: [&[u8]; 27] = [
        b"+OK\r\n",
        b"+\r\n",
        b"-ERR no\r\n",
        b":-12\r\n",
        b"$0\r\n\r\n",
        b"$5\r\na\r\nbc\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1e-3\r\n",
        b"(123\r\n",
        b"!3\r\nERR\r\n",
        b"=5\r\ntxt:x\r\n",
        b"~1\r\n:1\r\n",
        b"%1\r\n+k\r\n*0\r\n",
        b"|1\r\n+k\r\n+v\r\n:1\r\n",
        b"|0\r\n|0\r\n:1\r\n",
        b"$?\r\n;1\r\na\r\n;0\r\n",
        b"$?\r\n;0\r\n",
        b"*?\r\n.\r\n",
        b"~?\r\n:1\r\n.\r\n",
        b"%?\r\n:1\r\n:2\r\n.\r\n",
        b"*1\r\n>1\r\n:1\r\n",
        b"*?\r\n$?\r\n;0\r\n|1\r\n_\r\n_\r\n_\r\n.\r\n",
        b"$007\r\n1234567\r\n",
    ];
    for frame in frames {
        let found = Finder::new(Limits::default()).find(&[frame, b"+next\r\n"].concat());
        assert_eq!(found, Ok(Some(Found { len: frame.len(), push: false })), "{}", frame.escape_ascii());
    }
}

#[test]
fn pushes_are_known_from_replies() {
    for frame in [&b">1\r\n+x\r\n"[..], b">?\r\n+x\r\n.\r\n", b"|1\r\n>1\r\n_\r\n_\r\n>0\r\n"] {
        let found = Finder::new(Limits::default()).find(frame);
        assert_eq!(found, Ok(Some(Found { len: frame.len(), push: true })));
    }
    let mut finder = Finder::new(Limits::default());
    assert!(finder.find(b">1\r\n+x\r\n").is_ok_and(|found| found.is_some_and(|found| found.push)));
    assert_eq!(finder.find(b"|1\r\n>0\r\n_\r\n:1\r\n"), Ok(Some(Found { len: 15, push: false })));
}

#[test]
fn errors_say_what_was_expected() {
    use ProtocolErrorKind as Kind;
    let cases: [(&[u8], Kind); 33] = [
        (b"x", Kind::Type),
        (b"\0", Kind::Type),
        (b";0\r\n", Kind::Type),
        (b".\r\n", Kind::Type),
        (b"\r\n", Kind::Type),
        (b"*1\r\n.\r\n", Kind::Type),
        (b"*?\r\n;0\r\n", Kind::Type),
        (b"|1\r\n_\r\n.", Kind::Type),
        (b"$\r\n", Kind::Length),
        (b"$+1\r\n", Kind::Length),
        (b"$-2\r\n", Kind::Length),
        (b"$-0\r\n", Kind::Length),
        (b"$1a\r\n", Kind::Length),
        (b"$ 1\r\n", Kind::Length),
        (b"$-1a\r\n", Kind::Length),
        (b"*-2\r\n", Kind::Length),
        (b"%-1\r\n", Kind::Length),
        (b"!-1\r\n", Kind::Length),
        (b"=?\r\n", Kind::Length),
        (b"|?\r\n", Kind::Length),
        (b"$18446744073709551617\r\n", Kind::Length),
        (b"$00000000000000000001\r\n", Kind::Length),
        (b"$?\r\n;?\r\n", Kind::Length),
        (b"$1\n", Kind::Length),
        (b"$1\rx", Kind::LineEnd),
        (b"+a\nb\r\n", Kind::LineEnd),
        (b"+a\rb\r\n", Kind::LineEnd),
        (b"*?\r\n.\n", Kind::LineEnd),
        (b"$1\r\nab\r\n", Kind::BodyEnd),
        (b"$?\r\n+x\r\n", Kind::Chunk),
        (b"%?\r\n:1\r\n.", Kind::Value),
        (b"*?\r\n|0\r\n.", Kind::Value),
        (b"%?\r\n:1\r\n|0\r\n.", Kind::Value),
    ];
    for (buf, expected) in cases {
        assert_eq!(kind(buf), expected, "{}", buf.escape_ascii());
    }
}

#[test]
fn limits_are_applied_before_anything_is_awaited() {
    use ProtocolErrorKind as Kind;
    for buf in [&b"$9999999999\r\n"[..], b"!536870913\r\n", b"$?\r\n;536870912\r\n;1\r\n"] {
        let at_limit = buf.starts_with(b"$?");
        assert_eq!(Finder::new(Limits::default()).find(buf).is_err(), !at_limit);
    }
    assert_eq!(kind(b"$9999999999\r\n"), Kind::BulkLimit);
    assert_eq!(kind(b"*268435457\r\n"), Kind::ElementLimit);
    assert_eq!(kind(b"%9223372036854775807\r\n"), Kind::ElementLimit);
    assert_eq!(kind(&b"*1\r\n".repeat(1_000_000)), Kind::DepthLimit);
    assert_eq!(kind(&b"|1\r\n".repeat(1_000_000)), Kind::DepthLimit);
    let mut finder = Finder::new(Limits { depth: 255, ..Limits::WIDEST });
    assert!(finder.find(b"*9999999999999999999\r\n").is_err());
    finder.reset();
    assert_eq!(finder.find(b"$9223372036854775000\r\n"), Ok(None));
    assert_eq!(finder.missing(), 9_223_372_036_854_775_002);
}

#[test]
fn limits_are_met_exactly() {
    let nested = |depth| [&b"*1\r\n".repeat(depth)[..], b":1\r\n"].concat();
    assert!(matches!(Finder::new(Limits::default()).find(&nested(64)), Ok(Some(_))));
    assert_eq!(kind(&nested(65)), ProtocolErrorKind::DepthLimit);
    assert!(Finder::new(Limits { depth: 0, ..TIGHT }).find(b"*0\r\n").is_err());
    assert!(matches!(
        Finder::new(TIGHT).find(&[&b"%6\r\n"[..], &b":1\r\n".repeat(12)].concat()),
        Ok(Some(_))
    ));
    let limits = Limits { bulk_len: 500, ..TIGHT };
    for head in ["", "*2\r\n:1\r\n", "*2\r\n"] {
        let bulk = |len: usize| format!("{head}${len}\r\n{}\r\n:1\r\n", "x".repeat(len)).into_bytes();
        assert!(matches!(Finder::new(limits).find(&bulk(500)), Ok(Some(_))));
        let error = Finder::new(limits).find(&bulk(501)).map_err(|error| error.kind());
        assert_eq!(error, Err(ProtocolErrorKind::BulkLimit));
    }
}

#[test]
fn announcements_take_no_memory() {
    let mut finder = Finder::new(Limits::default());
    assert_eq!(finder.find(b"*268435456\r\n$536870912\r\n"), Ok(None));
    assert_eq!(finder.missing(), 536_870_914);
    assert!(finder.open.capacity() < 16);
}

#[test]
fn streamed_values_are_limited_as_they_come() {
    let mut finder = Finder::new(TIGHT);
    let elements = [&b"%?\r\n"[..], &b":1\r\n".repeat(12)].concat();
    assert_eq!(finder.find(&elements), Ok(None));
    let error = finder.find(&[&elements[..], b":"].concat()).expect_err("one too many");
    assert_eq!(error.kind(), ProtocolErrorKind::ElementLimit);
    assert!(error.is_limit());
    finder.reset();
    assert_eq!(finder.find(&[&elements[..], b".\r\n"].concat()), Ok(Some(Found { len: 55, push: false })));
    let chunk = [b";600\r\n", &[b'x'; 600][..], b"\r\n"].concat();
    let error = finder.find(&[b"$?\r\n", &chunk[..], &chunk].concat()).expect_err("more than 1000 bytes");
    assert_eq!(error.kind(), ProtocolErrorKind::BulkLimit);
}

#[test]
fn lines_are_limited() {
    let cap = 64 * 1024;
    let limits = Limits { line_len: cap as u64, ..Limits::default() };
    let line = |len: usize| [b"+", &vec![b'x'; len][..], b"\r\n"].concat();
    assert_eq!(Finder::new(limits).find(&line(cap)), Ok(Some(Found { len: cap + 3, push: false })));
    let whole = line(cap + 1);
    let mut finder = Finder::new(limits);
    assert_eq!(finder.find(&whole).map_err(|error| error.kind()), Err(ProtocolErrorKind::LineLimit));
    let mut finder = Finder::new(limits);
    assert_eq!(finder.find(&whole[..cap - 3]), Ok(None));
    assert_eq!(finder.find(&whole).map_err(|error| error.kind()), Err(ProtocolErrorKind::LineLimit));
    let mut finder = Finder::new(limits);
    for end in 1..cap + 2 {
        assert_eq!(finder.find(&whole[..end]), Ok(None));
    }
    assert_eq!(
        finder.find(&whole[..cap + 2]).map_err(|error| error.kind()),
        Err(ProtocolErrorKind::LineLimit)
    );
}

#[test]
fn whole_frames_are_limited_with_attributes_and_all() {
    let limits = Limits { frame_len: 30, ..Limits::default() };
    let fits: [&[u8]; 4] = [
        b"$23\r\n12345678901234567890123\r\n",
        b"|1\r\n+a\r\n+b\r\n*2\r\n:1\r\n+1234567",
        b"+123",
        b"*4\r\n:1\r\n",
    ];
    for begun in fits {
        assert!(Finder::new(limits).find(begun).is_ok(), "{}", begun.escape_ascii());
    }
    let exceeds: [&[u8]; 6] = [
        b"$24\r\n",
        b"$24\r\n123456789012345678901234\r\n",
        b"*2\r\n:1\r\n$16\r\nab",
        b"|1\r\n+a\r\n+b\r\n|1\r\n+a\r\n+b\r\n+abcde\r\n",
        b"$?\r\n;9\r\n123456789\r\n;9\r\n123456789\r\n;0\r\n",
        b"+12345678901234567890123456789",
    ];
    for begun in exceeds {
        for end in 1..=begun.len() {
            let mut finder = Finder::new(limits);
            let (first, whole) = (finder.find(&begun[..end]).is_err(), finder.find(begun));
            let again = finder.find(begun);
            for found in [&whole, &again] {
                let kind = found.as_ref().map_err(ProtocolError::kind);
                assert_eq!(kind, Err(ProtocolErrorKind::FrameLimit), "{}", begun.escape_ascii());
            }
            assert!(!first || end > 4, "not before it is known");
        }
    }
}

#[test]
fn a_body_is_not_looked_at_until_it_is_whole() {
    let len = 1 << 20;
    let buf = [format!("${len}\r\n").as_bytes(), &vec![b'x'; len], b"\r\n"].concat();
    let mut finder = Finder::new(Limits::default());
    for end in 1..buf.len() {
        assert_eq!(finder.find(&buf[..end]), Ok(None));
        if end >= 10 {
            assert_eq!((finder.missing(), finder.pos), (buf.len() - end, buf.len() - 2));
        }
    }
    assert_eq!(finder.find(&buf), Ok(Some(Found { len: buf.len(), push: false })));
}

#[test]
fn no_byte_is_looked_at_twice_once_it_is_understood() {
    let buf = [&b"*2\r\n$2\r\nab\r\n+"[..], &[b'x'; 5000]].concat();
    let mut finder = Finder::new(Limits::default());
    for end in 1..=buf.len() {
        assert_eq!(finder.find(&buf[..end]), Ok(None));
        match end {
            ..4 => assert_eq!(finder.pos, 0),
            4..8 => assert_eq!(finder.pos, 4),
            8..12 => assert_eq!(finder.pos, 10),
            12 => assert_eq!(finder.pos, 12),
            _ => assert_eq!((finder.pos, finder.searched), (12, end - 12)),
        }
    }
}

#[test]
fn a_reset_forgets_everything() {
    for begun in
        [&b"*2\r\n"[..], b"$5\r\nab", b"+abc", b"|0\r\n", b">1\r\n", b"*1\r\n$-2", b"$1\r\nabc", b"?"]
    {
        let mut finder = Finder::new(Limits::default());
        assert!(!matches!(finder.find(begun), Ok(Some(_))));
        finder.reset();
        assert_eq!(finder.find(b"*1\r\n+a\r\n"), Ok(Some(Found { len: 8, push: false })), "{begun:?}");
    }
}

#[test]
fn a_shorter_buffer_than_before_does_no_harm() {
    for begun in [&b"*2\r\n:1\r\n"[..], b"$5\r\nab", b"*1\r\n:1\r\n:", b"*1\r\nx", b"*1\r\n$1\r\nabcd"] {
        for end in 0..begun.len() {
            let mut finder = Finder::new(Limits::default());
            let _ = finder.find(begun);
            let _ = finder.find(&begun[..end]);
        }
    }
}
