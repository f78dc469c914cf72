//! Arguments: how a Rust value becomes the words of a command.
//!
//! Everything that decides the bytes of an argument lives here. This file must not know which command
//! the words belong to, nor where they are sent.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::buffer::Buffer;

mod absent;

use absent::Absences;
pub(crate) use absent::Absent;

/// From this many bytes on, a [`Bytes`] argument is sent from where it lies instead of being copied.
///
/// Below it, a copy costs less than one more piece for the kernel to gather.
pub const SHARED_FROM: usize = 16 * 1024;

/// A larger word has memory of its own.
const MOST_COPIED: usize = 2 * 1024 * 1024;

/// A value that can stand in a command: one word, several (a slice, a tuple, a map), or none (`None`).
///
/// # What is absent
/// `None` is no word, and so is an empty list. What comes behind it would take its place: `HSET h a b` is
/// what would become of the fields `[("a", None), ("b", None)]`. So where values have their places, an absent
/// one is refused before anything is sent ([`ErrorKind::Usage`](crate::ErrorKind::Usage)):
/// - each part of a tuple, each key and value of a map;
/// - a key, value, member or name that a method asks for, and a list of one or several
///   ([`Cmd::required`](crate::Cmd::required));
/// - an item of pairs ([`Cmd::pairs`](crate::Cmd::pairs)); a whole pair may be absent, as in
///   `[Some(("a", 1)), None]`;
/// - an item of a list that is answered item by item, or whose items have numbers: keys of `MGET`, fields of
///   `HMGET`, keys and arguments of scripts ([`Cmd::places`](crate::Cmd::places)).
///
/// Absence means absence in options ([`Cmd::named`](crate::Cmd::named)), for an item of a list of things that
/// are counted or added (`DEL`, `SADD`, `LPUSH`), for a whole list of keys or arguments that may be empty,
/// and in [`Cmd::arg`](crate::Cmd::arg) by hand.
///
/// # Forms
/// Bytes and text are sent as they are, integers in decimal, floats in the shortest form that reads back
/// as the same float. There is no form for `bool`, since Redis has none: say the word the command's
/// grammar wants. `u8` is no argument of its own, so that `&[u8]` and `Vec<u8>` are always one binary word.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::{Cmd, Value};
///
/// let cmd: Cmd<Value> = Cmd::new("ZADD").arg("board").arg((1.5, "ann")).arg([(2.0, "bob"), (3.25, "eve")]);
/// assert_eq!(cmd.words(), ["ZADD", "board", "1.5", "ann", "2", "bob", "3.25", "eve"]);
/// ```
///
/// Types of your own join in by writing what they consist of:
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::{Arg, Args};
///
/// struct UserKey(u64);
/// impl Arg for UserKey {
///     fn write(&self, args: &mut Args) {
///         args.bulk(format!("user:{}", self.0).as_bytes());
///     }
/// }
/// ```
#[doc(alias = "Encoder")]
#[doc(alias = "encoder_class")]
#[doc(alias = "get_encoder")]
pub trait Arg {
    /// Appends this value's words.
    fn write(&self, args: &mut Args);

    /// Appends this value under a name, `NAME value`; nothing at all where the value is absent (`None`).
    fn write_named(&self, name: &str, args: &mut Args) {
        args.bulk(name.as_bytes());
        args.required(|args| self.write(args));
    }
}

/// The words of a command, encoded as they come.
#[derive(Clone, Default)]
pub struct Args {
    words: Buffer,
}

/// What [`Args`] has.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) encoded: Vec<u8>,
    pub(crate) count: usize,
    /// Boxed, since nearly no command has it.
    pub(crate) rare: Option<Box<Rare>>,
}

/// What few commands have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rare {
    /// Large values, each with the place in `encoded` before which it stands.
    shared: Vec<(usize, Bytes)>,
    /// Values that were absent.
    absences: Absences,
}

impl Words {
    /// No words yet, and memory for them.
    pub(crate) const fn new(encoded: Vec<u8>) -> Self {
        Self { encoded, count: 0, rare: None }
    }

    /// No words any more.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.encoded.clear();
        self.count = 0;
        if self.rare.is_some() {
            self.rare = None;
        }
    }
}

impl Args {
    /// No words yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one word of any bytes.
    #[inline]
    pub fn bulk(&mut self, word: &[u8]) {
        if word.len() > MOST_COPIED {
            return self.large(word);
        }
        let words = &mut *self.words;
        redwire_resp::write_bulk(&mut words.encoded, word);
        words.count += 1;
    }

    /// Copied here, and not once more to be written.
    #[cold]
    fn large(&mut self, word: &[u8]) {
        self.bytes(&Bytes::copy_from_slice(word));
    }

