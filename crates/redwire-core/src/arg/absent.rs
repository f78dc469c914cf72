//! Values that are absent where something must stand: how that is found while a command's words are written,
//! and how it is told.
//!
//! A value without a word (`None`, an empty list) lets whatever comes behind it move into its place, so that
//! the server would be told other data than the program's. This file must not know commands.

use super::{Arg, Args};

/// A place where a value was absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Absent {
    /// How many words stand before it.
    pub(crate) place: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A value of its own.
    Value,
    /// A part of a tuple or of a map's entry, counted from 1.
    Part(usize),
    /// An item of a list, counted from 1. `apart`: all other items have several words each, so that none
    /// takes its place.
    Item { number: usize, apart: bool },
}

impl Absent {
    /// What it was, for a sentence.
    pub(crate) fn describe(self) -> String {
        match self.what {
            What::Value => "a value".to_owned(),
            What::Part(number) => format!("part {number} of a pair or tuple"),
            What::Item { number, .. } => format!("item {number} of a list"),
        }
    }

    fn is_apart(self) -> bool {
        matches!(self.what, What::Item { apart: true, .. })
    }
}

/// What is known of absent values among some words.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Absences {
    /// The first that stands where something must.
    missing: Option<Absent>,
    /// The first where it may be meant: what asks for the value decides. One that no such place lets pass
    /// goes before one that stands apart.
    gap: Option<Absent>,
}

impl Absences {
    /// As seen from words that stand `by` places further on.
    pub(super) fn moved(self, by: usize) -> Self {
        let move_on = |absent: Absent| Absent { place: absent.place + by, ..absent };
        Self { missing: self.missing.map(move_on), gap: self.gap.map(move_on) }
    }

    /// Takes `later` into account, of words behind these.
    pub(super) fn add(&mut self, later: Self) {
        self.missing = self.missing.or(later.missing);
        self.gap = self.gap.or(later.gap);
    }
}

impl Args {
    /// The first place where a value is absent, though one must stand there.
    #[inline]
    pub(crate) fn missing(&self) -> Option<Absent> {
        self.words.rare.as_ref()?.absences.missing
    }

    #[inline]
    fn gap(&self) -> Option<Absent> {
        self.words.rare.as_ref()?.absences.gap
    }

    fn set_gap(&mut self, gap: Option<Absent>) {
        if gap.is_some() || self.words.rare.is_some() {
            self.words.rare.get_or_insert_default().absences.gap = gap;
        }
    }

    #[cold]
    fn miss(&mut self, absent: Absent) {
        self.words.rare.get_or_insert_default().absences.missing.get_or_insert(absent);
    }

    /// Takes note of a value without a word.
    #[cold]
    pub(super) fn note_none(&mut self) {
        self.note_gap(Absent { place: self.words.count, what: What::Value });
    }

    #[cold]
    fn note_gap(&mut self, new: Absent) {
        match self.gap() {
            Some(old) if !old.is_apart() || new.is_apart() => {}
            _ => self.set_gap(Some(new)),
        }
    }

    /// Appends a value that must be there: [`Cmd::required`](crate::Cmd::required).
    #[inline]
    pub(crate) fn required(&mut self, write: impl FnOnce(&mut Self)) {
        let place = self.words.count;
        write(self);
        if self.words.count == place {
            self.miss(Absent { place, what: What::Value });
        }
    }

    /// Appends a part of a tuple, which must be there.
    #[inline]
    pub(super) fn part(&mut self, number: usize, part: &impl Arg) {
        let place = self.words.count;
        part.write(self);
        if self.words.count == place {
            self.miss(Absent { place, what: What::Part(number) });
        }
    }

    /// Appends the items of a list, of which some may be absent.
    #[inline]
    pub(super) fn list<T: Arg>(&mut self, items: impl Iterator<Item = T>) {
        // The fewest words of an item that is there, and the first that is not.
        let (mut fewest, mut skipped) = (usize::MAX, None);
        for (index, item) in items.enumerate() {
            let (place, gap) = (self.words.count, self.gap());
            item.write(self);
            match self.words.count - place {
                0 => {
                    skipped.get_or_insert((place, index + 1));
                    self.set_gap(gap);
                }
                words => fewest = fewest.min(words),
            }
        }
        if let Some((place, number)) = skipped {
            let apart = (2..usize::MAX).contains(&fewest);
            self.note_gap(Absent { place, what: What::Item { number, apart } });
        }
    }

    /// Appends what `write` does, and gives how many words that is and where a value is absent among them.
    #[inline]
    fn observe(&mut self, write: impl FnOnce(&mut Self)) -> (usize, Option<Absent>) {
        let (place, before) = (self.words.count, self.gap());
        if before.is_some() {
            self.set_gap(None);
        }
        write(self);
        let gap = self.gap();
        if before.is_some() {
            self.set_gap(before);
        }
        (self.words.count - place, gap)
    }

    /// Appends a list whose items have their places: [`Cmd::any_places`](crate::Cmd::any_places).
    #[inline]
    pub(crate) fn places(&mut self, list: impl Arg) {
        match self.observe(|args| list.write(args)) {
            (0, Some(Absent { what: What::Value, .. })) | (_, None) => {}
            (_, Some(absent)) => self.miss(absent),
        }
    }

    /// Appends pairs, or longer tuples: [`Cmd::pairs`](crate::Cmd::pairs).
    #[inline]
    pub(crate) fn pairs(&mut self, pairs: impl Arg) {
        match self.observe(|args| pairs.write(args)) {
            (1.., None) => {}
            (1.., Some(absent)) if absent.is_apart() => {}
            (_, Some(absent)) => self.miss(absent),
            (_, None) => self.miss(Absent { place: self.words.count, what: What::Value }),
        }
    }

    /// Appends one value or several; no list is too short, but `None` is refused.
    #[inline]
    pub(crate) fn some(&mut self, values: impl Arg) {
        if let (_, Some(absent)) = self.observe(|args| values.write(args)) {
            self.miss(absent);
        }
    }
}
