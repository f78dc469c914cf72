//! Times as the servers count them. The one place that rounds: up, and never to the zero that means something
//! else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whole milliseconds, at least 1: a rest of a millisecond counts as one.
pub(crate) fn millis(duration: Duration) -> u64 {
    let millis = duration.as_nanos().div_ceil(1_000_000).max(1);
    // Servers count in i64; what is beyond lasts for ever in any case.
    u64::try_from(millis).unwrap_or(u64::MAX).min(i64::MAX as u64)
}

/// A timeout in seconds with milliseconds behind the point; zero, which waits for ever, stays zero, and what
/// is more than servers take becomes zero.
///
/// No timeout is shorter than 2 ms: Redis 6.2 rounds `0.001` down and would wait for ever.
pub(crate) fn timeout(duration: Duration) -> f64 {
    match wait_millis(duration) {
        0 => 0.0,
        millis => millis.max(2) as f64 / 1000.0,
    }
}

/// As [`timeout`], in milliseconds.
pub(crate) fn wait_millis(duration: Duration) -> u64 {
    // Servers refuse a wait whose end they cannot count to, in i64 or in `double`.
    if duration > Duration::from_millis(1 << 53) { 0 } else { timeout_millis(duration) }
}

/// A time in milliseconds of which zero is none.
pub(crate) fn timeout_millis(duration: Duration) -> u64 {
    if duration.is_zero() { 0 } else { millis(duration) }
}

/// Milliseconds since 1970, below zero before that.
pub(crate) fn unix_millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_up_and_never_to_zero() {
        let cases = [(0, 1), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2), (1_500_000_000, 1500)];
        for (nanos, expected) in cases {
            assert_eq!(millis(Duration::from_nanos(nanos)), expected, "{nanos} ns");
        }
        assert_eq!(millis(Duration::MAX), i64::MAX as u64);
        assert_eq!(timeout(Duration::ZERO), 0.0);
        assert_eq!(timeout(Duration::from_nanos(1)), 0.002);
        assert_eq!(timeout(Duration::from_millis(2500)), 2.5);
        // Beyond all limits is without limit for a wait, and never met by a time that something was idle for.
        assert_eq!((timeout(Duration::MAX), wait_millis(Duration::MAX)), (0.0, 0));
        assert_eq!(timeout_millis(Duration::MAX), i64::MAX as u64);
    }

    #[test]
    fn moments_count_from_1970() {
        assert_eq!(unix_millis(UNIX_EPOCH + Duration::from_millis(1500)), 1500);
        assert_eq!(unix_millis(UNIX_EPOCH - Duration::from_millis(1500)), -1500);
    }
}