    /// Appends one word, without copying it when it is large (see [`SHARED_FROM`]).
    pub fn bytes(&mut self, word: &Bytes) {
        if word.len() < SHARED_FROM {
            return self.bulk(word);
        }
        redwire_resp::write_bulk_header(&mut self.words.encoded, word.len());
        let place = self.words.encoded.len();
        self.words.rare.get_or_insert_default().shared.push((place, word.clone()));
        self.words.encoded.extend_from_slice(b"\r\n");
        self.words.count += 1;
    }

    /// Appends an integer in decimal.
    pub fn integer(&mut self, number: i64) {
        redwire_resp::write_integer(&mut self.words.encoded, number);
        self.words.count += 1;
    }

    /// Appends a float in its shortest form; `inf`, `-inf` and `nan` as Redis spells them.
    pub fn float(&mut self, number: f64) {
        if number.is_finite() {
            let mut digits = ryu::Buffer::new();
            let text = digits.format_finite(number);
            self.bulk(text.strip_suffix(".0").unwrap_or(text).as_bytes());
        } else if number.is_nan() {
            self.bulk(b"nan");
        } else {
            self.bulk(if number > 0.0 { b"inf" } else { b"-inf" });
        }
    }

    /// Appends `word` where `condition` holds.
    pub fn flag(&mut self, condition: bool, word: &str) {
        if condition {
            self.bulk(word.as_bytes());
        }
    }

    /// Appends a value where there is one.
    pub fn optional(&mut self, value: Option<impl Arg>) {
        if let Some(value) = value {
            value.write(self);
        }
    }

    /// Appends words that are already encoded as bulk strings.
    #[inline]
    pub(crate) fn encoded(&mut self, bulks: &[u8], count: usize) {
        let words = &mut *self.words;
        words.encoded.extend_from_slice(bulks);
        words.count += count;
    }

    /// Appends the words of `other` behind its first `bytes`, which hold `words` of them.
    pub(crate) fn rest_of(&mut self, other: &Self, bytes: usize, words: usize) {
        let (encoded, shared) = other.pieces();
        let moved = |place: usize| place - bytes + self.words.encoded.len();
        let shared: Vec<_> = shared
            .iter()
            .filter(|(place, _)| *place > bytes)
            .map(|(place, value)| (moved(*place), value.clone()))
            .collect();
        if let Some(rare) = &other.words.rare {
            let absences = rare.absences.moved(self.words.count.saturating_sub(words));
            let rare = self.words.rare.get_or_insert_default();
            rare.shared.extend(shared);
            rare.absences.add(absences);
        }
        self.words.encoded.extend_from_slice(&encoded[bytes..]);
        self.words.count += other.words.count - words;
    }

    /// How many words there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.count
    }

    /// Whether there is no word yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.count == 0
    }

    /// How many bytes the words take on the wire, without the header that counts them.
    #[must_use]
    pub fn size(&self) -> usize {
        self.words.encoded.len() + self.pieces().1.iter().map(|(_, value)| value.len()).sum::<usize>()
    }

    /// The encoded words in order, in pieces: what was copied, and what is shared.
    #[inline]
    pub(crate) fn pieces(&self) -> (&[u8], &[(usize, Bytes)]) {
        (&self.words.encoded, self.words.rare.as_ref().map_or(&[], |rare| &rare.shared))
    }

    /// The words, decoded again, as far as they lie here (a large shared value included).
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut shared = self.pieces().1.iter().peekable();
        let mut at = 0;
        std::iter::from_fn(move || {
            let (len, header_len) = header(self.words.encoded.get(at..)?)?;
            let start = at + header_len;
            if let Some((_, value)) = shared.next_if(|(place, _)| *place == start) {
                at = start + 2;
                return Some(&value[..]);
            }
            at = start + len + 2;
            Some(&self.words.encoded[start..start + len])
        })
    }

    /// The word at this place, from 0: that of [`iter`](Self::iter), found sooner.
    #[inline]
    pub(crate) fn word(&self, place: usize) -> Option<&[u8]> {
        if self.words.rare.is_some() {
            return self.iter().nth(place);
        }
        let mut rest = &self.words.encoded[..];
        for _ in 0..place {
            let (len, header_len) = header(rest)?;
            rest = rest.get(header_len + len + 2..)?;
        }
        let (len, header_len) = header(rest)?;
        rest.get(header_len..header_len + len)
    }
}

/// What is announced at the start of an encoded word, `$<len>\r\n` as `bulk` and `bytes` write it: the length
/// of its body, which is here or shared, and where that begins.
#[inline]
fn header(encoded: &[u8]) -> Option<(usize, usize)> {
    let (mut len, mut at) = (0, 1);
    loop {
        match encoded.get(at)? {
            b'\r' => return Some((len, at + 2)),
            digit => len = len * 10 + usize::from(digit - b'0'),
        }
        at += 1;
    }
}

impl fmt::Debug for Args {
    /// Counts the words and never shows one: any of them may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Args").field("len", &self.words.count).field("bytes", &self.size()).finish()
    }
}

