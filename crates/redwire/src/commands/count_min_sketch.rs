//! Count-min sketches: how often each of very many items came, never too low and a little too high.
//!
//! Promises: one method per command of the module `bf` for them, the same Rust value on RESP2 and RESP3.
//! Must not know: who runs the commands.

use redwire_core::{Arg, Args, Cmd, Run, facts};

use super::info::info;

/// Count-min sketches, of the module `bf`, which Redis 8 has built in.
///
/// What a method returns is [`Run::Out`]: a request to await for a client, a `Result` for a blocking one, a
/// place for a pipeline.
///
/// ```no_run
/// use redwire::prelude::*;
///
/// let client = redwire::blocking::Client::connect("redis://localhost")?;
/// client.cms_initbyprob("pages", 0.001, 0.01)?;
/// client.cms_incrby("pages", [("/", 3), ("/about", 1)])?;
/// assert_eq!(client.cms_query("pages", "/")?, [3]);
/// # Ok::<(), redwire::Error>(())
/// ```
pub trait CountMinSketchCommands: Run {
    /// Adds to the counts of items, one or several `(item, by)`; the count of each now. Fails where the
    /// sketch is absent. Since bf 2.0; O(n·d) with n items and depth d.
    ///
    /// Example: `client.cms_incrby("pages", [("/", 3), ("/about", 1)])`.
    /// [CMS.INCRBY](https://redis.io/docs/latest/commands/cms.incrby/)
    fn cms_incrby(self, key: impl Arg, counts: impl Arg) -> Self::Out<Vec<u64>> {
        self.run(Cmd::of(&facts::CMS_INCRBY).required(key).pairs(counts))
    }

    /// What the sketch is made of. Fails where it is absent. Since bf 2.0; O(1).
    ///
    /// Example: `client.cms_info("pages")`.
    /// [CMS.INFO](https://redis.io/docs/latest/commands/cms.info/)
    fn cms_info(self, key: impl Arg) -> Self::Out<CountMinSketchInfo> {
        self.run(Cmd::of(&facts::CMS_INFO).required(key))
    }

    /// Makes a sketch of this width (counters in a row: more for smaller errors) and depth (rows: more for
    /// rarer errors). Fails where the key exists. Since bf 2.0; O(1).
    ///
    /// Example: `client.cms_initbydim("words", 2000, 5)`.
    /// [CMS.INITBYDIM](https://redis.io/docs/latest/commands/cms.initbydim/)
    fn cms_initbydim(self, key: impl Arg, width: u64, depth: u64) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CMS_INITBYDIM).required(key).arg(width).arg(depth))
    }

    /// Makes a sketch whose counts are too high by `error` times all counts at most, except with this
    /// probability; both between 0 and 1. Fails where the key exists. Since bf 2.0; O(1).
    ///
    /// Example: `client.cms_initbyprob("pages", 0.001, 0.01)`.
    /// [CMS.INITBYPROB](https://redis.io/docs/latest/commands/cms.initbyprob/)
    fn cms_initbyprob(self, key: impl Arg, error: f64, probability: f64) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CMS_INITBYPROB).required(key).arg(error).arg(probability))
    }

    /// Puts the sum of the sketches `sources`, one or several of the same width and depth, in place of what
    /// `destination` holds, which must exist and may be one of them. Fails where any is absent. In a cluster
    /// all must have one slot. Since bf 2.0; O(n) with n sketches.
    ///
    /// Example: `client.cms_merge("week", ["monday", "tuesday"])`.
    /// [CMS.MERGE](https://redis.io/docs/latest/commands/cms.merge/)
    fn cms_merge(self, destination: impl Arg, sources: impl Arg) -> Self::Out<()> {
        self.run(merged(Cmd::of(&facts::CMS_MERGE).required(destination), sources))
    }

    /// As [`cms_merge`](Self::cms_merge), each count times the weight of its sketch; as many weights as
    /// sources. Since bf 2.0; O(n).
    ///
    /// Example: `client.cms_merge_weights("week", ["monday", "tuesday"], [1, 2])`.
    /// [CMS.MERGE](https://redis.io/docs/latest/commands/cms.merge/)
    fn cms_merge_weights(self, destination: impl Arg, sources: impl Arg, weights: impl Arg) -> Self::Out<()> {
        let cmd = merged(Cmd::of(&facts::CMS_MERGE).required(destination), sources);
        self.run(cmd.arg("WEIGHTS").places(weights))
    }

    /// The count of each of these items, one or several; 0 for what never came. Fails where the sketch is
    /// absent. Since bf 2.0; O(n·d).
    ///
    /// Example: `client.cms_query("pages", ["/", "/nowhere"])`.
    /// [CMS.QUERY](https://redis.io/docs/latest/commands/cms.query/)
    fn cms_query(self, key: impl Arg, items: impl Arg) -> Self::Out<Vec<u64>> {
        self.run(Cmd::of(&facts::CMS_QUERY).required(key).places(items))
    }
}

impl<T: Run> CountMinSketchCommands for T {}

/// Appends how many sources there are, and these: one at least.
pub(super) fn merged<R>(cmd: Cmd<R>, sources: impl Arg) -> Cmd<R> {
    let mut words = Args::new();
    sources.write(&mut words);
    cmd.arg(words.len()).places(words)
}

info! {
    /// What a count-min sketch is made of.
    CountMinSketchInfo {
        /// Counters in a row.
        width: u64 = "width",
        /// Rows.
        depth: u64 = "depth",
        /// The sum of all counts.
        count: u64 = "count",
    }
}
