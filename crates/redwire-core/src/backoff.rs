//! How long to wait before trying again. Promises delays within `0..=cap` for every attempt, without
//! overflow, and that jitter stays within the bounds each shape states. Must not know what is being tried,
//! the time, or where random numbers come from: the driver hands one in.

use std::{fmt, str::FromStr, time::Duration};

/// A rule for the pause before the n-th retry: a shape, a base and a cap.
///
/// | shape | pause before retry *n* (1, 2, …) |
/// |---|---|
/// | [`none`](Self::none) | 0 |
/// | [`constant`](Self::constant) | base |
/// | [`linear`](Self::linear) | min(cap, base · n) |
/// | [`exponential`](Self::exponential) | e = min(cap, base · 2ⁿ⁻¹) |
/// | [`full_jitter`](Self::full_jitter) | random in 0 ..= e |
/// | [`equal_jitter`](Self::equal_jitter) | random in e/2 ..= e |
/// | [`decorrelated_jitter`](Self::decorrelated_jitter) | min(cap, random in base ..= 3 · the previous pause) |
///
/// Jitter keeps many clients that failed together from coming back together; prefer `full_jitter`.
///
/// As text (and in URLs): `none`, `constant:100ms`, `linear:10ms:1s`, `exponential:10ms:1s`, `full:10ms:1s`,
/// `equal:10ms:1s`, `decorrelated:10ms:1s`.
///
/// ```
/// # use redwire_core::backoff::Backoff;
/// # use std::time::Duration;
/// let backoff = Backoff::exponential(Duration::from_millis(10), Duration::from_secs(1));
/// assert_eq!(backoff.delay(4, Duration::ZERO, 0), Duration::from_millis(80));
/// assert_eq!("exponential:10ms:1s".parse(), Ok(backoff));
/// ```
#[doc(alias = "AbstractBackoff")]
#[doc(alias = "ExponentialBackoff")]
#[doc(alias = "FullJitterBackoff")]
#[doc(alias = "EqualJitterBackoff")]
#[doc(alias = "DecorrelatedJitterBackoff")]
#[doc(alias = "ConstantBackoff")]
#[doc(alias = "NoBackoff")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    shape: Shape,
    base: Duration,
    cap: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    None,
    Constant,
    Linear,
    Exponential,
    Full,
    Equal,
    Decorrelated,
}

impl Backoff {
    /// No pause at all.
    #[must_use]
    pub const fn none() -> Self {
        Self::new(Shape::None, Duration::ZERO, Duration::ZERO)
    }

    /// The same pause every time.
    #[must_use]
    pub const fn constant(delay: Duration) -> Self {
        Self::new(Shape::Constant, delay, delay)
    }

    /// `base`, twice `base`, three times `base`, … up to `cap`.
    #[must_use]
    pub const fn linear(base: Duration, cap: Duration) -> Self {
        Self::new(Shape::Linear, base, cap)
    }

    /// `base`, doubled each time, up to `cap`.
    #[must_use]
    pub const fn exponential(base: Duration, cap: Duration) -> Self {
        Self::new(Shape::Exponential, base, cap)
    }

    /// Anything from nothing to the exponential pause: spreads clients best.
    #[must_use]
    pub const fn full_jitter(base: Duration, cap: Duration) -> Self {
        Self::new(Shape::Full, base, cap)
    }

    /// At least half of the exponential pause, at most all of it.
    #[must_use]
    pub const fn equal_jitter(base: Duration, cap: Duration) -> Self {
        Self::new(Shape::Equal, base, cap)
    }

    /// From `base` to three times the previous pause, up to `cap`.
    #[must_use]
    pub const fn decorrelated_jitter(base: Duration, cap: Duration) -> Self {
        Self::new(Shape::Decorrelated, base, cap)
    }

    /// The pause of the first retry, before jitter.
    #[must_use]
    pub const fn base(&self) -> Duration {
        self.base
    }

    /// No pause is longer than this. A `cap` below the base is the stronger one.
    #[must_use]
    pub const fn cap(&self) -> Duration {
        self.cap
    }

