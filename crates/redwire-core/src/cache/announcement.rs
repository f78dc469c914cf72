//! What a server says about keys that changed: pushed on RESP3, as a message of a channel on RESP2. Words
//! that no client understands are nothing to a cache. This file must not know what is kept.

use redwire_resp::{Cursor, Head, Len};

/// The channel of announcements on RESP2.
pub(super) const CHANNEL: &str = "__redis__:invalidate";

/// What one push or message means for a cache.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Announcement<'a> {
    /// These keys.
    Changed(Vec<&'a [u8]>),
    /// Any key: the database was emptied.
    Everything,
    /// Nothing will be announced any more.
    Over,
    /// Something else.
    Other,
}

impl<'a> Announcement<'a> {
    pub(super) fn parse(frame: &'a [u8]) -> Self {
        Self::read(&mut Cursor::new(frame)).unwrap_or(Self::Other)
    }

    fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
        let (Head::Push(Len::Known(_)) | Head::Array(Len::Known(_))) = cursor.head().ok()? else {
            return None;
        };
        match text(cursor)? {
            b"invalidate" => {}
            b"message" if text(cursor)? == CHANNEL.as_bytes() => {}
            b"tracking-redir-broken" => return Some(Self::Over),
            _ => return None,
        }
        match cursor.head().ok()? {
            Head::Null => Some(Self::Everything),
            Head::Array(Len::Known(count)) => {
                let keys: Option<Vec<_>> = (0..count).map(|_| text(cursor)).collect();
                // Keys that cannot be read may be any.
                Some(keys.map_or(Self::Everything, Self::Changed))
            }
            Head::Bulk(key) => Some(Self::Changed(vec![key])),
            _ => Some(Self::Everything),
        }
    }
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    match cursor.head().ok()? {
        Head::Bulk(text) | Head::Simple(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_distinguished_from_other_pushes() {
        let keys = |keys: &[&'static [u8]]| Announcement::Changed(keys.to_vec());
        let table: &[(&[u8], Announcement<'_>)] = &[
            (b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n", keys(&[b"k"])),
            (b">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\nk\r\n$2\r\n\r\n\r\n", keys(&[b"k", b"\r\n"])),
            (b">2\r\n$10\r\ninvalidate\r\n_\r\n", Announcement::Everything),
            (b">2\r\n$10\r\ninvalidate\r\n*1\r\n:1\r\n", Announcement::Everything),
            (b">1\r\n$21\r\ntracking-redir-broken\r\n", Announcement::Over),
            (b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n", keys(&[b"k"])),
            (b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*-1\r\n", Announcement::Everything),
            (b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n", Announcement::Everything),
            (b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nk\r\n", Announcement::Other),
            (b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$10\r\ninvalidate\r\n", Announcement::Other),
            (b"+OK\r\n", Announcement::Other),
        ];
        for (frame, expected) in table {
            assert_eq!(&Announcement::parse(frame), expected, "{}", frame.escape_ascii());
        }
    }
}
