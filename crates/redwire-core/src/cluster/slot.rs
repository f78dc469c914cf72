//! The slot of a key.
//!
//! Promises the servers' own answer for any bytes. This file must not know commands or nodes.

/// How many slots a cluster has.
pub const SLOTS: u16 = 16_384;

/// CRC16 of every byte, for the polynomial 0x1021: XMODEM's. In each table the byte has one zero more behind
/// it than in the table before, so that four bytes are looked up at once.
const TABLES: [[u16; 256]; 4] = {
    let mut tables = [[0; 256]; 4];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u16) << 8, 0);
        while bit < 32 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
            if bit % 8 == 0 {
                tables[bit / 8 - 1][byte] = crc;
            }
        }
        byte += 1;
    }
    tables
};

fn crc16(bytes: &[u8]) -> u16 {
    let (fours, rest) = bytes.as_chunks::<4>();
    let [one, two, three, four] = &TABLES;
    let of_four = |crc: u16, [a, b, c, d]: &[u8; 4]| {
        let first = crc ^ u16::from_be_bytes([*a, *b]);
        four[usize::from(first >> 8)]
            ^ three[usize::from(first & 0xFF)]
            ^ two[usize::from(*c)]
            ^ one[usize::from(*d)]
    };
    let of_one = |crc: u16, byte: &u8| (crc << 8) ^ one[usize::from((crc >> 8) as u8 ^ byte)];
    rest.iter().fold(fours.iter().fold(0, of_four), of_one)
}

/// The slot of a key. Of a key with a hash tag, only what is between the first `{` and the next `}` counts,
/// unless that is nothing.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::cluster::slot;
/// assert_eq!(slot("123456789"), 12739);
/// assert_eq!(slot("user:{42}:name"), slot(b"{42}"));
/// ```
#[doc(alias = "keyslot")]
#[must_use]
#[inline]
pub fn slot(key: impl AsRef<[u8]>) -> u16 {
    slot_of_bytes(key.as_ref())
}

fn slot_of_bytes(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOTS
}

/// Whether a `{` is among the bytes. Eight are looked at together: most keys have none.
fn has_brace(key: &[u8]) -> bool {
    const LOWEST: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);
    let (eights, rest) = key.as_chunks::<8>();
    let in_eight = |eight: &[u8; 8]| {
        // A byte is zero where it was a brace, and only from such one does the subtraction borrow first.
        let bytes = u64::from_ne_bytes(*eight) ^ u64::from_ne_bytes([b'{'; 8]);
        bytes.wrapping_sub(LOWEST) & !bytes & HIGHEST != 0
    };
    eights.iter().any(in_eight) || rest.contains(&b'{')
}

/// The part of a key that counts.
fn hash_tag(key: &[u8]) -> &[u8] {
    if !has_brace(key) {
        return key;
    }
    let Some(open) = key.iter().position(|&byte| byte == b'{') else { return key };
    let rest = &key[open + 1..];
    match rest.iter().position(|&byte| byte == b'}') {
        Some(len) if len > 0 => &rest[..len],
        _ => key,
    }
}
