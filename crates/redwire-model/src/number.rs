//! Numbers as servers read and write them.
//!
//! This file must not know what the numbers are for.

/// Digits behind the point that `INCRBYFLOAT` keeps.
const PLACES: u32 = 17;

/// An integer of 64 bits, written as a server writes it: no sign but `-`, no zeros in front, no spaces.
pub(crate) fn parse_int(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !plain {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A number that is not NaN, in any form that C's `strtod` takes but the hexadecimal ones.
pub(crate) fn parse_float(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let said_infinite = text.iter().any(|byte| matches!(byte, b'i' | b'I'));
    (!value.is_nan() && (value.is_finite() || said_infinite)).then_some(value)
}

/// The shortest text that reads back as `value`, in the form servers choose (`1e+20`, `0.1`, `inf`).
pub(crate) fn format_double(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // The power of ten of the last digit.
    let last = exponent - (count - 1);
    let body = if last >= 0 && exponent.abs() < count + 7 {
        digits + &"0".repeat(usize::try_from(last).unwrap_or(0))
    } else if last < 0 && (last > -7 || exponent.abs() < 4) {
        if exponent < 0 {
            format!("0.{}{digits}", "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0)))
        } else {
            let point = usize::try_from(exponent + 1).unwrap_or(0);
            format!("{}.{}", &digits[..point], &digits[point..])
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let point = if digits.len() > 1 { "." } else { "" };
        format!("{}{point}{}e{sign}{}", &digits[..1], &digits[1..], exponent.abs())
    };
    format!("{sign}{body}")
}

/// The sum of two decimal numbers as `INCRBYFLOAT` writes it: at most 17 digits behind the point, none of
/// them a zero at the end. `None` if one is not a number, or the sum is not finite.
///
/// Servers add in 80 bits, of which 64 are the number's own.
pub(crate) fn add_decimal(one: &[u8], other: &[u8]) -> Option<String> {
    if let (Some(one), Some(other)) = (scaled(one), scaled(other)) {
        return one.checked_add(other).map(|sum| unscaled(in_80_bits(sum)));
    }
    let sum = parse_float(one)? + parse_float(other)?;
    if !sum.is_finite() {
        return None;
    }
    let text = format!("{sum:.17}");
    Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

/// A number times ten to the 17th, if that is whole and not too large.
fn scaled(text: &[u8]) -> Option<i128> {
    parse_float(text)?;
    let text = std::str::from_utf8(text).ok()?.to_ascii_lowercase();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{part}").parse().ok()?;
    let shift = i32::try_from(PLACES).ok()? + exponent - i32::try_from(part.len()).ok()?;
    let shift = u32::try_from(shift).ok()?;
    Some(sign * digits.checked_mul(10_i128.checked_pow(shift)?)?)
}

/// The nearest number that 64 bits hold, times ten to the 17th as before.
fn in_80_bits(value: i128) -> i128 {
    let scale = 10_i128.pow(PLACES);
    let whole = (value / scale).unsigned_abs();
    let bits = u128::BITS - whole.leading_zeros();
    let halves_up = |value: i128, by: i128| (value + value.signum() * (by / 2)) / by;
    match bits {
        // More places than are written.
        0 => value,
        1..=64 => halves_up(halves_up(value << (64 - bits), scale) * scale, 1 << (64 - bits)),
        _ => halves_up(value, scale << (bits - 64)) * (scale << (bits - 64)),
    }
}

fn unscaled(value: i128) -> String {
    let scale = 10_u128.pow(PLACES);
    let (whole, part) = (value.unsigned_abs() / scale, value.unsigned_abs() % scale);
    let sign = if value < 0 { "-" } else { "" };
    let text = format!("{sign}{whole}.{part:017}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_strictly_as_servers_do() {
        for (text, value) in [("0", Some(0)), ("-1", Some(-1)), ("9223372036854775807", Some(i64::MAX))] {
            assert_eq!(parse_int(text.as_bytes()), value, "{text}");
        }
        for text in ["", "-", "+1", "01", "-0", " 1", "1 ", "1.0", "9223372036854775808", "1e3"] {
            assert_eq!(parse_int(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn doubles_are_written_as_servers_do() {
        for (value, text) in [
            (0.1, "0.1"),
            (3.0, "3"),
            (-2.5, "-2.5"),
            (1e20, "1e+20"),
            (123_456_789.0, "123456789"),
            (1e-7, "1e-7"),
            (0.001, "0.001"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(format_double(value), text);
        }
    }

    #[test]
    fn decimals_are_added_exactly() {
        for (one, other, sum) in
            [("3.0", "0.1", "3.1"), ("5.0e3", "2.0e2", "5200"), ("-0.5", "0.25", "-0.25"), ("1", "-1", "0")]
        {
            assert_eq!(add_decimal(one.as_bytes(), other.as_bytes()).as_deref(), Some(sum));
        }
        assert_eq!(add_decimal(b"1", b"x"), None);
        assert_eq!(add_decimal(b"-9223372036854775807", b"0.25").as_deref(), Some("-9223372036854775807"));
    }
}