    /// The pause before retry number `attempt` (1 is the first retry; 0 counts as 1).
    ///
    /// `previous` is the pause this function gave last time (zero at the first retry); only decorrelated
    /// jitter reads it. `random` is uniform over all of `u64`; only the jittered shapes read it.
    #[must_use]
    pub fn delay(&self, attempt: u32, previous: Duration, random: u64) -> Duration {
        let (base, cap) = (nanos(self.base), nanos(self.cap));
        let steps = attempt.max(1) - 1;
        let exponential = || base.saturating_mul(1_u64.checked_shl(steps).unwrap_or(u64::MAX)).min(cap);
        let delay = match self.shape {
            Shape::None => 0,
            Shape::Constant => base,
            Shape::Linear => base.saturating_mul(u64::from(steps) + 1),
            Shape::Exponential => exponential(),
            Shape::Full => between(0, exponential(), random),
            Shape::Equal => between(exponential().div_ceil(2), exponential(), random),
            Shape::Decorrelated => between(base, nanos(previous).max(base).saturating_mul(3), random),
        };
        Duration::from_nanos(delay.min(cap))
    }

    const fn new(shape: Shape, base: Duration, cap: Duration) -> Self {
        Self { shape, base, cap }
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, shape)| *shape == self.shape).map_or("", |(name, _)| name);
        let (base, cap) =
            (crate::config::cast::show_duration(self.base), crate::config::cast::show_duration(self.cap));
        match self.shape {
            Shape::None => f.write_str(name),
            Shape::Constant => write!(f, "{name}:{base}"),
            _ => write!(f, "{name}:{base}:{cap}"),
        }
    }
}

impl FromStr for Backoff {
    type Err = &'static str;

    /// # Errors
    /// What was expected instead, if `text` is none of the forms listed on [`Backoff`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let shape = parts.next().and_then(|name| NAMES.iter().find(|(known, _)| *known == name));
        let times: Result<Vec<_>, _> = parts.map(crate::config::cast::duration).collect();
        match (shape, times.map_err(|_| EXPECTED)?.as_slice()) {
            (Some((_, Shape::None)), []) => Ok(Self::none()),
            (Some((_, Shape::Constant)), [delay]) => Ok(Self::constant(*delay)),
            (Some((_, shape)), [base, cap]) if !matches!(shape, Shape::None | Shape::Constant) => {
                Ok(Self::new(*shape, *base, *cap))
            }
            _ => Err(EXPECTED),
        }
    }
}

/// Pauses of 584 years and more are as one of 584 years: 64 bits hold no longer one.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `random`, uniform over `u64`, mapped onto `low..=high`.
fn between(low: u64, high: u64, random: u64) -> u64 {
    let width = u128::from(high - low) + 1;
    let offset = (width * u128::from(random)) >> 64;
    low + u64::try_from(offset).expect("offset < width, and width - 1 fits in 64 bits")
}

/// `time`, a tenth more or less; `random` is uniform over all of `u64`.
pub(crate) fn jitter_around(time: Duration, random: u64) -> Duration {
    let spread = (time / 5).as_nanos().min(u128::from(u64::MAX));
    // Below the spread, which fits in 64 bits.
    let more = ((spread * u128::from(random)) >> 64) as u64;
    (time - time / 10).saturating_add(Duration::from_nanos(more))
}

/// `time`, and up to a quarter of it more; `random` is uniform over all of `u64`.
pub(crate) fn jitter_above(time: Duration, random: u64) -> Duration {
    let share = (random >> 32) as u32;
    time.saturating_add((time / 4).mul_f64(f64::from(share) / f64::from(u32::MAX)))
}

const NAMES: &[(&str, Shape)] = &[
    ("none", Shape::None),
    ("constant", Shape::Constant),
    ("linear", Shape::Linear),
    ("exponential", Shape::Exponential),
    ("full", Shape::Full),
    ("equal", Shape::Equal),
    ("decorrelated", Shape::Decorrelated),
];

const EXPECTED: &str = "`none`, `constant:DELAY`, or one of linear, exponential, full, equal, decorrelated \
                        followed by `:BASE:CAP`, as in `full:10ms:1s`";

#[cfg(test)]
mod tests;
