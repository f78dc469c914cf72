//! Random lines, made of patterns: few keys, all types, right and wrong.
//!
//! This file must not know what a line leads to.

use crate::differences::About;
use crate::patterns::{PATTERNS, WAITING};

/// See the file's own words.
pub(crate) struct Lines {
    random: fastrand::Rng,
    patterns: Vec<&'static str>,
    waiting: Vec<&'static str>,
    entry: u64,
    /// Whether lines may make no sense. Which of several faults is told first differs between versions, and
    /// the model goes by Redis 8.0.
    nonsense: bool,
    valkey: bool,
}

impl Lines {
    pub(crate) fn new(seed: u64, about: About) -> Self {
        let is_known = |since: (u32, u32)| since <= about.level();
        let patterns = PATTERNS.iter().filter(|(since, _)| is_known(*since));
        let waiting = WAITING.iter().filter(|(since, _)| is_known(*since));
        Self {
            random: fastrand::Rng::with_seed(seed),
            patterns: patterns.flat_map(|(_, patterns)| patterns.iter().copied()).collect(),
            waiting: waiting.map(|(_, pattern)| *pattern).collect(),
            entry: 1,
            nonsense: about.level() >= (8, 0),
            valkey: about.valkey,
        }
    }

    /// The next line, of one of these clients.
    pub(crate) fn next(
        &mut self,
        free: &[usize],
        is_queueing: impl Fn(usize) -> bool,
    ) -> (usize, Vec<Vec<u8>>) {
        let client = *self.random.choice(free).expect("the first client is always free");
        if self.valkey && is_queueing(client) && self.random.u8(..20) == 0 {
            return (client, vec![b"EXEC".to_vec()]);
        }
        let waits = client > 0 && self.random.usize(..25) == 0;
        let from = if waits { &self.waiting } else { &self.patterns };
        let pattern: &'static str = self.random.choice(from).expect("there are patterns");
        if self.valkey && is_queueing(client) && (pattern == "MULTI" || pattern.starts_with("WATCH")) {
            // Valkey ends a transaction for it, and Redis does not.
            return (client, vec![b"PING".to_vec()]);
        }
        let mut words: Vec<Vec<u8>> = pattern.split(' ').map(|word| self.word(word)).collect();
        // Chance takes a member from each that is not the same.
        if self.nonsense && !waits && !pattern.starts_with("SPOP") {
            match self.random.u8(..60) {
                0 if words.len() > 1 => {
                    words.pop();
                }
                1 => words.push(self.word("{junk}")),
                2 if words.len() > 2 => {
                    let at = self.random.usize(2..words.len());
                    words[at] = self.word("{junk}");
                }
                _ => {}
            }
        }
        (client, words)
    }

    fn one_of(&mut self, words: &[&str]) -> Vec<u8> {
        self.random.choice(words).map_or_else(Vec::new, |word| word.as_bytes().to_vec())
    }

    fn word(&mut self, pattern: &str) -> Vec<u8> {
        let Some((before, rest)) = pattern.split_once('{') else { return pattern.as_bytes().to_vec() };
        let (kind, after) = rest.split_once('}').expect("patterns are closed");
        let word = self.random_word(kind);
        [before.as_bytes(), &word, after.as_bytes()].concat()
    }

    fn random_word(&mut self, kind: &str) -> Vec<u8> {
        let strays = self.random.u8(..12) == 0;
        match kind {
            "s" | "l" | "t" | "h" | "z" | "x1" if strays => self.random_word("any"),
            _ if strays && !self.nonsense => self.right_word(kind),
            _ if strays => self.wrong_word(kind),
            _ => self.right_word(kind),
        }
    }

    fn right_word(&mut self, kind: &str) -> Vec<u8> {
        match kind {
            "s" => self.one_of(&["s1", "s2", "s3"]),
            "l" => self.one_of(&["l1", "l2"]),
            "t" => self.one_of(&["t1", "t2"]),
            "h" => self.one_of(&["h1", "h2"]),
            "z" => self.one_of(&["z1", "z2"]),
            "x1" => self.one_of(&["x1", "x2"]),
            "any" => {
                self.one_of(&["s1", "s2", "l1", "l2", "t1", "t2", "h1", "h2", "z1", "z2", "x1", "x2", "none"])
            }
            "v" => {
                self.one_of(&["a", "b", "1", "2", "10", "3.5", "", "a b", "\r\n", "\u{e9}\0", "-5", "word"])
            }
            "w" => self.one_of(&["a", "b", "c", "d", "normal"]),
            "i" => self.one_of(&["0", "1", "2", "3", "-1", "-2", "-3", "5", "100"]),
            "f" => self.one_of(&["0", "1", "2", "-1", "0.5", "1.25", "-2.5", "100"]),
            "bit" => self.one_of(&["0", "1"]),
            "b" => self.one_of(&["-inf", "+inf", "0", "1", "(1", "2", "(2", "-1"]),
            "x" => self.one_of(&["-", "+", "[a", "(a", "[b", "(c"]),
            "ttl" => self.one_of(&["100000", "200000", "300000"]),
            "at" => self.one_of(&["9999999999", "8888888888"]),
            "glob" => self.one_of(&["*", "s*", "?1", "[a-m]*", "c*", "c1", "\\*"]),
            "ch" => self.one_of(&["c1", "c2", "d"]),
            "zopt" => self.one_of(&["NX", "XX", "GT", "LT", "CH"]),
            "g" => self.one_of(&["g1", "g2"]),
            "c" => self.one_of(&["one", "two"]),
            "id" => {
                if self.random.bool() {
                    self.entry += 1;
                    return format!("{}-1", self.entry).into_bytes();
                }
                let id = self.random.u64(..=self.entry);
                format!("{id}-{}", self.random.u8(..3)).into_bytes()
            }
            "junk" => self.one_of(&["nonsense", "", "x y", "COUNT", "WITHSCORES", "LIMIT", "-1", "GET"]),
            other => panic!("no such kind of word: {other}"),
        }
    }

    fn wrong_word(&mut self, kind: &str) -> Vec<u8> {
        match kind {
            "i" => self.one_of(&["x", "", "1.5", "9223372036854775807", "-9223372036854775807", "007"]),
            "f" => self.one_of(&["x", "inf", "-inf", "nan", "", "1e3"]),
            "bit" => self.one_of(&["2", "x"]),
            "b" => self.one_of(&["x", "(", "(x"]),
            "x" => self.one_of(&["a", "", "+inf"]),
            "ttl" => self.one_of(&["0", "-1", "x", "9223372036854775807"]),
            "at" => self.one_of(&["1", "0", "x"]),
            "id" => self.one_of(&["x", "1-x", "0-0", "-", "$"]),
            _ => self.right_word(kind),
        }
    }
}
