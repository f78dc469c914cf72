//! Walking a collection by cursor: SCAN, HSCAN, SSCAN, ZSCAN; and all keys of a cluster, node after node.
//! Holds the cursor and the page that was fetched last, and must not know how pages are fetched.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use redwire_core::cluster::{ClusterOptions, ClusterScan, Map, ScanStep};
use redwire_core::config::{Config, HostPort};
use redwire_core::facts::{self, Facts};
use redwire_core::{Arg, Cmd, Error, ErrorKind, Reply, Result, ScanPage};

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

/// Where a scan stands.
#[derive(Debug)]
pub(crate) struct Scanning<T> {
    /// What stands before the cursor: the command, and the key of a collection.
    start: Cmd<ScanPage>,
    options: ScanOptions,
    cursor: Vec<u8>,
    page: VecDeque<Result<T>>,
    last: bool,
    /// An error ended it: another page would fail in the same way.
    failed: bool,
    /// The way from node to node, in a cluster.
    cluster_scan: Option<Box<ClusterScan>>,
    /// How often it was begun anew at another replica.
    beginnings: u32,
}

/// What comes next.
pub(crate) enum NextPage<T> {
    /// An item of the page at hand, or what is wrong with it.
    Item(Result<T>),
    /// Another page must be fetched by this command.
    Fetch(Cmd<ScanPage>),
    /// Another page must be fetched from this node of the cluster.
    FetchAt(HostPort, Cmd<ScanPage>),
    /// This node of the cluster must be asked the scan's question.
    Ask(HostPort),
    /// There is nothing more.
    Done,
}

impl<T: Reply> Scanning<T> {
    pub(crate) fn keys(options: ScanOptions) -> Self {
        Self::new(Cmd::of(&facts::SCAN), options)
    }

    /// The keys of a whole cluster.
    pub(crate) fn cluster(options: ScanOptions, cluster: &ClusterOptions) -> Self {
        Self { cluster_scan: Some(Box::new(ClusterScan::new(cluster))), ..Self::keys(options) }
    }

    /// The way from node to node, in a cluster.
    pub(crate) fn cluster_scan(&mut self) -> Option<&mut ClusterScan> {
        self.cluster_scan.as_deref_mut()
    }

    pub(crate) fn within(facts: &'static Facts, key: impl Arg, options: ScanOptions) -> Self {
        Self::new(Cmd::of(facts).required(key), options)
    }

    fn new(start: Cmd<ScanPage>, options: ScanOptions) -> Self {
        let (cursor, page) = (b"0".to_vec(), VecDeque::new());
        Self { start, options, cursor, page, last: false, failed: false, cluster_scan: None, beginnings: 0 }
    }

    pub(crate) fn poll_item(&mut self) -> NextPage<T> {
        match self.page.pop_front() {
            Some(item) => NextPage::Item(item),
            None if self.last || self.failed => NextPage::Done,
            None => NextPage::Fetch(self.fetch(&self.cursor)),
        }
    }

    /// As [`poll_item`](Self::poll_item), in a cluster of this map.
    ///
    /// # Errors
    /// No node is known for a slot; for the [`cluster_scan`](Self::cluster_scan).
    pub(crate) fn poll_item_in(&mut self, map: &Map) -> Result<NextPage<T>> {
        let scans = self.page.is_empty() && !self.failed;
        let Some(cluster_scan) = self.cluster_scan.as_mut().filter(|_| scans) else {
            return Ok(self.poll_item());
        };
        Ok(match cluster_scan.poll_step(map)? {
            ScanStep::Ask(node) => NextPage::Ask(node),
            ScanStep::Page { node, cursor } => NextPage::FetchAt(node, self.fetch(&cursor)),
            ScanStep::Done => NextPage::Done,
        })
    }

    /// A cursor stays good when its page was lost on the way, so fetching may be repeated.
    fn fetch(&self, cursor: &[u8]) -> Cmd<ScanPage> {
        self.start
            .clone()
            .arg(cursor)
            .named("MATCH", &self.options.pattern)
            .named("COUNT", self.options.count)
            .named("TYPE", &self.options.kind)
    }

    /// A page came.
    ///
    /// # Errors
    /// Its items are no list.
    pub(crate) fn handle_page(&mut self, page: &ScanPage) -> Result<()> {
        let name = self.start.name();
        let items = page.items().map_err(|error| error.with_command(&name))?;
        let cursor = page.cursor();
        match &mut self.cluster_scan {
            Some(cluster_scan) => cluster_scan.handle_page(cursor),
            None => self.last = cursor == b"0",
        }
        self.cursor = cursor.to_vec();
        self.page.extend(items.into_iter().map(|item| item.map_err(|error| error.with_command(&name))));
        Ok(())
    }

