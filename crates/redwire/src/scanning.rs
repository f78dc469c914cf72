//! Walking a collection by cursor: SCAN, HSCAN, SSCAN, ZSCAN; and all keys of a cluster, node after node. Holds the cursor and the
//! page that was fetched last, and must not know how pages are fetched.

use std::collections::VecDeque;

use redwire_core::cluster::{ClusterOptions, Map, Walk, WalkStep};
use redwire_core::config::HostPort;
use redwire_core::facts::{self, Facts};
use redwire_core::{Arg, Cmd, Result};

/// What to look for while scanning.
///
/// ```
/// use redwire::ScanOptions;
///
/// let options = ScanOptions::new().pattern("user:*").count(500);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    pattern: Option<Vec<u8>>,
    count: Option<u64>,
    kind: Option<String>,
}

impl ScanOptions {
    /// Everything, in pages of the server's choice (about 10).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only names that match this glob pattern (`MATCH`).
    #[must_use]
    pub fn pattern(mut self, pattern: impl AsRef<[u8]>) -> Self {
        self.pattern = Some(pattern.as_ref().to_vec());
        self
    }

    /// About how many items the server looks at for a page (`COUNT`): larger pages need fewer round trips and
    /// hold the server up longer each.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Only keys of this type, as the command `TYPE` names it (`TYPE`; for keys only).
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }
}

/// A page: the next cursor and the items.
pub(crate) type Fetched<T> = (Vec<u8>, Vec<T>);

/// Where a scan stands.
#[derive(Debug)]
pub(crate) struct Scanning<T> {
    facts: &'static Facts,
    key: Option<Vec<u8>>,
    options: ScanOptions,
    cursor: Vec<u8>,
    page: VecDeque<T>,
    last: bool,
    /// The way from node to node, in a cluster.
    walk: Option<Box<Walk>>,
}

/// What comes next.
pub(crate) enum Page<T> {
    /// An item of the page at hand.
    Item(T),
    /// Another page must be fetched by this command.
    Fetch(Cmd<Fetched<T>>),
    /// Another page must be fetched from this node of the cluster.
    FetchAt(HostPort, Cmd<Fetched<T>>),
    /// This node of the cluster must be asked the walk's question.
    Ask(HostPort),
    /// There is nothing more.
    Done,
}

impl<T> Scanning<T> {
    pub(crate) fn keys(options: ScanOptions) -> Self {
        Self::new(&facts::SCAN, None, options)
    }

    /// The keys of a whole cluster.
    pub(crate) fn cluster(options: ScanOptions, cluster: &ClusterOptions) -> Self {
        Self { walk: Some(Box::new(Walk::new(cluster))), ..Self::keys(options) }
    }

    /// The way from node to node, in a cluster.
    pub(crate) fn walk(&mut self) -> Option<&mut Walk> {
        self.walk.as_deref_mut()
    }

    pub(crate) fn within(facts: &'static Facts, key: impl Arg, options: ScanOptions) -> Self {
        let mut words = redwire_core::Args::new();
        key.write(&mut words);
        let key = words.iter().next().map(<[u8]>::to_vec);
        Self::new(facts, key, options)
    }

    fn new(facts: &'static Facts, key: Option<Vec<u8>>, options: ScanOptions) -> Self {
        Self { facts, key, options, cursor: b"0".to_vec(), page: VecDeque::new(), last: false, walk: None }
    }

    pub(crate) fn poll_item(&mut self) -> Page<T> {
        match self.page.pop_front() {
            Some(item) => Page::Item(item),
            None if self.last => Page::Done,
            None => Page::Fetch(self.fetch(&self.cursor)),
        }
    }

    /// As [`poll_item`](Self::poll_item), in a cluster of this map.
    ///
    /// # Errors
    /// Nobody is known for a slot; for the [`walk`](Self::walk).
    pub(crate) fn poll_item_in(&mut self, map: &Map) -> Result<Page<T>> {
        let (None, Some(walk)) = (self.page.front(), &mut self.walk) else { return Ok(self.poll_item()) };
        Ok(match walk.poll_step(map)? {
            WalkStep::Ask(node) => Page::Ask(node),
            WalkStep::Page { node, cursor } => Page::FetchAt(node, self.fetch(&cursor)),
            WalkStep::Done => Page::Done,
        })
    }

    /// A cursor stays good when its page was lost on the way, so fetching may be repeated.
    fn fetch(&self, cursor: &[u8]) -> Cmd<Fetched<T>> {
        Cmd::of(self.facts)
            .arg(&self.key)
            .arg(cursor)
            .named("MATCH", &self.options.pattern)
            .named("COUNT", self.options.count)
            .named("TYPE", &self.options.kind)
    }

    pub(crate) fn handle_page(&mut self, (cursor, items): Fetched<T>) {
        match &mut self.walk {
            Some(walk) => walk.handle_page(&cursor),
            None => self.last = cursor == b"0",
        }
        self.cursor = cursor;
        self.page.extend(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_the_cursor_until_it_is_zero() {
        let mut scanning: Scanning<u8> =
            Scanning::keys(ScanOptions::new().pattern("a*").count(5).kind("hash"));
        let fetch = |scanning: &mut Scanning<u8>| match scanning.poll_item() {
            Page::Fetch(cmd) => cmd.words().join(" "),
            _ => panic!("a page is needed"),
        };
        assert_eq!(fetch(&mut scanning), "SCAN 0 MATCH a* COUNT 5 TYPE hash");
        scanning.handle_page((b"17".to_vec(), vec![]));
        assert_eq!(fetch(&mut scanning), "SCAN 17 MATCH a* COUNT 5 TYPE hash");
        scanning.handle_page((b"0".to_vec(), vec![1]));
        assert!(matches!(scanning.poll_item(), Page::Item(1)));
        assert!(matches!(scanning.poll_item(), Page::Done));
    }
}
