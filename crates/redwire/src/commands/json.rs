//! JSON documents at keys, and the values at paths in them.
//!
//! Promises: one method per command of the module `ReJSON` that isn't deprecated, the same Rust value on
//! RESP2 and RESP3. Must not know: who runs the commands, nor how documents are read and written.

use redwire_core::{Arg, Cmd, Reply, Run, facts};

mod answers;
mod options;

pub use answers::{JsonMatches, JsonNumbers, JsonTypes};
pub use options::JsonFormat;

/// JSON documents, of the module `ReJSON`, which Redis 8 has built in.
///
/// A `path` begins with `$`, the whole document: `$.user.name`, `$..price`, `$.items[0]`. It may match
/// several places or none, so that what is there comes as a list: [`JsonMatches`] has for each place what the
/// command gives, or `None` where it is of another type. (Old paths, which begin with a dot, match one place;
/// that is a list of one here.) Values and documents are given and read as
#[cfg_attr(feature = "json", doc = "[`Json`](crate::Json), `serde_json::Value`")]
#[cfg_attr(not(feature = "json"), doc = "`Json`, `serde_json::Value` (feature `json`)")]
/// or text that is JSON. Where nothing else is said, a command fails if there is no such key. What a method
/// returns is [`Run::Out`]: a request to await for a client, a `Result` for a blocking one, a place for a
/// pipeline.
///
/// ```no_run
/// use redwire::prelude::*;
///
/// let client = redwire::blocking::Client::connect("redis://localhost")?;
/// client.json_set("user", "$", r#"{"name":"ann","age":41}"#)?;
/// assert_eq!(client.json_numincrby::<u32>("user", "$.age", 1)?, [Some(42)]);
/// let name: Option<String> = client.json_get("user", "$.name")?;
/// assert_eq!(name.as_deref(), Some(r#"["ann"]"#));
/// # Ok::<(), redwire::Error>(())
/// ```
pub trait JsonCommands: Run {
    /// Appends values, one or several, to the arrays at `path`; how long each is now. Since ReJSON 1.0; O(1)
    /// for one place, else O(n) with a document of n values.
    ///
    /// Example: `client.json_arrappend("user", "$.tags", [r#""new""#, "7"])`.
    /// [JSON.ARRAPPEND](https://redis.io/docs/latest/commands/json.arrappend/)
    fn json_arrappend(self, key: impl Arg, path: impl Arg, values: impl Arg) -> Self::Out<JsonMatches<u64>> {
        self.run(Cmd::of(&facts::JSON_ARRAPPEND).required(key).required(path).required(values))
    }

    /// Where a value first is in the arrays at `path`, from 0; -1 where it is not. Since ReJSON 1.0; O(n)
    /// with an array of n values.
    ///
    /// Example: `client.json_arrindex("user", "$.tags", "7")`.
    /// [JSON.ARRINDEX](https://redis.io/docs/latest/commands/json.arrindex/)
    fn json_arrindex(self, key: impl Arg, path: impl Arg, value: impl Arg) -> Self::Out<JsonMatches<i64>> {
        self.run(Cmd::of(&facts::JSON_ARRINDEX).required(key).required(path).required(value))
    }

    /// As [`json_arrindex`](Self::json_arrindex), looking from place `start` on and before place `stop`;
    /// negative places count from the end, and a `stop` of 0 is the end. Since ReJSON 1.0; O(n).
    ///
    /// Example: `client.json_arrindex_range("user", "$.tags", "7", 1, 0)`.
    /// [JSON.ARRINDEX](https://redis.io/docs/latest/commands/json.arrindex/)
    fn json_arrindex_range(
        self,
        key: impl Arg,
        path: impl Arg,
        value: impl Arg,
        start: i64,
        stop: i64,
    ) -> Self::Out<JsonMatches<i64>> {
        let cmd = Cmd::of(&facts::JSON_ARRINDEX).required(key).required(path).required(value);
        self.run(cmd.arg(start).arg(stop))
    }

