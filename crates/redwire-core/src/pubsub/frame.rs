//! What a server says on a subscribed connection, in either protocol: RESP3 pushes it, RESP2 sends arrays.
//! This file must not know who subscribed to what.

use redwire_resp::{Cursor, Head, Len};

use super::event::ChannelKind;
use crate::error::{Error, ErrorKind, Outcome, Result};

/// One frame, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A message that came by the subscription to `name`.
    Message {
        kind: ChannelKind,
        name: &'a [u8],
        channel: &'a [u8],
        payload: &'a [u8],
    },
    Subscribed(ChannelKind, &'a [u8]),
    Unsubscribed(ChannelKind, &'a [u8]),
    /// The answer to a command that is about no names, as to `PING`.
    Answer,
    /// An error, which answers the oldest command.
    Error(&'a [u8]),
    /// A push about something else.
    Other,
}

/// What `bytes`, one whole frame, says.
pub(super) fn read(bytes: &[u8], push: bool) -> Result<Frame<'_>> {
    let mut cursor = Cursor::new(bytes);
    let head = match cursor.head()? {
        Head::Array(Len::Known(len)) | Head::Push(Len::Known(len)) => Some(len),
        Head::Error(conn) => return Ok(Frame::Error(conn)),
        Head::Simple(_) | Head::Bulk(_) => return Ok(Frame::Answer),
        _ => None,
    };
    let words =
        if let (Some(len), Some(word)) = (head, text(&mut cursor)?) { Some((len, word)) } else { None };
    let frame = match words {
        Some((3, b"message")) => message(ChannelKind::Channel, &mut cursor)?,
        Some((4, b"pmessage")) => pattern_message(&mut cursor)?,
        Some((3, b"smessage")) => message(ChannelKind::Shard, &mut cursor)?,
        Some((3, b"subscribe")) => {
            text(&mut cursor)?.map(|name| Frame::Subscribed(ChannelKind::Channel, name))
        }
        Some((3, b"psubscribe")) => {
            text(&mut cursor)?.map(|name| Frame::Subscribed(ChannelKind::Pattern, name))
        }
        Some((3, b"ssubscribe")) => {
            text(&mut cursor)?.map(|name| Frame::Subscribed(ChannelKind::Shard, name))
        }
        Some((3, b"unsubscribe")) => {
            text(&mut cursor)?.map(|name| Frame::Unsubscribed(ChannelKind::Channel, name))
        }
        Some((3, b"punsubscribe")) => {
            text(&mut cursor)?.map(|name| Frame::Unsubscribed(ChannelKind::Pattern, name))
        }
        Some((3, b"sunsubscribe")) => {
            text(&mut cursor)?.map(|name| Frame::Unsubscribed(ChannelKind::Shard, name))
        }
        Some((2, b"pong")) => Some(Frame::Answer),
        _ => None,
    };
    match frame {
        Some(frame) => Ok(frame),
        None if push => Ok(Frame::Other),
        None => Err(unexpected(bytes)),
    }
}

fn message<'a>(kind: ChannelKind, cursor: &mut Cursor<'a>) -> Result<Option<Frame<'a>>> {
    let Some(channel) = text(cursor)? else { return Ok(None) };
    Ok(Some(Frame::Message { kind, name: channel, channel, payload: payload(cursor)? }))
}

fn pattern_message<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Frame<'a>>> {
    let (Some(name), Some(channel)) = (text(cursor)?, text(cursor)?) else { return Ok(None) };
    Ok(Some(Frame::Message { kind: ChannelKind::Pattern, name, channel, payload: payload(cursor)? }))
}

#[inline]
fn text<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>> {
    match cursor.head()? {
        Head::Bulk(text) | Head::Simple(text) => Ok(Some(text)),
        _ => Ok(None),
    }
}

/// What was published. Servers tell of invalidated keys in the same way, with a list in its place: that comes
/// as it was sent.
#[inline]
fn payload<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8]> {
    let raw = cursor.remaining();
    Ok(text(cursor)?.unwrap_or(raw))
}

#[cold]
fn unexpected(bytes: &[u8]) -> Error {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(32)]);
    let message = format!("expected what servers send to subscribers; got {shown:?}");
    Error::new(ErrorKind::Protocol, Outcome::MaybeExecuted, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_protocols_say_the_same() {
        let table: [(&[u8], Frame<'_>); 5] = [
            (
                b"3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\n\r\n\r\n",
                Frame::Message { kind: ChannelKind::Channel, name: b"c", channel: b"c", payload: b"\r\n" },
            ),
            (
                b"4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$0\r\n\r\n",
                Frame::Message { kind: ChannelKind::Pattern, name: b"*", channel: b"c", payload: b"" },
            ),
            (b"3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n", Frame::Subscribed(ChannelKind::Shard, b"c")),
            (
                b"3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n",
                Frame::Unsubscribed(ChannelKind::Channel, b"c"),
            ),
            (b"2\r\n$4\r\npong\r\n$0\r\n\r\n", Frame::Answer),
        ];
        for (body, expected) in table {
            assert_eq!(read(&[b"*", body].concat(), false).unwrap(), expected);
            assert_eq!(read(&[b">", body].concat(), true).unwrap(), expected);
        }
    }

    #[test]
    fn other_pushes_are_passed_over_and_other_replies_are_not() {
        let invalidated = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
        assert_eq!(read(invalidated, true).unwrap(), Frame::Other);
        assert_eq!(read(b">1\r\n*0\r\n", true).unwrap(), Frame::Other);
        assert_eq!(read(b"-NOPERM no\r\n", false).unwrap(), Frame::Error(b"NOPERM no"));
        assert_eq!(read(b"+PONG\r\n", false).unwrap(), Frame::Answer);
        for odd in [&b":1\r\n"[..], b"*0\r\n", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"_\r\n"] {
            assert_eq!(read(odd, false).unwrap_err().kind(), ErrorKind::Protocol);
        }
    }

    #[test]
    fn a_payload_that_is_a_list_comes_as_it_was_sent() {
        let frame = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n*1\r\n$1\r\nk\r\n";
        let Frame::Message { payload, .. } = read(frame, false).unwrap() else { panic!() };
        assert_eq!(payload, b"*1\r\n$1\r\nk\r\n");
    }
}
