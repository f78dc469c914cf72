//! Requests: arrays of bulk strings, appended to a buffer. Knows no command and never fails.

/// Room for `$`, a length and CRLF.
const HEADER_MAX: usize = 24;

/// Begins a request of `len` arguments.
///
/// ```
/// let mut out = Vec::new();
/// redwire_resp::write_array_header(&mut out, 2);
/// redwire_resp::write_bulk(&mut out, b"GET");
/// redwire_resp::write_bulk(&mut out, b"key");
/// assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
/// ```
#[inline]
pub fn write_array_header(out: &mut Vec<u8>, len: usize) {
    write_header(out, b'*', len);
}

/// Writes one argument.
#[inline]
pub fn write_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(HEADER_MAX + bytes.len());
    write_header(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Begins an argument of `len` bytes that is sent apart: the caller sends the bytes and then CRLF.
#[inline]
pub fn write_bulk_header(out: &mut Vec<u8>, len: usize) {
    write_header(out, b'$', len);
}

/// Writes an integer as one argument, a bulk string of its digits.
///
/// ```
/// let mut out = Vec::new();
/// redwire_resp::write_integer(&mut out, -15);
/// assert_eq!(out, b"$3\r\n-15\r\n");
/// ```
#[inline]
pub fn write_integer(out: &mut Vec<u8>, n: i64) {
    write_bulk(out, itoa::Buffer::new().format(n).as_bytes());
}

#[inline]
fn write_header(out: &mut Vec<u8>, kind: u8, len: usize) {
    // Nearly every length: written as one store each, without the general conversion.
    let digit = |value: usize| b'0' + (value % 10) as u8;
    match len {
        0..10 => out.extend_from_slice(&[kind, digit(len), b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[kind, digit(len / 10), digit(len), b'\r', b'\n']),
        100..1000 => {
            out.extend_from_slice(&[kind, digit(len / 100), digit(len / 10), digit(len), b'\r', b'\n']);
        }
        _ => write_long_header(out, kind, len),
    }
}

fn write_long_header(out: &mut Vec<u8>, kind: u8, len: usize) {
    out.reserve(HEADER_MAX);
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(len).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_width() {
        for len in [0, 1, 9, 10, 42, 99, 100, 507, 999, 1000, 65_536, usize::MAX] {
            let mut out = b"before".to_vec();
            write_array_header(&mut out, len);
            write_bulk_header(&mut out, len);
            assert_eq!(out, format!("before*{len}\r\n${len}\r\n").into_bytes());
        }
    }

    #[test]
    fn arguments_carry_any_bytes() {
        for bytes in [&b""[..], b"\r\n", b"$3\r\n\0\xff", &[7; 1234]] {
            let mut out = Vec::new();
            write_bulk(&mut out, bytes);
            let mut expected = format!("${}\r\n", bytes.len()).into_bytes();
            expected.extend_from_slice(bytes);
            expected.extend_from_slice(b"\r\n");
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn integers_are_bulks_of_their_digits() {
        for n in [0, 7, -7, 1234, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_integer(&mut out, n);
            assert_eq!(out, format!("${}\r\n{n}\r\n", n.to_string().len()).into_bytes());
        }
    }
}
