//! Search: indexes over hashes and JSON documents, and what is found by them.
//!
//! Promises: one method per command of the module `search` that isn't deprecated, the same Rust value on
//! RESP2 and RESP3. Must not know: who runs the commands, nor the language of queries.

use std::collections::BTreeMap;

use redwire_core::facts::{Facts, Flags};
use redwire_core::{Arg, Cmd, Reply, Run, facts};

mod aggregate;
mod answers;
mod hits;
mod hybrid;
mod index;
mod options;
mod schema;

pub use aggregate::{FtAggregateOptions, FtCursorOptions, FtReducer};
#[doc(hidden)]
pub use answers::FtParts;
pub use answers::{
    FtAggregateReply, FtConfigHelp, FtCursorPage, FtHybridReply, FtMisspelled, FtProfiled, FtSpelling,
};
pub use hits::{FtFullHit, FtHit, FtHits, FtScoredHit, FtSearchReply};
pub use hybrid::{FtCombine, FtHybridQuery, FtNeighbours};
pub use index::{FtAttribute, FtIndexDefinition, FtIndexInfo};
pub use options::{FtHighlight, FtSearchOptions, FtSpellcheckOptions, FtSugOptions, FtSummarize};
pub use schema::{FtCreateOptions, FtField, FtOn, FtVectorIndex};

/// `FT.AGGREGATE` that leaves a cursor: not for a replica, for the cursor is the node's that made it.
static WITH_CURSOR: Facts = Facts { flags: Flags::MODULE, repeatable: false, ..facts::FT_AGGREGATE };

/// Indexes and queries, of the module `search`, which Redis 8 has built in.
///
/// Where nothing else is said, a command fails if there is no such index. In a cluster the server gathers
/// from all nodes by itself; commands go to the node that an index's name leads to as if it were a key, so
/// that a cursor is read where it was made. What a method returns is [`Run::Out`]: a request to await for a
/// client, a `Result` for a blocking one, a place for a pipeline.
///
/// ```no_run
/// use std::collections::HashMap;
///
/// use redwire::commands::{FtCreateOptions, FtField, FtHit, FtSearchOptions};
/// use redwire::prelude::*;
///
/// let client = redwire::blocking::Client::connect("redis://localhost")?;
/// let fields = [FtField::text("title").weight(2.0), FtField::numeric("year").sortable()];
/// client.ft_create("books", FtCreateOptions::new().prefix("book:"), fields)?;
/// client.hset_multiple("book:1", [("title", "The Idiot"), ("year", "1869")])?;
/// let options = FtSearchOptions::new().sortby("year", false).limit(0, 10);
/// let found = client.ft_search::<FtHit<HashMap<String, String>>>("books", "idiot", options)?;
/// for book in found.hits {
///     println!("{}: {}", book.id, book.fields["title"]);
/// }
/// # Ok::<(), redwire::Error>(())
/// ```
pub trait SearchCommands: Run {
    /// Runs a query, and what `options` do with its rows: each is read as a `T`, such as a
    /// `HashMap<String, String>`. Since search 1.1; O(n) with n rows.
    ///
    /// Example: `client.ft_aggregate::<HashMap<String, String>>("books", "*",
    /// FtAggregateOptions::new().load("@title"))`.
    /// [FT.AGGREGATE](https://redis.io/docs/latest/commands/ft.aggregate/)
    fn ft_aggregate<T: Reply>(
        self,
        index: impl Arg,
        query: impl Arg,
        options: FtAggregateOptions,
    ) -> Self::Out<FtAggregateReply<T>> {
        self.run(Cmd::of(&facts::FT_AGGREGATE).required(index).required(query).arg(options))
    }

