//! The slot of a key.
//!
//! Promises the servers' own answer for any bytes. This file must not know commands or nodes.

/// How many slots a cluster has.
pub const SLOTS: u16 = 16_384;

/// CRC16 of every byte, for the polynomial 0x1021: XMODEM's.
const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// The slot of a key. Of a key with a hash tag, only what is between the first `{` and the next `}` counts,
/// unless that is nothing.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::cluster::slot;
/// assert_eq!(slot(b"123456789"), 12739);
/// assert_eq!(slot(b"user:{42}:name"), slot(b"{42}"));
/// ```
#[doc(alias = "keyslot")]
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    let step = |crc: u16, byte: &u8| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)];
    hash_tag(key).iter().fold(0, step) % SLOTS
}

/// The part of a key that counts.
fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&byte| byte == b'{') else { return key };
    let rest = &key[open + 1..];
    match rest.iter().position(|&byte| byte == b'}') {
        Some(len) if len > 0 => &rest[..len],
        _ => key,
    }
}
