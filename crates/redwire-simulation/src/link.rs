//! One direction of one connection: when bytes arrive, and what befalls them on the way.
//!
//! This file must not know what the bytes say, nor who sends them.

use std::time::Duration;

/// What the way between two machines is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// How long a byte travels at least.
    pub(crate) latency: Duration,
    /// Up to so much longer, anew for each piece.
    pub(crate) jitter: Duration,
    /// So many bytes pass in a millisecond; 0: any number.
    pub(crate) bandwidth: usize,
    /// Bytes arrive in pieces of at most this size; 0: as they were sent.
    pub(crate) piece: usize,
    /// So many bytes may be on their way, or wait for the one who reads.
    pub(crate) window: usize,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// The other side has closed it, after all that it sent.
    Closed,
    /// It was broken off.
    Reset,
}

/// One direction of one connection.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// Bytes that were sent and not taken by the one who reads.
    under_way: usize,
    /// What arrives later never overtakes this.
    last_arrival: Duration,
    /// All bytes that were sent so far.
    sent: u64,
    /// The connection breaks when so many bytes have passed.
    cut_after: Option<(u64, End)>,
    /// What is sent from now on is lost for good, without a word to anyone.
    pub(crate) is_dead: bool,
}

/// A piece of what is sent, when it arrives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) at: Duration,
    pub(crate) bytes: Vec<u8>,
}

impl Link {
    /// How many more bytes may be sent now.
    pub(crate) fn room(&self, way: &Way) -> usize {
        way.window.saturating_sub(self.under_way)
    }

    /// The one who reads has taken so many bytes.
    pub(crate) fn handle_taken(&mut self, bytes: usize) {
        self.under_way = self.under_way.saturating_sub(bytes);
    }

    /// The connection ends when `bytes` more have passed.
    pub(crate) fn cut_after(&mut self, bytes: u64, end: End) {
        self.cut_after = Some((self.sent + bytes, end));
    }

    /// It is not cut after all.
    pub(crate) fn spare(&mut self) {
        self.cut_after = None;
    }

    /// When something that is sent `now` arrives.
    pub(crate) fn arrival(&mut self, now: Duration, way: &Way, random: &mut fastrand::Rng) -> Duration {
        let jitter = match u64::try_from(way.jitter.as_millis()).unwrap_or(0) {
            0 => Duration::ZERO,
            most => Duration::from_millis(random.u64(..=most)),
        };
        self.last_arrival = self.last_arrival.max(now + way.latency + jitter);
        self.last_arrival
    }

    /// The pieces of `bytes`, which are sent `now`; and how the connection ends behind them, if it does.
    pub(crate) fn send(
        &mut self,
        bytes: &[u8],
        now: Duration,
        way: &Way,
        random: &mut fastrand::Rng,
    ) -> (Vec<Piece>, Option<End>) {
        let mut bytes = bytes;
        let mut end = None;
        if let Some((after, how)) = self.cut_after {
            let left = usize::try_from(after.saturating_sub(self.sent)).unwrap_or(usize::MAX);
            if bytes.len() >= left {
                bytes = &bytes[..left];
                end = Some(how);
                self.cut_after = None;
            }
        }
        self.sent += bytes.len() as u64;
        if self.is_dead {
            return (Vec::new(), None);
        }
        self.under_way += bytes.len();
        let size = if way.piece == 0 { bytes.len().max(1) } else { random.usize(1..=way.piece) };
        let mut pieces = Vec::new();
        for piece in bytes.chunks(size) {
            let mut at = self.arrival(now, way, random);
            if let Some(millis) = piece.len().checked_div(way.bandwidth) {
                at += Duration::from_millis(millis as u64);
                self.last_arrival = at;
            }
            pieces.push(Piece { at, bytes: piece.to_vec() });
        }
        (pieces, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Way = Way {
        latency: Duration::from_millis(2),
        jitter: Duration::from_millis(5),
        bandwidth: 10,
        piece: 3,
        window: 20,
    };

    #[test]
    fn pieces_arrive_in_order_and_none_is_lost() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut link, mut all, mut last) = (Link::default(), Vec::new(), Duration::ZERO);
        for n in 0..20_u64 {
            let now = Duration::from_millis(n);
            let (pieces, end) = link.send(b"0123456789", now, &WAY, &mut random);
            assert_eq!(end, None);
            for piece in pieces {
                assert!(piece.at >= last && piece.at >= now + WAY.latency);
                last = piece.at;
                all.extend(piece.bytes);
            }
        }
        assert_eq!(all, b"0123456789".repeat(20));
        assert_eq!((link.under_way, link.room(&WAY)), (200, 0));
    }

    #[test]
    fn a_cut_lets_as_many_bytes_pass_as_it_says() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut link = Link::default();
        let way = Way { piece: 0, ..WAY };
        link.cut_after(4, End::Reset);
        let (pieces, end) = link.send(b"ab", Duration::ZERO, &way, &mut random);
        assert_eq!((pieces[0].bytes.as_slice(), end), (&b"ab"[..], None));
        let (pieces, end) = link.send(b"cdef", Duration::ZERO, &way, &mut random);
        assert_eq!((pieces[0].bytes.as_slice(), end), (&b"cd"[..], Some(End::Reset)));
    }
}
