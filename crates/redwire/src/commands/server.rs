//! The server itself: its data as a whole, settings, users, figures and replication.

use redwire_core::{Arg, Args, Cmd, Lossy, Reply, Run, facts};

mod acl;
mod administration;
mod answers;
pub(crate) mod fields;

pub use acl::{AclDryRun, AclLogEntry, AclSelector, AclUser};
pub use administration::{FailoverOptions, ModuleInfo, ModuleOptions, ShutdownOptions};
pub use answers::{Info, LatencyEvent, Role, SlowlogEntry};

/// Whether memory is freed before the answer or in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushMode {
    /// Before the answer.
    Sync,
    /// In the background.
    Async,
}

impl Arg for FlushMode {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Sync => b"SYNC",
            Self::Async => b"ASYNC",
        });
    }
}

/// The server itself, and its users.
pub trait ServerCommands: Run {
    /// A section of what the server tells about itself, such as `server`, `default` or `everything`; several
    /// of them since Redis 7.0. [INFO](https://redis.io/docs/latest/commands/info/)
    fn info(self, section: impl Arg) -> Self::Out<Info> {
        self.run(Cmd::of(&facts::INFO).arg(section))
    }

    /// The server's clock: seconds since 1970, and microseconds.
    /// [TIME](https://redis.io/docs/latest/commands/time/)
    fn time(self) -> Self::Out<(u64, u32)> {
        self.run(Cmd::of(&facts::TIME))
    }

