//! Types that read less than their reply, more, or fail in its middle, between others that must not notice.

use std::collections::HashMap;

use super::*;
use crate::cmd::Cmd;
use crate::error::{ErrorKind, Outcome};
use crate::pipeline::{Batch, Pipeline, Slot, Slots};
use crate::reply::Value;
use crate::run::Run;

/// Reads nothing.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Ignored;

impl Reply for Ignored {
    fn decode(_: &mut Reader<'_>) -> Result<Self> {
        Ok(Self)
    }
}

/// Reads the first item of its list.
#[derive(Debug, PartialEq)]
struct First(i64);

impl Reply for First {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        i64::decode_item(reader, &mut items).map(Self)
    }
}

/// Fails after the first item of its list.
#[derive(Debug)]
struct Fails;

impl Reply for Fails {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        First::decode(reader)?;
        Err(decode_error("no more, please"))
    }
}

/// Reads one value more than its reply has.
#[derive(Debug)]
struct Greedy;

impl Reply for Greedy {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Value::decode(reader)?;
        Value::decode(reader).map(|_| Self)
    }
}

/// A list of three, which may come as any kind of list, and what follows it.
const LISTS: [&[u8]; 5] = [
    b"*3\r\n:1\r\n*2\r\n:5\r\n:6\r\n:3\r\n",
    b"~3\r\n:1\r\n~2\r\n:5\r\n:6\r\n:3\r\n",
    b"*?\r\n:1\r\n*?\r\n:5\r\n:6\r\n.\r\n:3\r\n.\r\n",
    b"|1\r\n+a\r\n*1\r\n+b\r\n*3\r\n:1\r\n*2\r\n:5\r\n:6\r\n:3\r\n",
    b"%2\r\n:1\r\n:2\r\n:3\r\n:4\r\n",
];

/// In one piece, or each reply in one of its own.
fn replies(frames: &[&[u8]], apart: bool) -> Replies {
    let mut replies = Replies::default();
    if apart {
        frames.iter().for_each(|frame| replies.push(Bytes::copy_from_slice(frame), 1, true));
    } else {
        replies.push(frames.concat().into(), frames.len(), true);
    }
    replies
}

#[test]
fn the_next_reply_begins_at_its_own_frame() {
    for list in LISTS {
        for apart in [false, true] {
            let mut all = replies(&[list, list, list, list, list, list, b"+end\r\n"], apart);
            assert_eq!(all.read::<Ignored>().unwrap(), Ignored);
            assert_eq!(all.read::<First>().unwrap(), First(1));
            assert_eq!(all.read::<Fails>().unwrap_err().kind(), ErrorKind::Decode);
            assert_eq!(all.read::<Greedy>().unwrap_err().kind(), ErrorKind::Protocol, "its own reply is all");
            assert_eq!(all.read::<Option<Box<First>>>().unwrap(), Some(Box::new(First(1))));
            assert_eq!(all.read::<Result<Ignored>>().unwrap().unwrap(), Ignored);
            assert_eq!(all.read::<String>().unwrap(), "end");
            // In any order.
            assert_eq!(all.read_at::<First>(4).unwrap(), First(1));
            assert_eq!(all.read_at::<Ignored>(0).unwrap(), Ignored);
            assert_eq!(all.read_at::<String>(6).unwrap(), "end");
            assert_eq!(all.read_at::<Ignored>(7).unwrap_err().kind(), ErrorKind::Decode, "there are 7");
        }
    }
}

#[test]
fn the_next_item_begins_at_its_own_value() {
    let list = b"*3\r\n*2\r\n:1\r\n:2\r\n*3\r\n:3\r\n:4\r\n:5\r\n*1\r\n:6\r\n";
    let read = |frame: &[u8]| replies(&[frame, b"+end\r\n"], false);
    assert_eq!(read(list).read::<Vec<First>>().unwrap(), [First(1), First(3), First(6)]);
    assert_eq!(
        read(list).read::<(Option<First>, Ignored, Vec<i64>)>().unwrap(),
        (Some(First(1)), Ignored, vec![6])
    );
    assert_eq!(read(list).read::<(Ignored, Box<Ignored>, [i64; 1])>().unwrap().2, [6]);
    let mut all = read(list);
    assert_eq!(all.read::<Vec<Ignored>>().unwrap().len(), 3);
    assert_eq!(all.read::<String>().unwrap(), "end");
    let map = b"%2\r\n+a\r\n*2\r\n:1\r\n:2\r\n+b\r\n*1\r\n:3\r\n";
    let map: HashMap<String, First> = read(map).read().unwrap();
    assert_eq!((map["a"].0, map["b"].0), (1, 3));
}

