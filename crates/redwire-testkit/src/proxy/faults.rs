//! The faults of one direction, and what they decide. No sockets and no time here.

use std::time::Duration;

use fastrand::Rng;

use super::Fault;
use super::link::End;

/// The faults set for one direction, one of each kind.
#[derive(Debug, Default)]
pub(super) struct Faults {
    cut_after: Option<u64>,
    reset_after: Option<u64>,
    delay: Option<(Duration, Duration)>,
    chunk: Option<usize>,
    drop_frames: u64,
    pub(super) blackhole: bool,
    pub(super) refuse: bool,
}

/// What to do with the bytes at hand: wait, pass on the first `len`, and then perhaps end the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) delay: Duration,
    pub(super) len: usize,
    pub(super) end: Option<End>,
}

impl Faults {
    pub(super) fn set(&mut self, fault: Fault) {
        match fault {
            Fault::CutAfter(bytes) => self.cut_after = Some(bytes),
            Fault::ResetAfter(bytes) => self.reset_after = Some(bytes),
            Fault::Delay { min, max } => self.delay = Some((min, max.max(min))),
            Fault::Chunk(bytes) => self.chunk = Some(bytes.max(1)),
            Fault::DropReplies(frames) => self.drop_frames = frames,
            Fault::Blackhole => self.blackhole = true,
            Fault::Refuse => self.refuse = true,
            Fault::None => *self = Self::default(),
        }
    }

    /// Whether the frame that begins now is to be swallowed; counts it if so.
    pub(super) fn take_frame(&mut self) -> bool {
        let take = self.drop_frames > 0;
        self.drop_frames -= u64::from(take);
        take
    }

    /// Plans the next write, with `len` bytes at hand, and counts it.
    pub(super) fn plan(&mut self, len: usize, rng: &mut Rng) -> Plan {
        let delay = self.delay.map_or(Duration::ZERO, |(min, max)| min + (max - min).mul_f64(rng.f64()));
        let len = len.min(self.chunk.unwrap_or(len)) as u64;
        let [cut, reset] = [self.cut_after, self.reset_after].map(|left| left.unwrap_or(u64::MAX));
        let left = cut.min(reset);
        let pass = len.min(left);
        let plan = |end| Plan { delay, len: pass as usize, end };
        if pass < left {
            self.cut_after = self.cut_after.map(|left| left - pass);
            self.reset_after = self.reset_after.map(|left| left - pass);
            return plan(None);
        }
        (self.cut_after, self.reset_after) = (None, None);
        plan(Some(if reset <= cut { End::Reset } else { End::Cut }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_down_ends_once() {
        let (mut faults, mut rng) = (Faults::default(), Rng::with_seed(1));
        let plan = |len, end| Plan { delay: Duration::ZERO, len, end };
        faults.set(Fault::CutAfter(5));
        assert_eq!(faults.plan(3, &mut rng), plan(3, None));
        assert_eq!(faults.plan(3, &mut rng), plan(2, Some(End::Cut)));
        assert_eq!(faults.plan(3, &mut rng), plan(3, None));
        faults.set(Fault::ResetAfter(0));
        assert_eq!(faults.plan(3, &mut rng), plan(0, Some(End::Reset)));
        faults.set(Fault::DropReplies(1));
        assert_eq!([faults.take_frame(), faults.take_frame()], [true, false]);
    }

    #[test]
    fn delays_lie_within_their_bounds_and_follow_the_seed() {
        let (min, max) = (Duration::from_millis(2), Duration::from_millis(5));
        let delays = |seed| {
            let (mut faults, mut rng) = (Faults::default(), Rng::with_seed(seed));
            faults.set(Fault::Delay { min, max });
            (0..100).map(|_| faults.plan(1, &mut rng).delay).collect::<Vec<_>>()
        };
        assert!(delays(1).iter().all(|delay| (min..=max).contains(delay)));
        assert_eq!(delays(1), delays(1));
        assert_ne!(delays(1), delays(2));
    }
}
