//! Keys of any type: existence, expiry, names, copies.

use std::time::{Duration, SystemTime};

use redwire_core::{Arg, Cmd, Reply, Run, facts};

mod expiring;
mod migrate;
mod options;
pub(crate) mod time;

pub use expiring::{ExpireCondition, ExpireTime, Ttl};
pub use migrate::{MigrateOptions, Migrated};
pub use options::{CopyOptions, RestoreOptions, SortOptions};

use time::{millis, unix_millis};

/// Keys of any type. Where `keys` are asked for, one key will do, or a slice of them.
pub trait KeyCommands: Run {
    /// Deletes these keys and gives how many there were. [DEL](https://redis.io/docs/latest/commands/del/)
    fn del(self, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::DEL).required(keys))
    }

    /// As [`del`](Self::del); the memory is freed in the background.
    /// [UNLINK](https://redis.io/docs/latest/commands/unlink/)
    fn unlink(self, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::UNLINK).required(keys))
    }

    /// How many of these keys exist; one that is named twice counts twice.
    /// [EXISTS](https://redis.io/docs/latest/commands/exists/)
    fn exists(self, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::EXISTS).required(keys))
    }

    /// How many of these keys exist; they count as just used.
    /// [TOUCH](https://redis.io/docs/latest/commands/touch/)
    fn touch(self, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::TOUCH).required(keys))
    }

    /// Lets a key expire after this time, in milliseconds rounded up; false where there is no such key.
    /// [PEXPIRE](https://redis.io/docs/latest/commands/pexpire/)
    fn expire(self, key: impl Arg, expiry: Duration) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::PEXPIRE).required(key).arg(millis(expiry)))
    }

    /// As [`expire`](Self::expire); false also where the condition does not hold (Redis 7.0).
    /// [PEXPIRE](https://redis.io/docs/latest/commands/pexpire/)
    fn expire_with(self, key: impl Arg, expiry: Duration, condition: ExpireCondition) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::PEXPIRE).required(key).arg(millis(expiry)).arg(condition))
    }

    /// Lets a key expire at this moment; false where there is no such key. A moment that has passed deletes
    /// it. [PEXPIREAT](https://redis.io/docs/latest/commands/pexpireat/)
    fn expire_at(self, key: impl Arg, time: SystemTime) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::PEXPIREAT).required(key).arg(unix_millis(time)))
    }

    /// As [`expire_at`](Self::expire_at); false also where the condition does not hold (Redis 7.0).
    /// [PEXPIREAT](https://redis.io/docs/latest/commands/pexpireat/)
    fn expire_at_with(self, key: impl Arg, time: SystemTime, condition: ExpireCondition) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::PEXPIREAT).required(key).arg(unix_millis(time)).arg(condition))
    }

    /// How much longer a key lives. [PTTL](https://redis.io/docs/latest/commands/pttl/)
    fn ttl(self, key: impl Arg) -> Self::Out<Ttl> {
        self.run(Cmd::of(&facts::PTTL).required(key))
    }

    /// Until when a key lives (Redis 7.0). [PEXPIRETIME](https://redis.io/docs/latest/commands/pexpiretime/)
    fn expire_time(self, key: impl Arg) -> Self::Out<ExpireTime> {
        self.run(Cmd::of(&facts::PEXPIRETIME).required(key))
    }

    /// Takes a key's expiry away; whether it had one.
    /// [PERSIST](https://redis.io/docs/latest/commands/persist/)
    fn persist(self, key: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::PERSIST).required(key))
    }

    /// All keys that match a glob pattern, usually a `Vec<String>`. It looks at every key and holds the
    /// server up so long: [`scan`](crate::blocking::Client::scan) does not.
    /// [KEYS](https://redis.io/docs/latest/commands/keys/)
    fn keys<C: Reply>(self, pattern: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::KEYS).required(pattern))
    }

    /// Renames a key, over one that bears the new name; an error where there is no such key.
    /// [RENAME](https://redis.io/docs/latest/commands/rename/)
    fn rename(self, key: impl Arg, name: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::RENAME).required(key).required(name))
    }

    /// Renames a key; false where the new name is taken.
    /// [RENAMENX](https://redis.io/docs/latest/commands/renamenx/)
    fn rename_nx(self, key: impl Arg, name: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::RENAMENX).required(key).required(name))
    }

    /// Copies a key; false where there is none, or where the destination exists and replacing was not asked
    /// for. [COPY](https://redis.io/docs/latest/commands/copy/)
    fn copy(self, source: impl Arg, destination: impl Arg, options: CopyOptions) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::COPY).required(source).required(destination).arg(options))
    }

    /// Moves a key to another database; false where there is none, or where the other database has one of
    /// that name. [MOVE](https://redis.io/docs/latest/commands/move/)
    fn move_to_db(self, key: impl Arg, db: u32) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::MOVE).required(key).arg(db))
    }

    /// Any key, `None` where there are none. [RANDOMKEY](https://redis.io/docs/latest/commands/randomkey/)
    fn random_key<K: Reply>(self) -> Self::Out<Option<K>> {
        self.run(Cmd::of(&facts::RANDOMKEY))
    }

    /// The type of a key: `string`, `list`, `set`, `zset`, `hash`, `stream`, a module's type, or `none`.
    /// [TYPE](https://redis.io/docs/latest/commands/type/)
    fn key_type(self, key: impl Arg) -> Self::Out<String> {
        self.run(Cmd::of(&facts::TYPE).required(key))
    }

    /// A key in the servers' own format, for [`restore`](Self::restore).
    /// [DUMP](https://redis.io/docs/latest/commands/dump/)
    fn dump(self, key: impl Arg) -> Self::Out<Option<Vec<u8>>> {
        self.run(Cmd::of(&facts::DUMP).required(key))
    }

    /// Makes a key from what [`dump`](Self::dump) gave; an error where it exists and replacing was not asked
    /// for. [RESTORE](https://redis.io/docs/latest/commands/restore/)
    fn restore(self, key: impl Arg, payload: impl Arg, options: RestoreOptions) -> Self::Out<()> {
        self.run(
            Cmd::of(&facts::RESTORE).required(key).arg(options.lifetime()).required(payload).arg(options),
        )
    }

    /// Moves keys to another server, and says whether there was any; after an error some may be moved. The
    /// server does nothing else meanwhile: up to `timeout` without progress, zero for a second. O(size of the
    /// keys), since Redis 2.6, several keys since Redis 3.0.
    /// [MIGRATE](https://redis.io/docs/latest/commands/migrate/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use std::time::Duration;
    ///
    /// use redwire::commands::{MigrateOptions, Migrated};
    ///
    /// let (db, timeout) = (0, Duration::from_secs(5));
    /// let options = MigrateOptions::new().replace();
    /// let moved = client.migrate("10.0.0.2", 6379, ["a", "b"], db, timeout, options)?;
    /// assert_eq!(moved, Migrated::Moved);
    /// # Ok(()) }
    /// ```
    fn migrate(
        self,
        host: &str,
        port: u16,
        keys: impl Arg,
        db: u32,
        timeout: Duration,
        options: MigrateOptions,
    ) -> Self::Out<Migrated> {
        let cmd = Cmd::of(&facts::MIGRATE).arg(host).arg(port).arg("").arg(db);
        let cmd = cmd.arg(time::timeout_millis(timeout)).arg(options).arg("KEYS");
        self.run(cmd.required(keys))
    }

    /// How a value is stored, such as `listpack`. [OBJECT
    /// ENCODING](https://redis.io/docs/latest/commands/object-encoding/)
    fn object_encoding(self, key: impl Arg) -> Self::Out<Option<String>> {
        self.run(Cmd::of(&facts::OBJECT_ENCODING).required(key))
    }

    /// How often a key was used, on a logarithmic scale; an error unless the server evicts the least
    /// frequently used. [OBJECT FREQ](https://redis.io/docs/latest/commands/object-freq/)
    fn object_freq(self, key: impl Arg) -> Self::Out<Option<u64>> {
        self.run(Cmd::of(&facts::OBJECT_FREQ).required(key))
    }

    /// For how many seconds a key was not used; an error if the server evicts the least frequently used.
    /// [OBJECT IDLETIME](https://redis.io/docs/latest/commands/object-idletime/)
    fn object_idletime(self, key: impl Arg) -> Self::Out<Option<u64>> {
        self.run(Cmd::of(&facts::OBJECT_IDLETIME).required(key))
    }

    /// How often a value is referred to. [OBJECT
    /// REFCOUNT](https://redis.io/docs/latest/commands/object-refcount/)
    fn object_refcount(self, key: impl Arg) -> Self::Out<Option<u64>> {
        self.run(Cmd::of(&facts::OBJECT_REFCOUNT).required(key))
    }

    /// The elements of a list, a set or a sorted set in order, usually a `Vec<String>`; with
    /// [`get`](SortOptions::get), a `Vec<Option<String>>`.
    /// [SORT](https://redis.io/docs/latest/commands/sort/)
    fn sort<C: Reply>(self, key: impl Arg, options: SortOptions) -> Self::Out<C> {
        self.run(Cmd::of(&facts::SORT).required(key).arg(options))
    }

    /// As [`sort`](Self::sort), declared as only reading, so that replicas do it too (Redis 7.0).
    /// [SORT_RO](https://redis.io/docs/latest/commands/sort_ro/)
    fn sort_ro<C: Reply>(self, key: impl Arg, options: SortOptions) -> Self::Out<C> {
        self.run(Cmd::of(&facts::SORT_RO).required(key).arg(options))
    }

    /// Stores the elements in order as the list `destination` and gives its length.
    /// [SORT](https://redis.io/docs/latest/commands/sort/)
    fn sort_store(self, key: impl Arg, options: SortOptions, destination: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::SORT).required(key).arg(options).arg("STORE").required(destination))
    }

    /// Waits until so many replicas have all that *this connection* wrote, or `wait` is over (zero: for
    /// ever), and gives how many have. Call it on the connection that wrote, not on a client, whose calls
    /// share connections. [WAIT](https://redis.io/docs/latest/commands/wait/)
    fn wait(self, replicas: u64, wait: Duration) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::WAIT).arg(replicas).arg(time::wait_millis(wait)))
    }

    /// As [`wait`](Self::wait), until the append-only files of `local` (0 or 1) servers and so many replicas
    /// are on disk; gives both numbers (Redis 7.2). [WAITAOF](https://redis.io/docs/latest/commands/waitaof/)
    fn waitaof(self, local: u64, replicas: u64, wait: Duration) -> Self::Out<(u64, u64)> {
        self.run(Cmd::of(&facts::WAITAOF).arg(local).arg(replicas).arg(time::wait_millis(wait)))
    }
}

impl<T: Run> KeyCommands for T {}