    /// How many keys the database has. [DBSIZE](https://redis.io/docs/latest/commands/dbsize/)
    fn dbsize(self) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::DBSIZE))
    }

    /// Deletes all keys of the database. [FLUSHDB](https://redis.io/docs/latest/commands/flushdb/)
    fn flushdb(self, mode: FlushMode) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FLUSHDB).arg(mode))
    }

    /// Deletes all keys of all databases. [FLUSHALL](https://redis.io/docs/latest/commands/flushall/)
    fn flushall(self, mode: FlushMode) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FLUSHALL).arg(mode))
    }

    /// Swaps two databases for all clients. [SWAPDB](https://redis.io/docs/latest/commands/swapdb/)
    fn swapdb(self, one: u32, other: u32) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SWAPDB).arg(one).arg(other))
    }

    /// The settings whose names match, usually a `HashMap<String, String>`; several patterns since Redis 7.0.
    /// [CONFIG GET](https://redis.io/docs/latest/commands/config-get/)
    fn config_get<M: Reply>(self, patterns: impl Arg) -> Self::Out<M> {
        self.run(Cmd::of(&facts::CONFIG_GET).required(patterns))
    }

    /// Changes settings: a pair of name and value, or since Redis 7.0 several.
    /// [CONFIG SET](https://redis.io/docs/latest/commands/config-set/)
    fn config_set(self, pairs: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CONFIG_SET).pairs(pairs))
    }

    /// Sets the figures of INFO back to zero. [CONFIG
    /// RESETSTAT](https://redis.io/docs/latest/commands/config-resetstat/)
    fn config_resetstat(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CONFIG_RESETSTAT))
    }

    /// Writes the settings into the server's file. [CONFIG
    /// REWRITE](https://redis.io/docs/latest/commands/config-rewrite/)
    fn config_rewrite(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CONFIG_REWRITE))
    }

    /// How many commands the server has. [COMMAND
    /// COUNT](https://redis.io/docs/latest/commands/command-count/)
    fn command_count(self) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::COMMAND_COUNT))
    }

    /// The keys in a whole command, given in words, usually a `Vec<String>`.
    /// [COMMAND GETKEYS](https://redis.io/docs/latest/commands/command-getkeys/)
    fn command_getkeys<C: Reply>(self, words: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::COMMAND_GETKEYS).places(words))
    }

    /// When the data were saved last, in seconds since 1970.
    /// [LASTSAVE](https://redis.io/docs/latest/commands/lastsave/)
    fn lastsave(self) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::LASTSAVE))
    }

    /// Begins to save the data, in the background. [BGSAVE](https://redis.io/docs/latest/commands/bgsave/)
    fn bgsave(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::BGSAVE))
    }

    /// Begins to write the append-only file anew, in the background.
    /// [BGREWRITEAOF](https://redis.io/docs/latest/commands/bgrewriteaof/)
    fn bgrewriteaof(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::BGREWRITEAOF))
    }

    /// Saves the data; the server does nothing else meanwhile.
    /// [SAVE](https://redis.io/docs/latest/commands/save/)
    fn save(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SAVE))
    }

    /// What the server is to others. [ROLE](https://redis.io/docs/latest/commands/role/)
    fn role(self) -> Self::Out<Role> {
        self.run(Cmd::of(&facts::ROLE))
    }

    /// Makes the server follow another. [REPLICAOF](https://redis.io/docs/latest/commands/replicaof/)
    fn replicaof(self, host: &str, port: u16) -> Self::Out<()> {
        self.run(Cmd::of(&facts::REPLICAOF).arg(host).arg(port))
    }

    /// Makes the server a master, which follows no other.
    /// [REPLICAOF](https://redis.io/docs/latest/commands/replicaof/)
    fn replicaof_no_one(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::REPLICAOF).arg("NO").arg("ONE"))
    }

    /// The latest commands that took long, up to `count`. [SLOWLOG
    /// GET](https://redis.io/docs/latest/commands/slowlog-get/)
    fn slowlog_get(self, count: u64) -> Self::Out<Vec<SlowlogEntry>> {
        self.run(Cmd::of(&facts::SLOWLOG_GET).arg(count))
    }

    /// How many commands that took long are kept. [SLOWLOG
    /// LEN](https://redis.io/docs/latest/commands/slowlog-len/)
    fn slowlog_len(self) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::SLOWLOG_LEN))
    }

    /// Forgets the commands that took long. [SLOWLOG
    /// RESET](https://redis.io/docs/latest/commands/slowlog-reset/)
    fn slowlog_reset(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SLOWLOG_RESET))
    }

    /// How many bytes a key takes, estimated; `None` where there is none.
    /// [MEMORY USAGE](https://redis.io/docs/latest/commands/memory-usage/)
    fn memory_usage(self, key: impl Arg) -> Self::Out<Option<u64>> {
        self.run(Cmd::of(&facts::MEMORY_USAGE).required(key))
    }

    /// What held the server up, of each kind the latest. [LATENCY
    /// LATEST](https://redis.io/docs/latest/commands/latency-latest/)
    fn latency_latest(self) -> Self::Out<Vec<LatencyEvent>> {
        self.run(Cmd::of(&facts::LATENCY_LATEST))
    }

    /// When an event held the server up, in seconds since 1970, and for how many milliseconds.
    /// [LATENCY HISTORY](https://redis.io/docs/latest/commands/latency-history/)
    fn latency_history(self, event: &str) -> Self::Out<Vec<(u64, u64)>> {
        self.run(Cmd::of(&facts::LATENCY_HISTORY).arg(event))
    }

    /// Forgets all that held the server up, and gives how many kinds there were.
    /// [LATENCY RESET](https://redis.io/docs/latest/commands/latency-reset/)
    fn latency_reset(self) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::LATENCY_RESET))
    }

    /// The user of the connection that asks. [ACL WHOAMI](https://redis.io/docs/latest/commands/acl-whoami/)
    fn acl_whoami(self) -> Self::Out<String> {
        self.run(Cmd::of(&facts::ACL_WHOAMI))
    }

    /// All users with their rules, as they stand in a server's file. [ACL
    /// LIST](https://redis.io/docs/latest/commands/acl-list/)
    fn acl_list(self) -> Self::Out<Vec<String>> {
        self.run(Cmd::of(&facts::ACL_LIST))
    }

    /// The names of all users. [ACL USERS](https://redis.io/docs/latest/commands/acl-users/)
    fn acl_users(self) -> Self::Out<Vec<String>> {
        self.run(Cmd::of(&facts::ACL_USERS))
    }

    /// Makes or changes a user; each rule is a word of its own, such as `on`, `>password` or `+get`.
    /// [ACL SETUSER](https://redis.io/docs/latest/commands/acl-setuser/)
    fn acl_setuser(self, user: impl Arg, rules: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::ACL_SETUSER).required(user).arg(rules))
    }

    /// Deletes these users and gives how many there were. [ACL
    /// DELUSER](https://redis.io/docs/latest/commands/acl-deluser/)
    fn acl_deluser(self, users: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ACL_DELUSER).required(users))
    }

    /// What a user may do, `None` where there is no such user.
    /// [ACL GETUSER](https://redis.io/docs/latest/commands/acl-getuser/)
    fn acl_getuser(self, user: impl Arg) -> Self::Out<Option<AclUser>> {
        self.run(Cmd::of(&facts::ACL_GETUSER).required(user))
    }

    /// The categories of commands. [ACL CAT](https://redis.io/docs/latest/commands/acl-cat/)
    fn acl_cat(self) -> Self::Out<Vec<String>> {
        self.run(Cmd::of(&facts::ACL_CAT))
    }

    /// The commands of a category. [ACL CAT](https://redis.io/docs/latest/commands/acl-cat/)
    fn acl_cat_of(self, category: &str) -> Self::Out<Vec<String>> {
        self.run(Cmd::of(&facts::ACL_CAT).arg(category))
    }

    /// Whether a user may run a command, given in words; an error where there is no such user or command.
    /// O(1), since Redis 7.0. [ACL DRYRUN](https://redis.io/docs/latest/commands/acl-dryrun/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::AclDryRun;
    ///
    /// assert_eq!(client.acl_dryrun("default", ["GET", "k"])?, AclDryRun::Allowed);
    /// # Ok(()) }
    /// ```
    fn acl_dryrun(self, user: impl Arg, words: impl Arg) -> Self::Out<AclDryRun> {
        self.run(Cmd::of(&facts::ACL_DRYRUN).required(user).places(words))
    }

    /// Up to `count` refusals, the latest first, by users' rules or of passwords. O(count), since Redis 6.0.
    /// [ACL LOG](https://redis.io/docs/latest/commands/acl-log/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// for entry in client.acl_log(10)? {
    ///     println!("{:?} was refused {:?}, {} times", entry.username, entry.object, entry.count);
    /// }
    /// # Ok(()) }
    /// ```
    fn acl_log(self, count: u64) -> Self::Out<Vec<AclLogEntry>> {
        self.run(Cmd::of(&facts::ACL_LOG).arg(count))
    }

    /// Forgets the refusals. O(refusals), since Redis 6.0.
    /// [ACL LOG](https://redis.io/docs/latest/commands/acl-log/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.acl_log_reset()?;
    /// # Ok(()) }
    /// ```
    fn acl_log_reset(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::ACL_LOG).arg("RESET"))
    }

    /// Reads the users anew from the server's file; an error, and nothing is changed, where it has none, or a
    /// line of it is wrong. O(users), since Redis 6.0.
    /// [ACL LOAD](https://redis.io/docs/latest/commands/acl-load/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.acl_load()?;
    /// # Ok(()) }
    /// ```
    fn acl_load(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::ACL_LOAD))
    }

    /// Writes the users to the server's file; an error where it has none. O(users), since Redis 6.0.
    /// [ACL SAVE](https://redis.io/docs/latest/commands/acl-save/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.acl_save()?;
    /// # Ok(()) }
    /// ```
    fn acl_save(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::ACL_SAVE))
    }

    /// Ends the server. That the connection ends is success; an error is what it refused with, such as that
    /// it could not save. It waits for replicas that are behind, 10 seconds at first (its setting
    /// `shutdown-timeout`), and for the data to be saved. O(size of the data) if it saves, since Redis 1.0.
    /// [SHUTDOWN](https://redis.io/docs/latest/commands/shutdown/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::ShutdownOptions;
    ///
    /// client.shutdown(ShutdownOptions::new().nosave())?;
    /// # Ok(()) }
    /// ```
    fn shutdown(self, options: ShutdownOptions) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SHUTDOWN).arg(options))
    }

    /// Calls off an end that waits for replicas; an error where there is none. O(1), since Redis 7.0.
    /// [SHUTDOWN](https://redis.io/docs/latest/commands/shutdown/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.shutdown_abort()?;
    /// # Ok(()) }
    /// ```
    fn shutdown_abort(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SHUTDOWN).arg("ABORT"))
    }

    /// Hands over to a replica, so that no write is lost; an error where there is none. It ends before that
    /// is done: [`role`](Self::role) tells. O(1), since Redis 6.2.
    /// [FAILOVER](https://redis.io/docs/latest/commands/failover/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use std::time::Duration;
    ///
    /// use redwire::commands::FailoverOptions;
    ///
    /// client.failover(FailoverOptions::new().timeout(Duration::from_secs(5)))?;
    /// # Ok(()) }
    /// ```
    fn failover(self, options: FailoverOptions) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FAILOVER).arg(options))
    }

    /// Calls off a hand-over; an error where there is none. O(1), since Redis 6.2.
    /// [FAILOVER](https://redis.io/docs/latest/commands/failover/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.failover_abort()?;
    /// # Ok(()) }
    /// ```
    fn failover_abort(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FAILOVER).arg("ABORT"))
    }

    /// The modules that are loaded. O(modules), since Redis 4.0.
    /// [MODULE LIST](https://redis.io/docs/latest/commands/module-list/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let names: Vec<String> = client.module_list()?.into_iter().map(|module| module.name).collect();
    /// # Ok(()) }
    /// ```
    fn module_list(self) -> Self::Out<Vec<ModuleInfo>> {
        self.run(Cmd::of(&facts::MODULE_LIST))
    }

    /// Loads a module from a file of the server's machine, with arguments of its own (none: `None::<&str>`);
    /// an error unless the server's setting `enable-module-command` allows it. O(1), since Redis 4.0.
    /// [MODULE LOAD](https://redis.io/docs/latest/commands/module-load/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.module_load("/opt/module.so", ["name", "value"])?;
    /// # Ok(()) }
    /// ```
    fn module_load(self, path: impl Arg, args: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::MODULE_LOAD).required(path).any_places(args))
    }

    /// As [`module_load`](Self::module_load), with settings. O(1), since Redis 7.0.
    /// [MODULE LOADEX](https://redis.io/docs/latest/commands/module-loadex/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::ModuleOptions;
    ///
    /// client.module_loadex("/opt/module.so", ModuleOptions::new().config("module.size", "5").arg("x"))?;
    /// # Ok(()) }
    /// ```
    fn module_loadex(self, path: impl Arg, options: ModuleOptions) -> Self::Out<()> {
        self.run(Cmd::of(&facts::MODULE_LOADEX).required(path).arg(options))
    }

    /// Unloads the module of this name; an error where there is none, or its data or commands are in use.
    /// O(1), since Redis 4.0. [MODULE UNLOAD](https://redis.io/docs/latest/commands/module-unload/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.module_unload("module")?;
    /// # Ok(()) }
    /// ```
    fn module_unload(self, name: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::MODULE_UNLOAD).required(name))
    }

    /// A picture, and the server's version. O(1), since Redis 5.0.
    /// [LOLWUT](https://redis.io/docs/latest/commands/lolwut/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// println!("{}", &*client.lolwut()?);
    /// # Ok(()) }
    /// ```
    fn lolwut(self) -> Self::Out<Lossy> {
        self.run(Cmd::of(&facts::LOLWUT))
    }

    /// A random password of so many bits, in hexadecimal digits.
    /// [ACL GENPASS](https://redis.io/docs/latest/commands/acl-genpass/)
    fn acl_genpass(self, bits: u32) -> Self::Out<String> {
        self.run(Cmd::of(&facts::ACL_GENPASS).arg(bits))
    }
}

impl<T: Run> ServerCommands for T {}
