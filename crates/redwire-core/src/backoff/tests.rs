//! Promises: every shape stays within its bounds, at any attempt and for any times.

use std::time::Duration;

use proptest::prelude::*;

use super::Backoff;

const MS: Duration = Duration::from_millis(1);
/// The random number just past one half.
const MIDDLE: u64 = 1 << 63;

#[test]
fn each_shape_has_its_delays() {
    let cap = 10 * MS;
    let rows: [(Backoff, u64, [u32; 6]); 11] = [
        (Backoff::none(), MIDDLE, [0; 6]),
        (Backoff::constant(3 * MS), MIDDLE, [3; 6]),
        (Backoff::linear(3 * MS, cap), MIDDLE, [3, 6, 9, 10, 10, 10]),
        (Backoff::exponential(MS, cap), MIDDLE, [1, 2, 4, 8, 10, 10]),
        (Backoff::full_jitter(2 * MS, cap), 0, [0; 6]),
        (Backoff::full_jitter(2 * MS, cap), MIDDLE, [1, 2, 4, 5, 5, 5]),
        (Backoff::full_jitter(2 * MS, cap), u64::MAX, [2, 4, 8, 10, 10, 10]),
        (Backoff::equal_jitter(2 * MS, cap), 0, [1, 2, 4, 5, 5, 5]),
        (Backoff::equal_jitter(2 * MS, cap), u64::MAX, [2, 4, 8, 10, 10, 10]),
        (Backoff::decorrelated_jitter(2 * MS, cap), 0, [2; 6]),
        (Backoff::decorrelated_jitter(MS, cap), u64::MAX, [3, 9, 10, 10, 10, 10]),
    ];
    for (backoff, random, expected) in rows {
        let mut previous = Duration::ZERO;
        for (attempt, expected) in (1..).zip(expected) {
            previous = backoff.delay(attempt, previous, random);
            assert_eq!(previous.as_nanos() / MS.as_nanos(), u128::from(expected), "{backoff} at {attempt}");
        }
    }
}

#[test]
fn attempt_zero_is_the_first() {
    let backoff = Backoff::exponential(MS, 10 * MS);
    assert_eq!(backoff.delay(0, Duration::ZERO, 0), backoff.delay(1, Duration::ZERO, 0));
}

#[test]
fn nothing_overflows() {
    for make in SHAPES {
        let backoff = make(Duration::MAX, Duration::MAX);
        let delay = backoff.delay(u32::MAX, Duration::MAX, u64::MAX);
        assert!(delay > Duration::from_secs(500 * 365 * 24 * 3600), "{delay:?}");
    }
}

#[test]
fn texts_that_are_no_backoff() {
    let bad = [
        "",
        "full",
        "full:1",
        "full:1:2:3",
        "none:1",
        "constant",
        "constant:1:2",
        "Full:1:2",
        "linear:a:1",
        ":",
    ];
    for text in bad {
        assert!(text.parse::<Backoff>().is_err(), "{text}");
    }
}

const SHAPES: [fn(Duration, Duration) -> Backoff; 5] = [
    Backoff::linear,
    Backoff::exponential,
    Backoff::full_jitter,
    Backoff::equal_jitter,
    Backoff::decorrelated_jitter,
];

fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..2_000_000_000_u64).prop_map(Duration::from_nanos),
        any::<(u64, u32)>().prop_map(|(secs, nanos)| Duration::new(secs, nanos % 1_000_000_000)),
    ]
}

/// Times a text can hold: up to a year.
fn printable_time() -> impl Strategy<Value = Duration> {
    (0..31_536_000_000_000_000_u64).prop_map(Duration::from_nanos)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_above_the_cap(
        shape in 0..SHAPES.len(), base in time(), cap in time(), attempt: u32,
        previous in time(), random: u64,
    ) {
        prop_assert!(SHAPES[shape](base, cap).delay(attempt, previous, random) <= cap);
    }

    #[test]
    fn without_jitter_never_shorter_than_before(
        shape in 0..2_usize, base in time(), cap in time(), attempt in 0..u32::MAX, random: u64,
    ) {
        let backoff = SHAPES[shape](base, cap);
        let (now, next) = (backoff.delay(attempt, base, random), backoff.delay(attempt + 1, base, random));
        prop_assert!(now <= next);
    }

    #[test]
    fn jitter_stays_in_its_bounds(
        base in time(), cap in time(), attempt in 0..100_u32, previous in time(), random: u64,
    ) {
        let full = Backoff::exponential(base, cap).delay(attempt, previous, random);
        prop_assert!(Backoff::full_jitter(base, cap).delay(attempt, previous, random) <= full);
        let equal = Backoff::equal_jitter(base, cap).delay(attempt, previous, random);
        prop_assert!(full / 2 <= equal && equal <= full);
        let decorrelated = Backoff::decorrelated_jitter(base, cap).delay(attempt, previous, random);
        // Past 584 years everything is the same.
        prop_assume!(base < Duration::from_nanos(u64::MAX));
        prop_assert!(base.min(cap) <= decorrelated);
        prop_assert!(decorrelated <= previous.max(base).saturating_mul(3).min(cap));
    }

    #[test]
    fn more_random_is_no_shorter(
        shape in 0..SHAPES.len(), base in time(), cap in time(), attempt: u32, a: u64, b: u64,
    ) {
        let delay = |random| SHAPES[shape](base, cap).delay(attempt, base, random);
        prop_assert!(delay(a.min(b)) <= delay(a.max(b)));
    }

    #[test]
    fn text_reads_back(shape in 0..SHAPES.len(), base in printable_time(), cap in printable_time()) {
        for backoff in [SHAPES[shape](base, cap), Backoff::constant(base), Backoff::none()] {
            prop_assert_eq!(backoff.to_string().parse(), Ok(backoff));
        }
    }
}
