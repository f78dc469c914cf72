//! Where large values may lie so that the kernel copies them fast. It must not know what is copied or why.
//!
//! A socket's bytes lie in the kernel's pages, a stretch of them from the beginning of a page on. Where a
//! copy's target is just ahead of its source by the place in the page, each load seems to depend on the store
//! before it ("4K aliasing") and the copy takes two to three times as long. Allocators put large blocks 16
//! bytes into a page, so what would be rare by chance is the usual case. Measured with one MiB over loopback:
//! GET into a buffer 8, 16 or 24 bytes into its page 1.8 GB/s, from 32 on 4.6; SET from a misplaced value
//! 1.8, copied first 3.9, from a well placed one 4.4.

const PAGE: usize = 4096;

/// How far ahead of its source a target is when a copy is slow.
const SLOW: std::ops::Range<usize> = 1..32;

/// How far to move on from a misplaced address.
pub(crate) const STEP: usize = 64;

/// Whether copying from `source` to `target` is slow. Both are addresses, or places in a page.
#[inline]
pub(crate) fn is_misplaced(source: usize, target: usize) -> bool {
    SLOW.contains(&(target.wrapping_sub(source) % PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_target_just_ahead_is_misplaced() {
        for (source, target, misplaced) in [
            (0, 0, false),
            (0, 1, true),
            (0, 31, true),
            (0, 32, false),
            (16, 8, false),
            (8, PAGE * 3 + 16, true),
        ] {
            assert_eq!(is_misplaced(source, target), misplaced, "{source} to {target}");
            assert!(!is_misplaced(source, target + STEP), "{source} to {target} and a step");
        }
    }
}
