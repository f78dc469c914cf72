//! SHA-256 (FIPS 180-4), by which servers tell passwords.
//!
//! It is not for secrets: nobody attacks a model. This file must not know what is hashed.

/// The first bits of the fractional parts of roots of the first primes: cube roots for the rounds, square
/// roots for the beginning.
fn root_bits(prime: u64, cube: bool) -> u32 {
    // The whole number whose square is prime * 2^64, or whose cube is prime * 2^96; of that the low 32 bits.
    let (mut low, mut high) = (0_u128, 1_u128 << 37);
    while high - low > 1 {
        let middle = low.midpoint(high);
        let is_below = if cube {
            // Compare middle^3 with prime * 2^96 without leaving 128 bits: middle < 2^36.
            let square = middle * middle;
            let whole = (square >> 32) * middle + (((square & 0xffff_ffff) * middle) >> 32);
            whole < u128::from(prime) << 64
        } else {
            middle * middle <= u128::from(prime) << 64
        };
        if is_below {
            low = middle;
        } else {
            high = middle;
        }
    }
    u32::try_from(low & 0xffff_ffff).unwrap_or(0)
}

fn primes() -> impl Iterator<Item = u64> {
    (2_u64..).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0))
}

/// The hash of some bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let rounds: Vec<u32> = primes().take(64).map(|prime| root_bits(prime, true)).collect();
    let mut state: Vec<u32> = primes().take(8).map(|prime| root_bits(prime, false)).collect();
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(8 * u64::try_from(bytes.len()).unwrap_or(0)).to_be_bytes());
    for block in padded.chunks_exact(64) {
        compress(&mut state, block, &rounds);
    }
    state.iter().map(|word| format!("{word:08x}")).collect()
}

fn compress(state: &mut [u32], block: &[u8], rounds: &[u32]) {
    let mut words: Vec<u32> = block
        .chunks_exact(4)
        .map(|four| four.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)))
        .collect();
    for at in 16..64 {
        let (near, far) = (words[at - 2], words[at - 15]);
        let one = near.rotate_right(17) ^ near.rotate_right(19) ^ near >> 10;
        let zero = far.rotate_right(7) ^ far.rotate_right(18) ^ far >> 3;
        words.push(words[at - 16].wrapping_add(zero).wrapping_add(words[at - 7]).wrapping_add(one));
    }
    let mut v: Vec<u32> = state.to_vec();
    for (word, round) in words.iter().zip(rounds) {
        let one = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
        let choice = (v[4] & v[5]) ^ (!v[4] & v[6]);
        let first = v[7].wrapping_add(one).wrapping_add(choice).wrapping_add(*round).wrapping_add(*word);
        let zero = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
        let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        v.rotate_right(1);
        v[4] = v[4].wrapping_add(first);
        v[0] = first.wrapping_add(zero).wrapping_add(majority);
    }
    for (word, add) in state.iter_mut().zip(v) {
        *word = word.wrapping_add(add);
    }
}

#[cfg(test)]
mod tests {
    use super::sha256;

    #[test]
    fn hashes_are_those_of_the_standard() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
