//! How long framing, reading and writing take, without sockets. Rounds of all cases are interleaved and the
//! median of each is printed. `cargo bench -p redwire-resp` runs all; `-- once <case>` runs one pass of a
//! case, for counting its instructions under callgrind.
#![allow(missing_docs, clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use redwire_resp::{Cursor, Finder, Head, Len, Limits, write_array_header, write_bulk};

const ROUNDS: usize = 31;

struct Case {
    name: &'static str,
    /// What one pass goes through: elements for which the time is printed, and bytes.
    elements: usize,
    bytes: usize,
    passes: usize,
    run: Box<dyn FnMut()>,
}

fn main() {
    let mut cases = cases();
    let args: Vec<String> = std::env::args().collect();
    if let Some(once) = args.iter().position(|arg| arg == "once") {
        let name = args.get(once + 1).expect("once is followed by the name of a case");
        let case = cases.iter_mut().find(|case| case.name == name).expect("a case of that name");
        (case.run)();
        println!("{}: {} elements", case.name, case.elements);
        return;
    }
    let mut times = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for _ in 0..ROUNDS {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (0..case.passes).for_each(|_| (case.run)());
            times.push(start.elapsed() / case.passes as u32);
        }
    }
    println!("{:<22} {:>10} {:>14} {:>8}", "case", "ns/element", "elements/s", "GB/s");
    for (case, times) in cases.iter().zip(&mut times) {
        report(case, times);
    }
}

fn report(case: &Case, times: &mut [Duration]) {
    times.sort_unstable();
    let median = times[times.len() / 2].as_secs_f64();
    let per_element = median / case.elements as f64;
    println!(
        "{:<22} {:>10.2} {:>14.0} {:>8.2}",
        case.name,
        per_element * 1e9,
        1.0 / per_element,
        case.bytes as f64 / median / 1e9,
    );
}

fn cases() -> Vec<Case> {
    let array = array_of_bulks(10_000, 100);
    let status = b"+OK\r\n:1\r\n".repeat(5_000);
    let small = b"$3\r\nabc\r\n".repeat(10_000);
    let map = map(1_000);
    let large = array_of_bulks(1, 16 << 20);
    vec![
        case("array-find", 10_000, &array, 10, |buf| frames(buf, 1)),
        case("array-read", 10_000, &array, 10, |buf| heads(buf, 10_001)),
        case("array-vec", 10_000, &array, 10, collect),
        case("status-find", 10_000, &status, 20, |buf| frames(buf, 10_000)),
        case("status-read", 10_000, &status, 20, |buf| heads(buf, 10_000)),
        case("status-find-read", 10_000, &status, 20, find_and_read),
        case("small-bulk-find", 10_000, &small, 20, |buf| frames(buf, 10_000)),
        case("map-find", 1_000, &map, 100, |buf| frames(buf, 1)),
        case("map-read", 1_000, &map, 100, |buf| heads(buf, 2_001)),
        case("bulk-16M-find", 1, &large, 1_000, |buf| frames(buf, 1)),
        case("bulk-16M-by-16K", 1_024, &large, 10, in_pieces),
        encode("encode-get", &[b"GET", b"user:1000:name"]),
        encode("encode-set", &[b"SET", b"user:1000:name", &[b'x'; 100]]),
    ]
}

fn case(name: &'static str, elements: usize, buf: &[u8], passes: usize, run: fn(&[u8])) -> Case {
    let buf = buf.to_vec();
    Case { name, elements, bytes: buf.len(), passes, run: Box::new(move || run(black_box(&buf))) }
}

fn encode(name: &'static str, args: &'static [&'static [u8]]) -> Case {
    let mut out = Vec::with_capacity(1 << 20);
    let bytes = 1_000 * args.iter().map(|arg| arg.len() + 6).sum::<usize>();
    let run = Box::new(move || {
        out.clear();
        for _ in 0..1_000 {
            write_array_header(&mut out, args.len());
            black_box(args).iter().for_each(|arg| write_bulk(&mut out, arg));
        }
        black_box(&out);
    });
    Case { name, elements: 1_000, bytes, passes: 100, run }
}

fn frames(buf: &[u8], expected: usize) {
    let mut finder = Finder::new(Limits::default());
    let (mut at, mut count) = (0, 0);
    while let Some(found) = finder.find(&buf[at..]).expect("well-formed") {
        at += found.len;
        count += 1;
    }
    assert_eq!((at, count), (buf.len(), expected));
}

fn heads(buf: &[u8], expected: usize) {
    let mut cursor = Cursor::new(buf);
    let mut count = 0;
    while !cursor.is_empty() {
        black_box(cursor.head().expect("well-formed"));
        count += 1;
    }
    assert_eq!(count, expected);
}

fn collect(buf: &[u8]) {
    let mut cursor = Cursor::new(buf);
    let Ok(Head::Array(Len::Known(len))) = cursor.head() else { panic!("an array") };
    let mut values = Vec::with_capacity(len);
    for _ in 0..len {
        let Ok(Head::Bulk(bytes)) = cursor.head() else { panic!("a bulk") };
        values.push(bytes.to_vec());
    }
    black_box(values);
}

fn find_and_read(buf: &[u8]) {
    let mut finder = Finder::new(Limits::default());
    let mut at = 0;
    while let Some(found) = finder.find(&buf[at..]).expect("well-formed") {
        let mut cursor = Cursor::new(&buf[at..at + found.len]);
        black_box(cursor.head().expect("well-formed"));
        at += found.len;
    }
    assert_eq!(at, buf.len());
}

fn in_pieces(buf: &[u8]) {
    let mut finder = Finder::new(Limits::default());
    for end in (16 << 10..buf.len()).step_by(16 << 10) {
        assert_eq!(finder.find(&buf[..end]), Ok(None));
    }
    assert!(finder.find(buf).is_ok_and(|found| found.is_some_and(|found| found.len == buf.len())));
}

fn array_of_bulks(count: usize, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    write_array_header(&mut out, count);
    (0..count).for_each(|_| write_bulk(&mut out, &vec![b'x'; len]));
    out
}

fn map(pairs: usize) -> Vec<u8> {
    let mut out = format!("%{pairs}\r\n").into_bytes();
    for pair in 0..pairs {
        write_bulk(&mut out, format!("field:{pair}").as_bytes());
        write_bulk(&mut out, b"a value of thirty-two bytes, yes");
    }
    out
}