impl Arg for Args {
    /// All of the words.
    fn write(&self, args: &mut Args) {
        args.rest_of(self, 0, 0);
    }
}

impl Arg for [u8] {
    #[inline]
    fn write(&self, args: &mut Args) {
        args.bulk(self);
    }
}

impl<const N: usize> Arg for [u8; N] {
    #[inline]
    fn write(&self, args: &mut Args) {
        args.bulk(self);
    }
}

impl Arg for Vec<u8> {
    #[inline]
    fn write(&self, args: &mut Args) {
        args.bulk(self);
    }
}

impl Arg for str {
    #[inline]
    fn write(&self, args: &mut Args) {
        args.bulk(self.as_bytes());
    }
}

impl Arg for String {
    #[inline]
    fn write(&self, args: &mut Args) {
        args.bulk(self.as_bytes());
    }
}

impl Arg for char {
    fn write(&self, args: &mut Args) {
        args.bulk(self.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

impl Arg for Bytes {
    #[inline]
    fn write(&self, args: &mut Args) {
        args.bytes(self);
    }
}

macro_rules! integers {
    ($($small:ty),* ; $($large:ty),*) => {
        $(impl Arg for $small {
            #[inline]
            fn write(&self, args: &mut Args) {
                args.integer(i64::from(*self));
            }
        })*
        $(impl Arg for $large {
            fn write(&self, args: &mut Args) {
                args.bulk(itoa::Buffer::new().format(*self).as_bytes());
            }
        })*
    };
}
integers!(i8, i16, u16, i32, u32, i64; u64, isize, usize, i128, u128);

impl Arg for f64 {
    fn write(&self, args: &mut Args) {
        args.float(*self);
    }
}

impl Arg for f32 {
    /// The shortest form of the `f32` itself: `0.1_f32` is `0.1`, not what it becomes as an `f64`.
    fn write(&self, args: &mut Args) {
        if self.is_finite() {
            let mut digits = ryu::Buffer::new();
            let text = digits.format_finite(*self);
            args.bulk(text.strip_suffix(".0").unwrap_or(text).as_bytes());
        } else {
            args.float(f64::from(*self));
        }
    }
}

impl<T: Arg> Arg for Option<T> {
    /// `None` is no word at all.
    fn write(&self, args: &mut Args) {
        match self {
            Some(value) => value.write(args),
            None => args.note_none(),
        }
    }

    fn write_named(&self, name: &str, args: &mut Args) {
        if let Some(value) = self {
            value.write_named(name, args);
        }
    }
}

macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        impl<T: Arg + ?Sized> Arg for $pointer {
            #[inline]
            fn write(&self, args: &mut Args) {
                (**self).write(args);
            }

            fn write_named(&self, name: &str, args: &mut Args) {
                (**self).write_named(name, args);
            }
        }
    )*};
}
pointers!(&T, &mut T, Box<T>, Rc<T>, Arc<T>);

impl<T: Arg + ToOwned + ?Sized> Arg for Cow<'_, T> {
    fn write(&self, args: &mut Args) {
        (**self).write(args);
    }

    fn write_named(&self, name: &str, args: &mut Args) {
        (**self).write_named(name, args);
    }
}

impl<T: Arg> Arg for [T] {
    fn write(&self, args: &mut Args) {
        args.list(self.iter());
    }
}

impl<T: Arg, const N: usize> Arg for [T; N] {
    fn write(&self, args: &mut Args) {
        args.list(self.iter());
    }
}

macro_rules! sequences {
    ($($sequence:ty),*) => {$(
        impl<T: Arg> Arg for $sequence {
            fn write(&self, args: &mut Args) {
                args.list(self.iter());
            }
        }
    )*};
}
sequences!(Vec<T>, VecDeque<T>, BTreeSet<T>);

impl<T: Arg, S> Arg for HashSet<T, S> {
    fn write(&self, args: &mut Args) {
        args.list(self.iter());
    }
}

impl<K: Arg, V: Arg, S> Arg for HashMap<K, V, S> {
    fn write(&self, args: &mut Args) {
        args.list(self.iter());
    }
}

impl<K: Arg, V: Arg> Arg for BTreeMap<K, V> {
    fn write(&self, args: &mut Args) {
        args.list(self.iter());
    }
}

macro_rules! tuples {
    ($($name:ident $number:literal),*) => {
        impl<$($name: Arg),*> Arg for ($($name,)*) {
            #[allow(non_snake_case, reason = "the type parameters double as the names of the parts")]
            fn write(&self, args: &mut Args) {
                let ($($name,)*) = self;
                $(args.part($number, $name);)*
            }
        }
    };
}
tuples!(A 1);
tuples!(A 1, B 2);
tuples!(A 1, B 2, C 3);
tuples!(A 1, B 2, C 3, D 4);
tuples!(A 1, B 2, C 3, D 4, E 5);
tuples!(A 1, B 2, C 3, D 4, E 5, F 6);

#[cfg(test)]
mod tests;
