//! A question whose answer shows whether replies still belong to their requests, or only that the peer lives.
//!
//! After a reply failed to come in time it may only be late; or something between lost it, and every later
//! one would go to the wrong request. Where the next reply comes in time, nothing shows that but such a
//! question among the requests. This file must not know when to ask.
//!
//! Servers answer `PING words` by the words. Front ends that answer `PING` themselves may leave them out.
//! What such a peer answers instead is learnt from the first idle question or mark, and from then on has the
//! part of the words: less certain, since a request before the question may be answered the same.

use redwire_resp::{Cursor, Head, Len};

/// What a question is to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Whether the peer lives: any answer will do.
    Life,
    /// Whether all is well, though nothing speaks against it (`mark_every`). An answer that is a `PONG`
    /// without the words will do until it is known what the peer answers.
    Mark,
    /// Whether a reply that did not come in time was lost.
    Step,
}

/// A `PING` with words that no other request has.
#[derive(Debug)]
pub(super) struct Probe {
    slot: u32,
    words: String,
    pub(super) purpose: Purpose,
}

/// What a peer answers in place of the words: a kind of text and the text.
#[derive(Clone, Debug, Default)]
pub(super) struct Habit(Option<(u8, Vec<u8>)>);

impl Probe {
    /// The probe that takes `slot`, for a stream of which `position` bytes are queued. With the `salt`
    /// its words cannot be known before.
    pub(super) fn new(slot: u32, position: u64, salt: u64, purpose: Purpose) -> Self {
        Self { slot, words: format!("redwire:in-step:{salt:016x}:{position}"), purpose }
    }

    /// What to send. The server answers with the words alone.
    pub(super) fn question(&self) -> Vec<u8> {
        format!("*2\r\n$4\r\nPING\r\n${}\r\n{}\r\n", self.words.len(), self.words).into_bytes()
    }

    /// Whether `frame`, which came for `slot`, may have come there: the answer belongs to the probe and to no
    /// other request. A server that refuses it has answered, too; other errors answer something else.
    #[cold]
    #[inline(never)]
    pub(super) fn is_in_step(&self, slot: u32, frame: &[u8], habit: &mut Habit) -> bool {
        let text = text(frame);
        let has_words = text.is_some_and(|(_, text)| text == self.words.as_bytes());
        if slot != self.slot {
            return !has_words && !habit.is(text);
        }
        if has_words || habit.is(text) || refuses_ping(frame) {
            return true;
        }
        let learns = match (self.purpose, text) {
            (Purpose::Step, _) | (Purpose::Mark, None) => false,
            (Purpose::Life, _) => true,
            (Purpose::Mark, Some((_, text))) => habit.0.is_none() && text.eq_ignore_ascii_case(b"PONG"),
        };
        if learns && let Some((kind, text)) = text {
            habit.0 = Some((kind, text.to_vec()));
        }
        learns
    }

    /// Whether the request at `slot` is this one.
    pub(super) fn is_answered_by(&self, slot: u32) -> bool {
        slot == self.slot
    }
}

impl Habit {
    fn is(&self, text: Option<(u8, &[u8])>) -> bool {
        let Some((kind, habit)) = &self.0 else { return false };
        text == Some((*kind, habit))
    }
}

/// The text that `frame` consists of, but for attributes, and its kind. To a subscriber on RESP2 the answer
/// to `PING` is a pair, of which this is the second.
fn text(frame: &[u8]) -> Option<(u8, &[u8])> {
    let mut cursor = Cursor::new(frame);
    let mut head = cursor.head().ok()?;
    if head == Head::Array(Len::Known(2)) && cursor.head().ok()? == Head::Bulk(b"pong") {
        head = cursor.head().ok()?;
    }
    match head {
        Head::Simple(text) => Some((b'+', text)),
        Head::Bulk(text) => Some((b'$', text)),
        _ => None,
    }
}

/// Whether `frame` is an error that a server answers to `PING`: it names the command, or refuses any.
fn refuses_ping(frame: &[u8]) -> bool {
    let Ok(Head::Error(line)) = Cursor::new(frame).head() else { return false };
    let names = line.windows(4).any(|word| word.eq_ignore_ascii_case(b"ping"));
    names || REFUSE_ANY.iter().any(|code| line.starts_with(code.as_bytes()))
}

/// `MISCONF` is for `PING` and writes.
const REFUSE_ANY: [&str; 7] =
    ["NOAUTH ", "NOPERM ", "LOADING ", "BUSY ", "MASTERDOWN ", "DENIED ", "MISCONF "];

#[cfg(test)]
mod tests;
