//! What a server tells about its commands, its memory, and what holds it up.
//!
//! Must not know what `INFO`, the slow log and `LATENCY LATEST` tell: they are of the family of the server.

use redwire_core::{Arg, Cmd, Lossy, Reply, Run, facts};

mod command_docs;
mod command_info;
mod logs;
mod memory;

pub use command_docs::{CommandArgument, CommandDoc};
pub use command_info::{CommandInfo, CommandPattern};
pub use logs::{
    CommandlogEntry, CommandlogKind, HotKeys, HotKeysOptions, LatencyHistogram, LatencyHistograms,
};
pub use memory::{DatabaseMemory, MemoryStats};

/// What a server tells about its commands, its memory, and what holds it up.
///
/// All of it is about the server that answers; a client of a cluster asks all of them, or any, as the
/// servers' own tips say.
pub trait DiagnosticCommands: Run {
    /// What the server's own documentation says about these commands, by their names in lower case; about all
    /// if none is named. Names that it does not know are left out. O(commands), since Redis 7.0.
    /// [COMMAND DOCS](https://redis.io/docs/latest/commands/command-docs/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let docs = client.command_docs(["get", "client|kill"])?;
    /// assert_eq!(docs["get"].since, "1.0.0");
    /// # Ok(()) }
    /// ```
    fn command_docs(self, names: impl Arg) -> Self::Out<std::collections::BTreeMap<String, CommandDoc>> {
        self.run(Cmd::of(&facts::COMMAND_DOCS).any_places(names))
    }

    /// The facts of these commands, `None` for a name that the server does not know; of all if none is named.
    /// O(commands), since Redis 2.8.13.
    /// [COMMAND INFO](https://redis.io/docs/latest/commands/command-info/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let info = client.command_info(["get", "nosuch"])?;
    /// assert_eq!(info[0].as_ref().map(|get| get.arity), Some(2));
    /// assert!(info[1].is_none());
    /// # Ok(()) }
    /// ```
    fn command_info(self, names: impl Arg) -> Self::Out<Vec<Option<CommandInfo>>> {
        self.run(Cmd::of(&facts::COMMAND_INFO).any_places(names))
    }

    /// The names of all commands and subcommands (`client|kill`), or of those that fit. O(commands), since
    /// Redis 7.0. [COMMAND LIST](https://redis.io/docs/latest/commands/command-list/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::CommandPattern;
    ///
    /// let names = client.command_list(Some(CommandPattern::Glob("x*".into())))?;
    /// assert!(names.contains(&"xadd".to_owned()));
    /// # Ok(()) }
    /// ```
    fn command_list(self, filter: Option<CommandPattern>) -> Self::Out<Vec<String>> {
        self.run(Cmd::of(&facts::COMMAND_LIST).named("FILTERBY", filter))
    }

