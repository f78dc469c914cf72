//! The finder finds the same frames, and fails at the same frame for the same reason, whether bytes arrive at
//! once, one by one, or in pieces of sizes the input chooses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redwire_resp::{Finder, Found, Limits, ProtocolErrorKind};

/// Small, so that the fuzzer meets them.
const LIMITS: Limits = Limits { depth: 6, bulk_len: 4096, elements: 64, line_len: 4096, frame_len: 1 << 16 };

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (pieces, buf) = input;
    let whole = frames(buf, [].into_iter());
    let mut end = 0;
    let cuts = pieces.iter().map(|piece| {
        end += usize::from(*piece);
        end
    });
    assert_eq!(frames(buf, cuts), whole);
    assert_eq!(frames(buf, 0..buf.len()), whole);
    assert!(whole.0.iter().map(|found| found.len).sum::<usize>() <= buf.len());
});

fn frames(buf: &[u8], cuts: impl Iterator<Item = usize>) -> (Vec<Found>, Option<ProtocolErrorKind>) {
    let mut finder = Finder::new(LIMITS);
    let mut found = Vec::new();
    let mut start = 0;
    for end in cuts.take_while(|end| *end < buf.len()).chain([buf.len()]) {
        loop {
            match finder.find(&buf[start..end]) {
                Ok(Some(frame)) => {
                    assert!((1..=end - start).contains(&frame.len));
                    start += frame.len;
                    found.push(frame);
                }
                Ok(None) => {
                    assert!(finder.missing() > 0);
                    break;
                }
                Err(error) => return (found, Some(error.kind())),
            }
        }
    }
    (found, None)
}