    /// Puts values, one or several, into the arrays at `path`, before place `index` (negative: from the end);
    /// how long each is now. Fails where an array has no such place. Since ReJSON 1.0; O(n).
    ///
    /// Example: `client.json_arrinsert("user", "$.tags", 0, r#""first""#)`.
    /// [JSON.ARRINSERT](https://redis.io/docs/latest/commands/json.arrinsert/)
    fn json_arrinsert(
        self,
        key: impl Arg,
        path: impl Arg,
        index: i64,
        values: impl Arg,
    ) -> Self::Out<JsonMatches<u64>> {
        let cmd = Cmd::of(&facts::JSON_ARRINSERT).required(key).required(path).arg(index);
        self.run(cmd.required(values))
    }

    /// How long the arrays at `path` are. Since ReJSON 1.0; O(1) for one place, else O(n).
    ///
    /// Example: `client.json_arrlen("user", "$.tags")`.
    /// [JSON.ARRLEN](https://redis.io/docs/latest/commands/json.arrlen/)
    fn json_arrlen(self, key: impl Arg, path: impl Arg) -> Self::Out<JsonMatches<u64>> {
        self.run(Cmd::of(&facts::JSON_ARRLEN).required(key).required(path))
    }

    /// Takes the value at place `index` (-1 for the last) out of the arrays at `path`, and gives it; `None`
    /// for an array that is empty, too. Since ReJSON 1.0; O(n), for the last O(1).
    ///
    /// Example: `client.json_arrpop::<String>("user", "$.tags", -1)`.
    /// [JSON.ARRPOP](https://redis.io/docs/latest/commands/json.arrpop/)
    fn json_arrpop<V: Reply>(self, key: impl Arg, path: impl Arg, index: i64) -> Self::Out<JsonMatches<V>> {
        self.run(Cmd::of(&facts::JSON_ARRPOP).required(key).required(path).arg(index))
    }

    /// Leaves of the arrays at `path` what is from place `start` to place `stop`, both included (negative:
    /// from the end); how long each is now. Since ReJSON 1.0; O(n).
    ///
    /// Example: `client.json_arrtrim("user", "$.tags", 0, 1)`.
    /// [JSON.ARRTRIM](https://redis.io/docs/latest/commands/json.arrtrim/)
    fn json_arrtrim(
        self,
        key: impl Arg,
        path: impl Arg,
        start: i64,
        stop: i64,
    ) -> Self::Out<JsonMatches<u64>> {
        self.run(Cmd::of(&facts::JSON_ARRTRIM).required(key).required(path).arg(start).arg(stop))
    }

