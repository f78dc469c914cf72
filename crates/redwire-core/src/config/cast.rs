//! Texts of URL query values to typed values and back. Promises that whatever a `show_` function writes is
//! read back the same, and that errors say what was expected. Must not know which option is being read.

use std::time::Duration;

/// What was expected instead.
pub(crate) type Expected = &'static str;

/// `true`, `false`, `yes`, `no`, `1`, `0`, in any case.
pub(crate) fn boolean(text: &str) -> Result<bool, Expected> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err("true, false, yes, no, 1 or 0"),
    }
}

/// Digits only: no sign, no spaces.
pub(crate) fn integer<T: std::str::FromStr>(text: &str) -> Result<T, Expected> {
    const EXPECTED: Expected = "a whole number that is not negative nor too large";
    if !is_digits(text) {
        return Err(EXPECTED);
    }
    text.parse().map_err(|_| EXPECTED)
}

/// Seconds, whole or with a fraction; or a number followed by `ns`, `us`, `ms`, `s`, `m` or `h`.
pub(crate) fn duration(text: &str) -> Result<Duration, Expected> {
    const EXPECTED: Expected =
        "seconds as in `5` or `0.5`, or a number with ns, us, ms, s, m or h as in `500ms`";
    let digits_end = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let unit = if unit.is_empty() { "s" } else { unit };
    let (_, unit) = *UNITS.iter().find(|(name, _)| *name == unit).ok_or(EXPECTED)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(EXPECTED);
    }
    let whole = whole.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or(EXPECTED)?;
    let fraction: f64 = format!("0.{fraction}").parse().map_err(|_| EXPECTED)?;
    // A fraction of at most one hour: far below 2^53 nanoseconds, so the cast is exact after rounding.
    let fraction = (fraction * unit as f64).round() as u64;
    Ok(Duration::from_nanos(whole.checked_add(fraction).ok_or(EXPECTED)?))
}

pub(crate) fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (name, unit) = UNITS[..=SECONDS]
        .iter()
        .rev()
        .find(|(_, unit)| nanos.is_multiple_of(u128::from(*unit)))
        .expect("every number is a multiple of one nanosecond");
    format!("{}{name}", nanos / u128::from(*unit))
}

/// Bytes as a plain number, or with `KiB`, `MiB` or `GiB` in any case.
pub(crate) fn size<T: TryFrom<u64>>(text: &str) -> Result<T, Expected> {
    const EXPECTED: Expected = "bytes as in `65536`, or a number with KiB, MiB or GiB as in `64KiB`";
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit {
        "" => 1,
        unit => SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or(EXPECTED)?.1,
    };
    let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or(EXPECTED)?;
    T::try_from(bytes).map_err(|_| EXPECTED)
}

pub(crate) fn show_size(size: u64) -> String {
    match SIZES.iter().find(|(_, unit)| size > 0 && size.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", size / unit),
        None => size.to_string(),
    }
}

/// Words separated by commas; nothing at all is no words.
pub(crate) fn words(text: &str) -> Vec<String> {
    match text {
        "" => Vec::new(),
        text => text.split(',').map(str::to_owned).collect(),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// In nanoseconds, ascending.
const UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
const SECONDS: usize = 3;

const SIZES: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
