//! The texts of numbers and booleans. Checks them in full; does not know where lines begin or end.

use crate::error::ProtocolErrorKind;

/// An optional sign and digits within `i64`.
#[inline]
pub(crate) fn integer(text: &[u8]) -> Result<i64, ProtocolErrorKind> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    // Eighteen digits cannot overflow; more of them are rare enough to be checked one by one.
    if digits.is_empty() || digits.len() > 18 {
        return wide_integer(text);
    }
    let mut value = 0_i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(ProtocolErrorKind::Integer);
        }
        value = value * 10 + i64::from(digit);
    }
    Ok(if negative { -value } else { value })
}

#[cold]
fn wide_integer(text: &[u8]) -> Result<i64, ProtocolErrorKind> {
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(ProtocolErrorKind::Integer)
}

/// A decimal with an optional sign, fraction and exponent, `inf`, `-inf`, or `nan` (some servers sign it).
pub(crate) fn double(text: &[u8]) -> Result<f64, ProtocolErrorKind> {
    match text {
        b"inf" | b"+inf" => return Ok(f64::INFINITY),
        b"-inf" => return Ok(f64::NEG_INFINITY),
        b"nan" | b"-nan" | b"+nan" => return Ok(f64::NAN),
        _ => {}
    }
    let decimal = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    if !text.iter().all(decimal) {
        return Err(ProtocolErrorKind::Double);
    }
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(ProtocolErrorKind::Double)
}

pub(crate) fn boolean(text: &[u8]) -> Result<bool, ProtocolErrorKind> {
    match text {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(ProtocolErrorKind::Boolean),
    }
}

/// Checks an optional sign and at least one digit.
pub(crate) fn big_number(text: &[u8]) -> Result<&[u8], ProtocolErrorKind> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ProtocolErrorKind::BigNumber);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_span_i64_and_no_more() {
        for value in [0, 1, -1, 42, i64::MAX, i64::MIN, 999_999_999_999_999_999, 1_000_000_000_000_000_000] {
            assert_eq!(integer(value.to_string().as_bytes()), Ok(value));
        }
        assert_eq!(integer(b"+7"), Ok(7));
        assert_eq!(integer(b"-0000000000000000000000012"), Ok(-12));
        for bad in
            ["", "-", "+", "--1", "+-1", "1x", " 1", "1 ", "9223372036854775808", "-9223372036854775809"]
        {
            assert_eq!(integer(bad.as_bytes()), Err(ProtocolErrorKind::Integer), "{bad:?}");
        }
    }

    #[test]
    fn doubles_have_every_form_of_the_specification() {
        let forms =
            [("1", 1.0), ("-1.25", -1.25), ("1e3", 1e3), ("1.5E-7", 1.5e-7), ("+2.", 2.0), ("-0", -0.0)];
        for (text, value) in forms {
            assert_eq!(double(text.as_bytes()), Ok(value), "{text}");
        }
        assert_eq!(double(b"inf"), Ok(f64::INFINITY));
        assert_eq!(double(b"-inf"), Ok(f64::NEG_INFINITY));
        assert!(double(b"nan").is_ok_and(f64::is_nan) && double(b"-nan").is_ok_and(f64::is_nan));
        for bad in ["", ".", "e", "1e", "infinity", "NaN", "Inf", "1,5", "0x1", "1 ", "\u{ff11}"] {
            assert_eq!(double(bad.as_bytes()), Err(ProtocolErrorKind::Double), "{bad:?}");
        }
    }

    #[test]
    fn booleans_and_big_numbers_are_checked() {
        assert_eq!((boolean(b"t"), boolean(b"f")), (Ok(true), Ok(false)));
        for bad in ["", "T", "true", "1"] {
            assert_eq!(boolean(bad.as_bytes()), Err(ProtocolErrorKind::Boolean));
        }
        assert_eq!(
            big_number(b"-123456789012345678901234567890"),
            Ok(&b"-123456789012345678901234567890"[..])
        );
        for bad in ["", "-", "+", "1.0", "-+1", "12a"] {
            assert_eq!(big_number(bad.as_bytes()), Err(ProtocolErrorKind::BigNumber));
        }
    }
}