fn queue<R: Reply>(pipeline: &Pipeline, word: &str) -> Slot<R> {
    pipeline.run(Cmd::new("GET").arg(word))
}

fn finish<S: Slots>((batch, slots): (Batch, S), frames: &[&[u8]]) -> Result<S::Out> {
    batch.finish(replies(frames, false), slots)
}

#[test]
fn slots_read_their_own_frames() {
    let two = [&b"$2\r\nva\r\n"[..], b"$2\r\nvb\r\n"];
    let values = finish(Pipeline::record(|p| (queue::<Ignored>(p, "a"), queue::<String>(p, "b"))), &two);
    assert_eq!(values.unwrap(), (Ignored, "vb".to_owned()));
    let recorded = Pipeline::record(|p| (queue::<Fails>(p, "a").attempt(), queue::<String>(p, "b")));
    let (failed, value) = finish(recorded, &[LISTS[0], two[1]]).unwrap();
    assert_eq!((failed.unwrap_err().kind(), value), (ErrorKind::Decode, "vb".to_owned()));
}

/// A slot that was kept is another command's, or none's.
#[test]
fn a_slot_of_another_pipeline_is_an_error() {
    let kept = || {
        let mut kept = None;
        let _ = Pipeline::record(|p| kept = Some(queue::<String>(p, "a")));
        kept.expect("it was kept")
    };
    let refused = [
        Pipeline::record(|p| (queue::<String>(p, "b"), kept())).0.check(),
        Pipeline::record(|p| (queue::<String>(p, "b"), kept().attempt())).0.check(),
        Pipeline::record(|p| vec![queue::<String>(p, "b"), kept()]).0.check(),
        Pipeline::record(|p| [queue::<String>(p, "b"), kept()]).0.check(),
        Pipeline::record(|p| (queue::<String>(p, "b"), (Some(kept()), ()))).0.check(),
    ];
    for result in refused {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
    }
    Pipeline::record(|p| (None::<Slot<String>>, (), Vec::<Slot<String>>::new(), queue::<String>(p, "b")))
        .0
        .check()
        .unwrap();
    // Slots that hide it find out when they are filled.
    let (batch, _) = Pipeline::record(|p| queue::<String>(p, "b"));
    let error = batch.finish(replies(&[b"$2\r\nvb\r\n"], false), kept()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
}

/// Those of two requests, the second in two pieces.
#[test]
fn woven_replies_are_read_in_the_order_of_the_commands() {
    let piece = |bytes: &'static [u8], count| {
        let mut replies = Replies::default();
        replies.push(Bytes::from_static(bytes), count, false);
        replies
    };
    let mut two = piece(b":2\r\n", 1);
    two.push(Bytes::from_static(b":5\r\n:6\r\n"), 2, false);
    let one = piece(b":1\r\n*1\r\n:3\r\n:4\r\n", 3);
    let mut replies = Replies::woven(vec![0, 1, 0, 0, 1, 1], vec![one, two]);
    assert_eq!(replies.read::<Ignored>().unwrap(), Ignored);
    assert_eq!(replies.read::<i64>().unwrap(), 2);
    assert!(replies.read::<Fails>().is_err());
    for index in [3, 4, 5, 0, 1, 5, 4, 3, 1] {
        assert_eq!(replies.read_at::<i64>(index).unwrap(), i64::from(index) + 1);
    }
    let mapped = replies.clone().without_first();
    assert_eq!(mapped.each().map(|frame| frame.len()).collect::<Vec<_>>(), [4, 8, 4, 4, 4]);
}