    /// The replica whose cursor it is did not give a page: another may, from the beginning on, so that items
    /// come again. Says after which pause that is tried: until `deadline`, which the page has had from its
    /// beginning, or where there is none, as often as a call is made again.
    ///
    /// This is no retry of a call: each try of a page is a call, which is made again at its server as others
    /// are.
    ///
    /// # Errors
    /// It is to be told, for [`handle_failure`](Self::handle_failure).
    pub(crate) fn begin_anew(
        &mut self,
        error: Error,
        config: &Config,
        deadline: Option<Instant>,
        now: Instant,
        random: u64,
    ) -> Result<Duration> {
        if is_final(&error) {
            return Err(error);
        }
        (self.cursor, self.last) = (b"0".to_vec(), false);
        self.beginnings += 1;
        let retries = config.retry().retries;
        let pause = config.reconnect_backoff().delay(self.beginnings, Duration::ZERO, random);
        let in_time = match deadline {
            Some(deadline) => retries > 0 && now + pause < deadline,
            None => self.beginnings <= retries,
        };
        if in_time { Ok(pause) } else { Err(error) }
    }

    /// A page did not come, which the caller is told: whether the same page is asked for again, or nothing
    /// more comes.
    pub(crate) fn handle_failure(&mut self, error: Error) -> Error {
        self.failed = is_final(&error);
        error
    }
}

/// `cmd`, which must have ended by `deadline`.
pub(crate) fn within<R>(cmd: Cmd<R>, deadline: Option<Instant>, now: Instant) -> Cmd<R> {
    match deadline {
        // Zero would be no limit.
        Some(deadline) => cmd.timeout(deadline.saturating_duration_since(now).max(Duration::from_nanos(1))),
        None => cmd,
    }
}

/// What the server or this client refuses, or what cannot be read, would be so again and again.
fn is_final(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Config
            | ErrorKind::Usage
            | ErrorKind::Authentication(_)
            | ErrorKind::Response
            | ErrorKind::Decode
            | ErrorKind::Closed
    )
}

#[cfg(test)]
mod tests {
    use redwire_core::{Outcome, Reader};

    use super::*;

    #[test]
    fn pages_follow_the_cursor_until_it_is_zero() {
        let mut scanning: Scanning<u32> =
            Scanning::keys(ScanOptions::new().pattern("a*").count(5).kind("hash"));
        let fetch = |scanning: &mut Scanning<u32>| match scanning.poll_item() {
            NextPage::Fetch(cmd) => cmd.words().join(" "),
            _ => panic!("a page is needed"),
        };
        assert_eq!(fetch(&mut scanning), "SCAN 0 MATCH a* COUNT 5 TYPE hash");
        let come = |scanning: &mut Scanning<u32>, page: &str| {
            scanning.handle_page(&Reader::read(page.as_bytes()).unwrap())
        };
        come(&mut scanning, "*2\r\n$2\r\n17\r\n*0\r\n").unwrap();
        assert_eq!(fetch(&mut scanning), "SCAN 17 MATCH a* COUNT 5 TYPE hash");
        come(&mut scanning, "*2\r\n$1\r\n0\r\n*2\r\n+x\r\n:1\r\n").unwrap();
        let NextPage::Item(Err(error)) = scanning.poll_item() else { panic!("an item that is no number") };
        assert_eq!((error.kind(), error.command()), (ErrorKind::Decode, Some("SCAN")));
        assert!(matches!(scanning.poll_item(), NextPage::Item(Ok(1))));
        assert!(matches!(scanning.poll_item(), NextPage::Done));
    }

    #[test]
    fn a_page_is_asked_for_again_where_it_may_come() {
        for (error, again) in [
            (Error::closed_by_peer(Outcome::MaybeExecuted), true),
            (Error::timeout(Outcome::MaybeExecuted), true),
            (Error::from_server(b"LOADING wait"), true),
            (Error::from_server(b"TRYAGAIN later"), true),
            (Error::from_server(b"WRONGTYPE no"), false),
            (Error::from_server(b"NOPERM no"), false),
            (Error::usage("no"), false),
        ] {
            let mut scanning: Scanning<u32> = Scanning::keys(ScanOptions::new());
            let error = scanning.handle_failure(error);
            assert_eq!(matches!(scanning.poll_item(), NextPage::Fetch(_)), again, "{error}");
        }
    }
}