    /// Empties arrays and objects at `path` and sets numbers to 0; how many values that changed.
    /// Since ReJSON 2.0; O(n).
    ///
    /// Example: `client.json_clear("user", "$.tags")`.
    /// [JSON.CLEAR](https://redis.io/docs/latest/commands/json.clear/)
    fn json_clear(self, key: impl Arg, path: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::JSON_CLEAR).required(key).required(path))
    }

    /// How many bytes the values at `path` take; nothing where there is no such key. Since ReJSON 1.0; O(n).
    ///
    /// Example: `client.json_debug_memory("user", "$")`.
    /// [JSON.DEBUG MEMORY](https://redis.io/docs/latest/commands/json.debug-memory/)
    fn json_debug_memory(self, key: impl Arg, path: impl Arg) -> Self::Out<JsonMatches<u64>> {
        self.run(Cmd::of(&facts::JSON_DEBUG_MEMORY).required(key).required(path))
    }

    /// Deletes the values at `path` (`$` for the key itself); how many, 0 where there is no such key.
    /// Since ReJSON 1.0; O(n).
    ///
    /// Example: `client.json_del("user", "$.city")`.
    /// [JSON.DEL](https://redis.io/docs/latest/commands/json.del/)
    fn json_del(self, key: impl Arg, path: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::JSON_DEL).required(key).required(path))
    }

    /// The same as [`json_del`](Self::json_del). Since ReJSON 1.0; O(n).
    ///
    /// Example: `client.json_forget("user", "$.city")`.
    /// [JSON.FORGET](https://redis.io/docs/latest/commands/json.forget/)
    fn json_forget(self, key: impl Arg, path: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::JSON_FORGET).required(key).required(path))
    }

    /// The values at `paths`, one or several, as one document: an array of what one path matches, or an
    /// object that has such an array for each of several. `None` where there is no such key.
    /// Since ReJSON 1.0; O(n).
    ///
    /// Example: `client.json_get::<String>("user", "$.name")`.
    /// [JSON.GET](https://redis.io/docs/latest/commands/json.get/)
    fn json_get<V: Reply>(self, key: impl Arg, paths: impl Arg) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::JSON_GET).required(key).required(paths))
    }

    /// As [`json_get`](Self::json_get), laid out for people. Since ReJSON 1.0; O(n).
    ///
    /// Example: `client.json_get_with::<String>("user", JsonFormat::new().indent("  ").newline("\n"),
    /// "$.address")`.
    /// [JSON.GET](https://redis.io/docs/latest/commands/json.get/)
    fn json_get_with<V: Reply>(
        self,
        key: impl Arg,
        format: JsonFormat,
        paths: impl Arg,
    ) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::JSON_GET).required(key).arg(format).required(paths))
    }

    /// Merges a document into what is at `path`, as RFC 7396 says: `null` deletes, arrays are replaced. `$`
    /// makes the key where there is none. Since ReJSON 2.6; O(n + m) with the sizes of both.
    ///
    /// Example: `client.json_merge("user", "$", r#"{"city":"Oslo"}"#)`.
    /// [JSON.MERGE](https://redis.io/docs/latest/commands/json.merge/)
    fn json_merge(self, key: impl Arg, path: impl Arg, value: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::JSON_MERGE).required(key).required(path).required(value))
    }

    /// What [`json_get`](Self::json_get) gives for `path` of each of these keys, one or several; nil for one
    /// that is absent. In a cluster all must have one slot. Since ReJSON 1.0; O(n).
    ///
    /// Example: `client.json_mget::<Vec<Option<String>>>(["user", "none"], "$.name")`.
    /// [JSON.MGET](https://redis.io/docs/latest/commands/json.mget/)
    fn json_mget<C: Reply>(self, keys: impl Arg, path: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::JSON_MGET).places(keys).required(path))
    }

    /// Sets the values at several `(key, path, value)`: all or, where one cannot be set, none. In a cluster
    /// all keys must have one slot. Since ReJSON 2.6; O(n).
    ///
    /// Example: `client.json_mset([("a", "$", "1"), ("b", "$", "2")])`.
    /// [JSON.MSET](https://redis.io/docs/latest/commands/json.mset/)
    fn json_mset(self, values: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::JSON_MSET).pairs(values))
    }

    /// Adds to the numbers at `path`, and gives them. An `N` of integers fails where one is none.
    /// Since ReJSON 1.0; O(1) for one place, else O(n).
    ///
    /// Example: `client.json_numincrby::<u32>("user", "$.age", 1)`.
    /// [JSON.NUMINCRBY](https://redis.io/docs/latest/commands/json.numincrby/)
    fn json_numincrby<N: Reply + std::str::FromStr>(
        self,
        key: impl Arg,
        path: impl Arg,
        by: impl Arg,
    ) -> Self::Out<JsonNumbers<N>> {
        self.run(Cmd::of(&facts::JSON_NUMINCRBY).required(key).required(path).required(by))
    }

    /// Multiplies the numbers at `path`, and gives them. Servers call it deprecated. Since ReJSON 1.0; O(1)
    /// for one place, else O(n).
    ///
    /// Example: `client.json_nummultby::<f64>("user", "$.age", 1.5)`.
    /// [JSON.NUMMULTBY](https://redis.io/docs/latest/commands/json.nummultby/)
    fn json_nummultby<N: Reply + std::str::FromStr>(
        self,
        key: impl Arg,
        path: impl Arg,
        by: impl Arg,
    ) -> Self::Out<JsonNumbers<N>> {
        self.run(Cmd::of(&facts::JSON_NUMMULTBY).required(key).required(path).required(by))
    }

    /// The names of the fields of the objects at `path`. Since ReJSON 1.0; O(n).
    ///
    /// Example: `client.json_objkeys("user", "$.address")`.
    /// [JSON.OBJKEYS](https://redis.io/docs/latest/commands/json.objkeys/)
    fn json_objkeys(self, key: impl Arg, path: impl Arg) -> Self::Out<JsonMatches<Vec<String>>> {
        self.run(Cmd::of(&facts::JSON_OBJKEYS).required(key).required(path))
    }

    /// How many fields the objects at `path` have. Since ReJSON 1.0; O(1) for one place, else O(n).
    ///
    /// Example: `client.json_objlen("user", "$.address")`.
    /// [JSON.OBJLEN](https://redis.io/docs/latest/commands/json.objlen/)
    fn json_objlen(self, key: impl Arg, path: impl Arg) -> Self::Out<JsonMatches<u64>> {
        self.run(Cmd::of(&facts::JSON_OBJLEN).required(key).required(path))
    }

    /// Sets the values at `path`, which `$` or one new field of an object may be; whether it did: there may
    /// be nothing that the path matches. A key that is absent is made, for `$` alone. Fails if the text is no
    /// JSON. Since ReJSON 1.0; O(n + m) with the sizes of both.
    ///
    /// Example: `client.json_set("user", "$", r#"{"name":"ann","age":41}"#)`.
    /// [JSON.SET](https://redis.io/docs/latest/commands/json.set/)
    fn json_set(self, key: impl Arg, path: impl Arg, value: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::JSON_SET).required(key).required(path).required(value))
    }

    /// As [`json_set`](Self::json_set), where nothing is at `path`. Since ReJSON 1.0; O(n + m).
    ///
    /// Example: `client.json_set_nx("user", "$.age", "7")`.
    /// [JSON.SET](https://redis.io/docs/latest/commands/json.set/)
    fn json_set_nx(self, key: impl Arg, path: impl Arg, value: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::JSON_SET).required(key).required(path).required(value).arg("NX"))
    }

    /// As [`json_set`](Self::json_set), where something is at `path`. Since ReJSON 1.0; O(n + m).
    ///
    /// Example: `client.json_set_xx("user", "$.none", "7")`.
    /// [JSON.SET](https://redis.io/docs/latest/commands/json.set/)
    fn json_set_xx(self, key: impl Arg, path: impl Arg, value: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::JSON_SET).required(key).required(path).required(value).arg("XX"))
    }

    /// Appends a text, given as JSON (`"…"`), to the texts at `path`; how long each is now, in bytes.
    /// Since ReJSON 1.0; O(1) for one place, else O(n).
    ///
    /// Example: `client.json_strappend("user", "$.name", r#""a""#)`.
    /// [JSON.STRAPPEND](https://redis.io/docs/latest/commands/json.strappend/)
    fn json_strappend(self, key: impl Arg, path: impl Arg, text: impl Arg) -> Self::Out<JsonMatches<u64>> {
        self.run(Cmd::of(&facts::JSON_STRAPPEND).required(key).required(path).required(text))
    }

    /// How long the texts at `path` are, in bytes. Since ReJSON 1.0; O(1) for one place, else O(n).
    ///
    /// Example: `client.json_strlen("user", "$.name")`.
    /// [JSON.STRLEN](https://redis.io/docs/latest/commands/json.strlen/)
    fn json_strlen(self, key: impl Arg, path: impl Arg) -> Self::Out<JsonMatches<u64>> {
        self.run(Cmd::of(&facts::JSON_STRLEN).required(key).required(path))
    }

    /// Turns the truth values at `path` over, and gives them. Since ReJSON 2.0; O(1) for one place, else
    /// O(n).
    ///
    /// Example: `client.json_toggle("user", "$.admin")`.
    /// [JSON.TOGGLE](https://redis.io/docs/latest/commands/json.toggle/)
    fn json_toggle(self, key: impl Arg, path: impl Arg) -> Self::Out<JsonMatches<bool>> {
        self.run(Cmd::of(&facts::JSON_TOGGLE).required(key).required(path))
    }

    /// The types of the values at `path`: `object`, `array`, `string`, `integer`, `number`, `boolean`,
    /// `null`. None where there is no such key. Since ReJSON 1.0; O(1) for one place, else O(n).
    ///
    /// Example: `client.json_type("user", "$.age")`.
    /// [JSON.TYPE](https://redis.io/docs/latest/commands/json.type/)
    fn json_type(self, key: impl Arg, path: impl Arg) -> Self::Out<JsonTypes> {
        self.run(Cmd::of(&facts::JSON_TYPE).required(key).required(path))
    }
}

impl<T: Run> JsonCommands for T {}
