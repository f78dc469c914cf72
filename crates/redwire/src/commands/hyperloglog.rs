//! HyperLogLogs: counting distinct items approximately, in 12 KiB at most.
//!
//! Promises: one method per command of Redis and Valkey, the same Rust value on RESP2 and RESP3. Must not
//! know: who runs the commands.

use redwire_core::{Arg, Cmd, Run, facts};

/// HyperLogLogs. Items and keys may be one value or many.
pub trait HyperLogLogCommands: Run {
    /// Counts `items` in; whether the estimate may have changed.
    /// [PFADD](https://redis.io/docs/latest/commands/pfadd/)
    fn pfadd(self, key: impl Arg, items: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::PFADD).required(key).arg(items))
    }

    /// About how many distinct items were added, to all the keys together (standard error 0.81 %).
    /// [PFCOUNT](https://redis.io/docs/latest/commands/pfcount/)
    fn pfcount(self, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::PFCOUNT).required(keys))
    }

    /// Counts everything that `sources` have counted into `destination` too.
    /// [PFMERGE](https://redis.io/docs/latest/commands/pfmerge/)
    fn pfmerge(self, destination: impl Arg, sources: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::PFMERGE).required(destination).arg(sources))
    }
}

impl<T: Run> HyperLogLogCommands for T {}
