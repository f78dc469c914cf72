//! A question whose answer shows whether replies still belong to their requests.
//!
//! After a reply failed to come in time it may only be late; or something between lost it, and every later one would go
//! to the wrong request. Where the next reply comes in time, nothing shows that but such a question among the requests.
//! This file must not know when to ask.

/// A `PING` with words that no other request has.
#[derive(Debug)]
pub(super) struct Probe {
    slot: u32,
    answer: Vec<u8>,
}

impl Probe {
    /// The probe that takes `slot`, for a stream of which `position` bytes are queued. By the `salt` nobody can store its words.
    pub(super) fn new(slot: u32, position: u64, salt: u64) -> Self {
        let words = format!("redwire:in-step:{salt:016x}:{position}");
        Self { slot, answer: format!("${}\r\n{words}\r\n", words.len()).into_bytes() }
    }

    /// What to send. The server answers with the words alone.
    pub(super) fn question(&self) -> Vec<u8> {
        [b"*2\r\n$4\r\nPING\r\n", &self.answer[..]].concat()
    }

    /// Whether `frame`, which came for `slot`, may have come there: the answer belongs to the probe and to nobody
    /// else. A server that refuses it has answered, too; other errors answer something else.
    pub(super) fn is_in_step(&self, slot: u32, frame: &[u8]) -> bool {
        // To a subscriber on RESP2 the answer is a pair.
        let answer = frame.strip_prefix(b"*2\r\n$4\r\npong\r\n").unwrap_or(frame);
        if slot == self.slot { answer == self.answer || refuses_ping(frame) } else { answer != self.answer }
    }

    /// Whether the request at `slot` is this one.
    pub(super) fn is_answered_by(&self, slot: u32) -> bool {
        slot == self.slot
    }
}

/// Whether `frame` is an error that a server answers to `PING`: it names the command, or refuses any.
fn refuses_ping(frame: &[u8]) -> bool {
    let Some(line) = frame.strip_prefix(b"-") else { return false };
    let names = line.windows(4).any(|word| word.eq_ignore_ascii_case(b"ping"));
    names || REFUSE_ANY.iter().any(|code| line.starts_with(code.as_bytes()))
}

/// `MISCONF` is for `PING` and writes.
const REFUSE_ANY: [&str; 7] =
    ["NOAUTH ", "NOPERM ", "LOADING ", "BUSY ", "MASTERDOWN ", "DENIED ", "MISCONF "];

#[cfg(test)]
mod tests;
