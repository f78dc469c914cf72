//! Top-k: the most frequent of very many items, and about how often each came.
//!
//! Promises: one method per command of the module `bf` for them that isn't deprecated, the same Rust value
//! on RESP2 and RESP3. Must not know: who runs the commands.

use redwire_core::{Arg, Args, Cmd, Reply, Run, facts};

use super::info::info;

/// Lists of the most frequent items, of the module `bf`, which Redis 8 has built in.
///
/// What a method returns is [`Run::Out`]: a request to await for a client, a `Result` for a blocking one, a
/// place for a pipeline.
///
/// ```no_run
/// use redwire::commands::TopKOptions;
/// use redwire::prelude::*;
///
/// let client = redwire::blocking::Client::connect("redis://localhost")?;
/// client.topk_reserve("songs", 10, TopKOptions::new(50, 5, 0.9))?;
/// let dropped: Vec<Option<String>> = client.topk_add("songs", ["waltz", "polka"])?;
/// let chart: Vec<(String, u64)> = client.topk_list_withcount("songs")?;
/// # Ok::<(), redwire::Error>(())
/// ```
pub trait TopKCommands: Run {
    /// Counts items, one or several; for each the item that fell off the list for it, if one did. Fails
    /// where the list is absent. Since bf 2.0; O(n·k) with n items and depth k.
    ///
    /// Example: `client.topk_add::<String>("songs", ["waltz", "polka"])`.
    /// [TOPK.ADD](https://redis.io/docs/latest/commands/topk.add/)
    fn topk_add<V: Reply>(self, key: impl Arg, items: impl Arg) -> Self::Out<Vec<Option<V>>> {
        self.run(Cmd::of(&facts::TOPK_ADD).required(key).places(items))
    }

    /// About how often each of these items came; servers call it deprecated, for the counts may be far off.
    /// Fails where the list is absent. Since bf 2.0; O(n).
    ///
    /// Example: `client.topk_count("songs", ["waltz", "polka"])`.
    /// [TOPK.COUNT](https://redis.io/docs/latest/commands/topk.count/)
    fn topk_count(self, key: impl Arg, items: impl Arg) -> Self::Out<Vec<u64>> {
        self.run(Cmd::of(&facts::TOPK_COUNT).required(key).places(items))
    }

    /// Counts items several times each, one or several `(item, by)` with `by` from 1 to 100 000; for each the
    /// item that fell off the list for it, if one did. Fails where the list is absent. Since bf 2.0;
    /// O(n·k·i) with increments i.
    ///
    /// Example: `client.topk_incrby::<String>("songs", [("waltz", 5), ("tango", 9)])`.
    /// [TOPK.INCRBY](https://redis.io/docs/latest/commands/topk.incrby/)
    fn topk_incrby<V: Reply>(self, key: impl Arg, counts: impl Arg) -> Self::Out<Vec<Option<V>>> {
        self.run(Cmd::of(&facts::TOPK_INCRBY).required(key).pairs(counts))
    }

    /// What the list is made of. Fails where it is absent. Since bf 2.0; O(1).
    ///
    /// Example: `client.topk_info("songs")`.
    /// [TOPK.INFO](https://redis.io/docs/latest/commands/topk.info/)
    fn topk_info(self, key: impl Arg) -> Self::Out<TopKInfo> {
        self.run(Cmd::of(&facts::TOPK_INFO).required(key))
    }

    /// The items of the list, the most frequent first: usually a `Vec<String>`. Fails where it is absent.
    /// Since bf 2.0; O(k·log k).
    ///
    /// Example: `client.topk_list::<Vec<String>>("songs")`.
    /// [TOPK.LIST](https://redis.io/docs/latest/commands/topk.list/)
    fn topk_list<C: Reply>(self, key: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::TOPK_LIST).required(key))
    }

    /// As [`topk_list`](Self::topk_list), with about how often each came: usually a `Vec<(String, u64)>`.
    /// Since bf 2.0; O(k·log k).
    ///
    /// Example: `client.topk_list_withcount::<Vec<(String, u64)>>("songs")`.
    /// [TOPK.LIST](https://redis.io/docs/latest/commands/topk.list/)
    fn topk_list_withcount<C: Reply>(self, key: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::TOPK_LIST).required(key).arg("WITHCOUNT"))
    }

    /// Whether each of these items is on the list. Fails where the list is absent. Since bf 2.0; O(n).
    ///
    /// Example: `client.topk_query("songs", ["waltz", "polka"])`.
    /// [TOPK.QUERY](https://redis.io/docs/latest/commands/topk.query/)
    fn topk_query(self, key: impl Arg, items: impl Arg) -> Self::Out<Vec<bool>> {
        self.run(Cmd::of(&facts::TOPK_QUERY).required(key).places(items))
    }

    /// Makes a list for the `k` most frequent items. Fails where the key exists. Since bf 2.0; O(1).
    ///
    /// Example: `client.topk_reserve("songs", 2, TopKOptions::new(8, 7, 0.9))`.
    /// [TOPK.RESERVE](https://redis.io/docs/latest/commands/topk.reserve/)
    fn topk_reserve(self, key: impl Arg, k: u64, options: TopKOptions) -> Self::Out<()> {
        self.run(Cmd::of(&facts::TOPK_RESERVE).required(key).arg(k).arg(options))
    }
}

impl<T: Run> TopKCommands for T {}

/// The memory of a top-k list; by default the module's (width 8, depth 7, decay 0.9).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TopKOptions(Option<(u64, u64, f64)>);

impl TopKOptions {
    /// So many counters in a row, so many rows, and the probability (0 to 1) with which the counter of
    /// another item shrinks.
    #[must_use]
    pub fn new(width: u64, depth: u64, decay: f64) -> Self {
        Self(Some((width, depth, decay)))
    }
}

impl Arg for TopKOptions {
    fn write(&self, args: &mut Args) {
        args.optional(self.0);
    }
}

info! {
    /// What a top-k list is made of.
    TopKInfo {
        /// How many items it lists.
        k: u64 = "k",
        /// Counters in a row.
        width: u64 = "width",
        /// Rows.
        depth: u64 = "depth",
        /// The probability with which the counter of another item shrinks.
        decay: f64 = "decay",
    }
}
