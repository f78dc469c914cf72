//! A question whose answer shows whether replies still belong to their requests.
//!
//! After a reply failed to come in time it may only be late; or something between lost it, and every later one would go
//! to the wrong request. This file must not know when to ask.

/// A `PING` with words that no other request has.
#[derive(Debug)]
pub(super) struct Probe {
    slot: u32,
    answer: Vec<u8>,
}

impl Probe {
    /// The probe that takes `slot`, for a stream of which `position` bytes are queued.
    pub(super) fn new(slot: u32, position: u64) -> Self {
        let words = format!("redwire:in-step:{position}");
        Self { slot, answer: format!("${}\r\n{words}\r\n", words.len()).into_bytes() }
    }

    /// What to send. The server answers with the words alone.
    pub(super) fn question(&self) -> Vec<u8> {
        [b"*2\r\n$4\r\nPING\r\n", &self.answer[..]].concat()
    }

    /// Whether `frame`, which came for `slot`, may have come there: the answer belongs to the probe and to nobody
    /// else. A server that refuses it has answered, too.
    pub(super) fn is_in_step(&self, slot: u32, frame: &[u8]) -> bool {
        // To a subscriber on RESP2 the answer is a pair.
        let answer = frame.strip_prefix(b"*2\r\n$4\r\npong\r\n").unwrap_or(frame);
        if slot == self.slot { answer == self.answer || frame[0] == b'-' } else { answer != self.answer }
    }

    /// Whether the request at `slot` is this one.
    pub(super) fn is_answered_by(&self, slot: u32) -> bool {
        slot == self.slot
    }
}