    /// As [`ft_aggregate`](Self::ft_aggregate), some rows at a time: the others are read by
    /// [`ft_cursor_read`](Self::ft_cursor_read). Since search 1.1; O(n) with n rows.
    ///
    /// Example: `client.ft_aggregate_withcursor::<Vec<String>>("books", "*",
    /// FtAggregateOptions::new().load("@title"), FtCursorOptions::new().count(2))`.
    /// [FT.AGGREGATE](https://redis.io/docs/latest/commands/ft.aggregate/)
    fn ft_aggregate_withcursor<T: Reply>(
        self,
        index: impl Arg,
        query: impl Arg,
        options: FtAggregateOptions,
        cursor: FtCursorOptions,
    ) -> Self::Out<FtCursorPage<T>> {
        let cmd = Cmd::of(&WITH_CURSOR).required(index).required(query);
        self.run(cmd.arg(options).arg("WITHCURSOR").arg(cursor))
    }

    /// Gives an index another name. Fails where the name is taken. Since search 1.0; O(1).
    ///
    /// Example: `client.ft_aliasadd("novels", "books")`.
    /// [FT.ALIASADD](https://redis.io/docs/latest/commands/ft.aliasadd/)
    fn ft_aliasadd(self, alias: impl Arg, index: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FT_ALIASADD).required(alias).required(index))
    }

    /// Takes another name away. Fails where there is none. Since search 1.0; O(1).
    ///
    /// Example: `client.ft_aliasdel("novels")`.
    /// [FT.ALIASDEL](https://redis.io/docs/latest/commands/ft.aliasdel/)
    fn ft_aliasdel(self, alias: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FT_ALIASDEL).required(alias))
    }

    /// Gives an index another name, and takes it from the one that has it. Since search 1.0; O(1).
    ///
    /// Example: `client.ft_aliasupdate("novels", "books")`.
    /// [FT.ALIASUPDATE](https://redis.io/docs/latest/commands/ft.aliasupdate/)
    fn ft_aliasupdate(self, alias: impl Arg, index: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FT_ALIASUPDATE).required(alias).required(index))
    }

    /// Adds fields, one or several, to an index; documents are scanned for them in the background.
    /// Since search 1.0; O(n) with n keys.
    ///
    /// Example: `client.ft_alter("books", FtField::tag("genre"))`.
    /// [FT.ALTER](https://redis.io/docs/latest/commands/ft.alter/)
    fn ft_alter(self, index: impl Arg, fields: impl Arg) -> Self::Out<()> {
        let cmd = Cmd::of(&facts::FT_ALTER).required(index).arg("SCHEMA").arg("ADD");
        self.run(cmd.required(fields))
    }

    /// The module's options whose names match a pattern, in capitals (`*` for all). Deprecated since Redis 8,
    /// where they are among those of `CONFIG GET`. Since search 1.0; O(1).
    ///
    /// Example: `client.ft_config_get("TIMEOUT")`.
    /// [FT.CONFIG GET](https://redis.io/docs/latest/commands/ft.config-get/)
    fn ft_config_get(self, pattern: impl Arg) -> Self::Out<BTreeMap<String, Option<String>>> {
        self.run(Cmd::of(&facts::FT_CONFIG_GET).required(pattern))
    }

    /// What the module says of its options. Since search 1.0; O(1).
    ///
    /// Example: `client.ft_config_help("TIMEOUT")`.
    /// [FT.CONFIG HELP](https://redis.io/docs/latest/commands/ft.config-help/)
    fn ft_config_help(self, pattern: impl Arg) -> Self::Out<Vec<FtConfigHelp>> {
        self.run(Cmd::of(&facts::FT_CONFIG_HELP).required(pattern))
    }

    /// Sets an option of the module, on each primary of a cluster. Deprecated since Redis 8, where
    /// `CONFIG SET` does it. Since search 1.0; O(1).
    ///
    /// Example: `client.ft_config_set("TIMEOUT", 400)`.
    /// [FT.CONFIG SET](https://redis.io/docs/latest/commands/ft.config-set/)
    fn ft_config_set(self, option: impl Arg, value: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FT_CONFIG_SET).required(option).required(value))
    }

    /// Makes an index of these fields, one or several. Documents that are there are scanned in the
    /// background. Fails where there is such an index. Since search 1.0; O(k) with k fields, and O(n) in the
    /// background with n keys.
    ///
    /// Example: `client.ft_create("books", FtCreateOptions::new().prefix("book:"),
    /// [FtField::text("title").weight(2.0).sortable(), FtField::numeric("year").sortable()])`.
    /// [FT.CREATE](https://redis.io/docs/latest/commands/ft.create/)
    fn ft_create(self, index: impl Arg, options: FtCreateOptions, fields: impl Arg) -> Self::Out<()> {
        let cmd = Cmd::of(&facts::FT_CREATE).required(index).arg(options).arg("SCHEMA");
        self.run(cmd.required(fields))
    }

    /// Ends a cursor before all was read. Fails where there is none. Since search 1.1; O(1).
    ///
    /// Example: `client.ft_cursor_del("books", cursor)`.
    /// [FT.CURSOR DEL](https://redis.io/docs/latest/commands/ft.cursor-del/)
    fn ft_cursor_del(self, index: impl Arg, cursor: u64) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FT_CURSOR_DEL).required(index).arg(cursor))
    }

    /// The next rows of a cursor, `count` at most, or as many as when it was made. Fails where there is no
    /// such cursor, as when all was read or it was idle for too long. Since search 1.1; O(c) with count c.
    ///
    /// Example: `client.ft_cursor_read::<Vec<String>>("books", cursor, Some(1))`.
    /// [FT.CURSOR READ](https://redis.io/docs/latest/commands/ft.cursor-read/)
    fn ft_cursor_read<T: Reply>(
        self,
        index: impl Arg,
        cursor: u64,
        count: Option<u64>,
    ) -> Self::Out<FtCursorPage<T>> {
        self.run(Cmd::of(&facts::FT_CURSOR_READ).required(index).arg(cursor).named("COUNT", count))
    }

    /// Adds terms, one or several, to a dictionary, which is made where there is none; how many are new.
    /// Since search 1.4; O(n) with n terms.
    ///
    /// Example: `client.ft_dictadd("names", ["raskolnikov", "myshkin"])`.
    /// [FT.DICTADD](https://redis.io/docs/latest/commands/ft.dictadd/)
    fn ft_dictadd(self, dictionary: impl Arg, terms: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::FT_DICTADD).required(dictionary).required(terms))
    }

    /// Deletes terms, one or several, from a dictionary; how many there were. Since search 1.4; O(n).
    ///
    /// Example: `client.ft_dictdel("names", "myshkin")`.
    /// [FT.DICTDEL](https://redis.io/docs/latest/commands/ft.dictdel/)
    fn ft_dictdel(self, dictionary: impl Arg, terms: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::FT_DICTDEL).required(dictionary).required(terms))
    }

    /// All terms of a dictionary: usually a `Vec<String>`. Fails where there is none. Since search 1.4; O(n).
    ///
    /// Example: `client.ft_dictdump::<Vec<String>>("names")`.
    /// [FT.DICTDUMP](https://redis.io/docs/latest/commands/ft.dictdump/)
    fn ft_dictdump<C: Reply>(self, dictionary: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::FT_DICTDUMP).required(dictionary))
    }

    /// Deletes an index, and leaves its documents. Since search 2.0; O(1).
    ///
    /// Example: `client.ft_dropindex("other")`.
    /// [FT.DROPINDEX](https://redis.io/docs/latest/commands/ft.dropindex/)
    fn ft_dropindex(self, index: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FT_DROPINDEX).required(index))
    }

    /// Deletes an index **and its documents**. Since search 2.0; O(n) with n documents.
    ///
    /// Example: `client.ft_dropindex_dd("books")`.
    /// [FT.DROPINDEX](https://redis.io/docs/latest/commands/ft.dropindex/)
    fn ft_dropindex_dd(self, index: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FT_DROPINDEX).required(index).arg("DD"))
    }

    /// How a query would be carried out, for people. `dialect` is the version of the query language, `None`
    /// for the module's default. Since search 1.0; O(1).
    ///
    /// Example: `client.ft_explain("books", "idiot", None)`.
    /// [FT.EXPLAIN](https://redis.io/docs/latest/commands/ft.explain/)
    fn ft_explain(self, index: impl Arg, query: impl Arg, dialect: Option<u32>) -> Self::Out<String> {
        let cmd = Cmd::of(&facts::FT_EXPLAIN).required(index).required(query);
        self.run(cmd.named("DIALECT", dialect))
    }

    /// As [`ft_explain`](Self::ft_explain), line by line. Since search 1.0; O(1).
    ///
    /// Example: `client.ft_explaincli("books", "idiot", None)`.
    /// [FT.EXPLAINCLI](https://redis.io/docs/latest/commands/ft.explaincli/)
    fn ft_explaincli(self, index: impl Arg, query: impl Arg, dialect: Option<u32>) -> Self::Out<Vec<String>> {
        let cmd = Cmd::of(&facts::FT_EXPLAINCLI).required(index).required(query);
        self.run(cmd.named("DIALECT", dialect))
    }

    /// Searches by text and by vector, and brings both together; each row is read as a `T`, such as a
    /// `HashMap<String, String>`. Since Redis 8.4; O(n + m) with the times of both.
    ///
    /// Example: `client.ft_hybrid::<HashMap<String, String>>("books", query)`.
    /// [FT.HYBRID](https://redis.io/docs/latest/commands/ft.hybrid/)
    fn ft_hybrid<T: Reply>(self, index: impl Arg, query: FtHybridQuery) -> Self::Out<FtHybridReply<T>> {
        self.run(Cmd::of(&facts::FT_HYBRID).required(index).arg(query))
    }

    /// What an index is made of, and how far it is. Since search 1.0; O(1).
    ///
    /// Example: `client.ft_info("books")`.
    /// [FT.INFO](https://redis.io/docs/latest/commands/ft.info/)
    fn ft_info(self, index: impl Arg) -> Self::Out<FtIndexInfo> {
        self.run(Cmd::of(&facts::FT_INFO).required(index))
    }

    /// The names of all indexes, in no order: usually a `Vec<String>`. Since search 2.0; O(1).
    ///
    /// Example: `client.ft_list::<Vec<String>>()`.
    /// [FT._LIST](https://redis.io/docs/latest/commands/ft._list/)
    fn ft_list<C: Reply>(self) -> Self::Out<C> {
        self.run(Cmd::of(&facts::FT__LIST))
    }

    /// As [`ft_aggregate`](Self::ft_aggregate), with the times that its steps took. `limited` leaves out the
    /// details of the parts of the query. Since search 2.2; O(n).
    ///
    /// Example: `client.ft_profile_aggregate::<Vec<String>>("books", true, "*",
    /// FtAggregateOptions::new().load("@title"))`.
    /// [FT.PROFILE](https://redis.io/docs/latest/commands/ft.profile/)
    fn ft_profile_aggregate<T: Reply>(
        self,
        index: impl Arg,
        limited: bool,
        query: impl Arg,
        options: FtAggregateOptions,
    ) -> Self::Out<FtProfiled<FtAggregateReply<T>>> {
        let cmd = Cmd::of(&facts::FT_PROFILE).required(index).arg("AGGREGATE").flag(limited, "LIMITED");
        self.run(cmd.arg("QUERY").required(query).arg(options))
    }

    /// As [`ft_search`](Self::ft_search), with the times that its steps took. `limited` leaves out the
    /// details of the parts of the query. Since search 2.2; O(n).
    ///
    /// Example: `client.ft_profile_search::<String>("books", false, "idiot", FtSearchOptions::new())`.
    /// [FT.PROFILE](https://redis.io/docs/latest/commands/ft.profile/)
    fn ft_profile_search<H: FtHits>(
        self,
        index: impl Arg,
        limited: bool,
        query: impl Arg,
        options: FtSearchOptions,
    ) -> Self::Out<FtProfiled<FtSearchReply<H>>> {
        let cmd = Cmd::of(&facts::FT_PROFILE).required(index).arg("SEARCH").flag(limited, "LIMITED");
        self.run(cmd.arg("QUERY").required(query).arg(H::WORDS).arg(options))
    }

    /// The documents that a query finds. What is told of each is said by the type `H`: `String` for the key
    /// alone, [`FtHit`] for the fields, too, [`FtScoredHit`] with the score, [`FtFullHit`] with all there is.
    /// Since search 1.0; O(n) with n documents found.
    ///
    /// Example: `client.ft_search::<FtHit<HashMap<String, String>>>("books", "idiot",
    /// FtSearchOptions::new())`.
    /// [FT.SEARCH](https://redis.io/docs/latest/commands/ft.search/)
    fn ft_search<H: FtHits>(
        self,
        index: impl Arg,
        query: impl Arg,
        options: FtSearchOptions,
    ) -> Self::Out<FtSearchReply<H>> {
        let cmd = Cmd::of(&facts::FT_SEARCH).required(index).required(query);
        self.run(cmd.arg(H::WORDS).arg(options))
    }

    /// The words of a query that are in no document, with similar ones that are. Since search 1.4; O(1).
    ///
    /// Example: `client.ft_spellcheck("books", "idoit", FtSpellcheckOptions::new())`.
    /// [FT.SPELLCHECK](https://redis.io/docs/latest/commands/ft.spellcheck/)
    fn ft_spellcheck(
        self,
        index: impl Arg,
        query: impl Arg,
        options: FtSpellcheckOptions,
    ) -> Self::Out<FtSpelling> {
        self.run(Cmd::of(&facts::FT_SPELLCHECK).required(index).required(query).arg(options))
    }

    /// Adds a suggestion with a score; how many there are now. One that is there gets this score. The key is
    /// made where it is absent. Since search 1.0; O(1).
    ///
    /// Example: `client.ft_sugadd("titles", "the idiot", 1.0)`.
    /// [FT.SUGADD](https://redis.io/docs/latest/commands/ft.sugadd/)
    fn ft_sugadd(self, key: impl Arg, text: impl Arg, score: f64) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::FT_SUGADD).required(key).required(text).arg(score))
    }

    /// As [`ft_sugadd`](Self::ft_sugadd): adds to its score where `incr` is true, and keeps a payload with
    /// it.
    /// Since search 1.0; O(1).
    ///
    /// Example: `client.ft_sugadd_with("titles", "the gambler", 2.0, true, Some("1866"))`.
    /// [FT.SUGADD](https://redis.io/docs/latest/commands/ft.sugadd/)
    fn ft_sugadd_with(
        self,
        key: impl Arg,
        text: impl Arg,
        score: f64,
        incr: bool,
        payload: Option<impl Arg>,
    ) -> Self::Out<u64> {
        let cmd = Cmd::of(&facts::FT_SUGADD).required(key).required(text).arg(score);
        self.run(cmd.flag(incr, "INCR").named("PAYLOAD", payload))
    }

    /// Deletes a suggestion; whether it was there. Since search 1.0; O(1).
    ///
    /// Example: `client.ft_sugdel("titles", "the idiot")`.
    /// [FT.SUGDEL](https://redis.io/docs/latest/commands/ft.sugdel/)
    fn ft_sugdel(self, key: impl Arg, text: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::FT_SUGDEL).required(key).required(text))
    }

    /// The suggestions for a prefix, the best first, each usually a `String`; `None` where the key is absent.
    /// Since search 1.0; O(1).
    ///
    /// Example: `client.ft_sugget::<String>("titles", "the", FtSugOptions::new())`.
    /// [FT.SUGGET](https://redis.io/docs/latest/commands/ft.sugget/)
    fn ft_sugget<T: Reply>(
        self,
        key: impl Arg,
        prefix: impl Arg,
        options: FtSugOptions,
    ) -> Self::Out<Option<Vec<T>>> {
        self.run(Cmd::of(&facts::FT_SUGGET).required(key).required(prefix).arg(options))
    }

    /// As [`ft_sugget`](Self::ft_sugget), with scores: each usually a `(String, f64)`. Since search 1.0;
    /// O(1).
    ///
    /// Example: `client.ft_sugget_withscores::<(String, f64)>("titles", "thx",
    /// FtSugOptions::new().fuzzy().max(3))`.
    /// [FT.SUGGET](https://redis.io/docs/latest/commands/ft.sugget/)
    fn ft_sugget_withscores<T: Reply>(
        self,
        key: impl Arg,
        prefix: impl Arg,
        options: FtSugOptions,
    ) -> Self::Out<Option<Vec<T>>> {
        let cmd = Cmd::of(&facts::FT_SUGGET).required(key).required(prefix);
        self.run(cmd.arg(options).arg("WITHSCORES"))
    }

    /// As [`ft_sugget`](Self::ft_sugget), with scores and payloads: each usually a
    /// `(String, f64, Option<String>)`. Since search 1.0; O(1).
    ///
    /// Example: `client.ft_sugget_withpayloads::<(String, f64, Option<String>)>("titles", "the",
    /// FtSugOptions::new())`.
    /// [FT.SUGGET](https://redis.io/docs/latest/commands/ft.sugget/)
    fn ft_sugget_withpayloads<T: Reply>(
        self,
        key: impl Arg,
        prefix: impl Arg,
        options: FtSugOptions,
    ) -> Self::Out<Option<Vec<T>>> {
        let cmd = Cmd::of(&facts::FT_SUGGET).required(key).required(prefix);
        self.run(cmd.arg(options).arg("WITHSCORES").arg("WITHPAYLOADS"))
    }

    /// How many suggestions there are; 0 where the key is absent. Since search 1.0; O(1).
    ///
    /// Example: `client.ft_suglen("titles")`.
    /// [FT.SUGLEN](https://redis.io/docs/latest/commands/ft.suglen/)
    fn ft_suglen(self, key: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::FT_SUGLEN).required(key))
    }

    /// Each term that has synonyms, with the groups it is in. Since search 1.2; O(1).
    ///
    /// Example: `client.ft_syndump("books")`.
    /// [FT.SYNDUMP](https://redis.io/docs/latest/commands/ft.syndump/)
    fn ft_syndump(self, index: impl Arg) -> Self::Out<BTreeMap<String, Vec<String>>> {
        self.run(Cmd::of(&facts::FT_SYNDUMP).required(index))
    }

    /// Adds terms, one or several, to a group of synonyms, which is made where there is none; documents that
    /// are there are scanned for them. Since search 1.2; O(1).
    ///
    /// Example: `client.ft_synupdate("books", "fools", ["idiot", "fool"])`.
    /// [FT.SYNUPDATE](https://redis.io/docs/latest/commands/ft.synupdate/)
    fn ft_synupdate(self, index: impl Arg, group: impl Arg, terms: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FT_SYNUPDATE).required(index).required(group).required(terms))
    }

    /// As [`ft_synupdate`](Self::ft_synupdate), for documents that come from now on. Since search 1.2; O(1).
    ///
    /// Example: `client.ft_synupdate_skipinitialscan("books", "fools", "clown")`.
    /// [FT.SYNUPDATE](https://redis.io/docs/latest/commands/ft.synupdate/)
    fn ft_synupdate_skipinitialscan(
        self,
        index: impl Arg,
        group: impl Arg,
        terms: impl Arg,
    ) -> Self::Out<()> {
        let cmd = Cmd::of(&facts::FT_SYNUPDATE).required(index).required(group);
        self.run(cmd.arg("SKIPINITIALSCAN").required(terms))
    }

    /// The different tags of a field, in small letters: usually a `Vec<String>`. Fails for a field of another
    /// type. Since search 1.0; O(n) with n tags.
    ///
    /// Example: `client.ft_tagvals::<Vec<String>>("books", "genre")`.
    /// [FT.TAGVALS](https://redis.io/docs/latest/commands/ft.tagvals/)
    fn ft_tagvals<C: Reply>(self, index: impl Arg, field: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::FT_TAGVALS).required(index).required(field))
    }
}

impl<T: Run> SearchCommands for T {}