    /// The keys in a whole command, given in words, and what the command does with each (`RW`, `access`, …);
    /// an error where it has none. Usually a `Vec<(String, Vec<String>)>`. O(words), since Redis 7.0.
    /// [COMMAND GETKEYSANDFLAGS](https://redis.io/docs/latest/commands/command-getkeysandflags/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let keys: Vec<(String, Vec<String>)> = client.command_getkeysandflags(["GET", "a"])?;
    /// assert_eq!(keys[0].0, "a");
    /// # Ok(()) }
    /// ```
    fn command_getkeysandflags<C: Reply>(self, words: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::COMMAND_GETKEYSANDFLAGS).places(words))
    }

    /// How long these commands took, as often as they were called; all that were called if none is named.
    /// Commands that were not called are left out. O(commands), since Redis 7.0.
    /// [LATENCY HISTOGRAM](https://redis.io/docs/latest/commands/latency-histogram/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.set("k", "v")?;
    /// assert!(client.latency_histogram("set")?["set"].calls > 0);
    /// # Ok(()) }
    /// ```
    fn latency_histogram(self, names: impl Arg) -> Self::Out<LatencyHistograms> {
        self.run(Cmd::of(&facts::LATENCY_HISTOGRAM).any_places(names))
    }

    /// What the server advises about what held it up, for people. O(1), since Redis 2.8.13.
    /// [LATENCY DOCTOR](https://redis.io/docs/latest/commands/latency-doctor/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// println!("{}", &*client.latency_doctor()?);
    /// # Ok(()) }
    /// ```
    fn latency_doctor(self) -> Self::Out<Lossy> {
        self.run(Cmd::of(&facts::LATENCY_DOCTOR))
    }

    /// How long an event such as `command` held the server up each time, drawn in text; an error where it
    /// never did. O(1), since Redis 2.8.13.
    /// [LATENCY GRAPH](https://redis.io/docs/latest/commands/latency-graph/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// println!("{}", &*client.latency_graph("command")?);
    /// # Ok(()) }
    /// ```
    fn latency_graph(self, event: &str) -> Self::Out<Lossy> {
        self.run(Cmd::of(&facts::LATENCY_GRAPH).arg(event))
    }

    /// What the server's memory is used for. O(databases), since Redis 4.0.
    /// [MEMORY STATS](https://redis.io/docs/latest/commands/memory-stats/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let stats = client.memory_stats()?;
    /// println!("{} bytes, {} of them data", stats.total_allocated, stats.dataset_bytes);
    /// # Ok(()) }
    /// ```
    fn memory_stats(self) -> Self::Out<MemoryStats> {
        self.run(Cmd::of(&facts::MEMORY_STATS))
    }

    /// What the server advises about its memory, for people. O(1), since Redis 4.0.
    /// [MEMORY DOCTOR](https://redis.io/docs/latest/commands/memory-doctor/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// println!("{}", &*client.memory_doctor()?);
    /// # Ok(()) }
    /// ```
    fn memory_doctor(self) -> Self::Out<Lossy> {
        self.run(Cmd::of(&facts::MEMORY_DOCTOR))
    }

    /// What the server's allocator says about itself, for people. O(1), since Redis 4.0.
    /// [MEMORY MALLOC-STATS](https://redis.io/docs/latest/commands/memory-malloc-stats/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// println!("{}", &*client.memory_malloc_stats()?);
    /// # Ok(()) }
    /// ```
    fn memory_malloc_stats(self) -> Self::Out<Lossy> {
        self.run(Cmd::of(&facts::MEMORY_MALLOC_STATS))
    }

    /// Gives memory that the server does not use back to the system, as far as its allocator can. O(1), since
    /// Redis 4.0. [MEMORY PURGE](https://redis.io/docs/latest/commands/memory-purge/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.memory_purge()?;
    /// # Ok(()) }
    /// ```
    fn memory_purge(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::MEMORY_PURGE))
    }

    /// The latest commands of a log, up to `count`, the newest first. O(count), since Valkey 8.1.
    /// [COMMANDLOG GET](https://valkey.io/commands/commandlog-get/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::CommandlogKind;
    ///
    /// for entry in client.commandlog_get(10, CommandlogKind::LargeReply)? {
    ///     println!("{} bytes: {:?}", entry.amount, entry.words);
    /// }
    /// # Ok(()) }
    /// ```
    fn commandlog_get(self, count: u64, kind: CommandlogKind) -> Self::Out<Vec<CommandlogEntry>> {
        self.run(Cmd::of(&facts::COMMANDLOG_GET).arg(count).arg(kind))
    }

    /// How many commands a log holds. O(1), since Valkey 8.1.
    /// [COMMANDLOG LEN](https://valkey.io/commands/commandlog-len/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::CommandlogKind;
    ///
    /// let slow = client.commandlog_len(CommandlogKind::Slow)?;
    /// # Ok(()) }
    /// ```
    fn commandlog_len(self, kind: CommandlogKind) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::COMMANDLOG_LEN).arg(kind))
    }

    /// Forgets the commands of a log. O(entries), since Valkey 8.1.
    /// [COMMANDLOG RESET](https://valkey.io/commands/commandlog-reset/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::CommandlogKind;
    ///
    /// client.commandlog_reset(CommandlogKind::Slow)?;
    /// # Ok(()) }
    /// ```
    fn commandlog_reset(self, kind: CommandlogKind) -> Self::Out<()> {
        self.run(Cmd::of(&facts::COMMANDLOG_RESET).arg(kind))
    }

    /// Begins to look which keys are used most; an error where that was begun already. O(1), since Redis 8.6.
    /// [HOTKEYS START](https://redis.io/docs/latest/commands/hotkeys-start/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use std::time::Duration;
    ///
    /// use redwire::commands::HotKeysOptions;
    ///
    /// client.hotkeys_start(HotKeysOptions::cpu().count(10).duration(Duration::from_secs(60)))?;
    /// # Ok(()) }
    /// ```
    fn hotkeys_start(self, options: HotKeysOptions) -> Self::Out<()> {
        self.run(Cmd::of(&facts::HOTKEYS_START).arg(options))
    }

    /// Which keys were used most since [`hotkeys_start`](Self::hotkeys_start); `None` where it was not
    /// called. O(keys), since Redis 8.6. [HOTKEYS GET](https://redis.io/docs/latest/commands/hotkeys-get/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// if let Some(hot) = client.hotkeys_get()? {
    ///     println!("{:?}", hot.by_cpu_time);
    /// }
    /// # Ok(()) }
    /// ```
    fn hotkeys_get(self) -> Self::Out<Option<HotKeys>> {
        self.run(Cmd::of(&facts::HOTKEYS_GET))
    }

    /// Looks no longer which keys are used most; what was found stays. O(1), since Redis 8.6.
    /// [HOTKEYS STOP](https://redis.io/docs/latest/commands/hotkeys-stop/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.hotkeys_stop()?;
    /// # Ok(()) }
    /// ```
    fn hotkeys_stop(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::HOTKEYS_STOP))
    }

    /// Forgets which keys were used most; an error while the server looks. O(1), since Redis 8.6.
    /// [HOTKEYS RESET](https://redis.io/docs/latest/commands/hotkeys-reset/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.hotkeys_reset()?;
    /// # Ok(()) }
    /// ```
    fn hotkeys_reset(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::HOTKEYS_RESET))
    }
}

impl<T: Run> DiagnosticCommands for T {}
