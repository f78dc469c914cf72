//! The facts that servers don't tell, written by hand, by command name.
//!
//! Promises: every name here is in the table (a test of the table sees to it). Must not know: how the table
//! is written; each answer is the Rust text that goes into it.

/// What a command does to its connection: a variant of `Session`.
pub(super) fn session(name: &str) -> &'static str {
    match name {
        "SELECT" => "Selects",
        "AUTH" => "Authenticates",
        "HELLO" => "Greets",
        "MULTI" | "EXEC" | "DISCARD" => "Transaction",
        "WATCH" => "Watches",
        "UNWATCH" => "Unwatches",
        "SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE" | "UNSUBSCRIBE" | "PUNSUBSCRIBE" | "SUNSUBSCRIBE" => {
            "Subscribes"
        }
        "MONITOR" => "Monitors",
        "CLIENT REPLY" => "Replies",
        "CLIENT TRACKING" | "CLIENT CACHING" => "Tracks",
        "CLIENT SETNAME" | "CLIENT NO-TOUCH" => "Describes",
        "CLIENT SETINFO" | "CLIENT NO-EVICT" | "CLIENT CAPA" | "CLIENT IMPORT-SOURCE" => "Lasts",
        "ASKING" => "Asks",
        "READONLY" | "READWRITE" => "Reads",
        "RESET" => "Resets",
        "QUIT" => "Quits",
        "SHUTDOWN" => "Ends",
        "SYNC" | "PSYNC" | "REPLCONF" | "CLUSTER SYNCSLOTS" => "Replicates",
        "SCRIPT DEBUG" => "Debugs",
        _ => "None",
    }
}

/// Where a command that waits takes its timeout: a place and a unit.
///
/// `MIGRATE` is not flagged as blocking, since it holds up the whole server; its caller waits all the same.
/// Nor is `SHUTDOWN`, which waits for replicas that lag.
pub(super) fn timeout(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "BLPOP" | "BRPOP" | "BRPOPLPUSH" | "BLMOVE" | "BZPOPMIN" | "BZPOPMAX" => ("Last", "Seconds"),
        "BLMPOP" | "BZMPOP" => ("Index(1)", "Seconds"),
        "WAIT" | "WAITAOF" => ("Last", "Milliseconds"),
        "XREAD" => ("AfterBlock(1)", "Milliseconds"),
        // Behind GROUP and its two names, which may be any word.
        "XREADGROUP" => ("AfterBlock(4)", "Milliseconds"),
        "MIGRATE" => ("Index(5)", "Milliseconds"),
        "SHUTDOWN" => ("Shutdown", "Seconds"),
        _ => return None,
    })
}

/// A better beginning for a key rule than the servers' own: of `SORT` they say "unknown" though the place of
/// `STORE` can be known, and of `MIGRATE` they say it incompletely.
pub(super) fn begin(name: &str, index: usize) -> Option<&'static str> {
    match (name, index) {
        ("SORT", 2) => Some("SortStore"),
        ("MIGRATE", 0) => Some("MigrateKey"),
        ("MIGRATE", 1) => Some("MigrateKeys"),
        _ => None,
    }
}

/// How the keys continue where [`begin`] answers and the servers say nothing.
pub(super) fn find(name: &str, index: usize) -> Option<&'static str> {
    matches!((name, index), ("SORT", 2)).then_some("Range { last: 0, step: 1, limit: 0 }")
}

/// Commands that servers don't flag as read-only because they touch no key, and that change nothing all the
/// same.
pub(super) const REPEATABLE: [&str; 82] = [
    "ACL CAT",
    "ACL DRYRUN",
    "ACL GENPASS",
    "ACL GETUSER",
    "ACL LIST",
    "ACL USERS",
    "ACL WHOAMI",
    "CLIENT GETNAME",
    "CLIENT GETREDIR",
    "CLIENT ID",
    "CLIENT INFO",
    "CLIENT LIST",
    "CLIENT TRACKINGINFO",
    "CLUSTER COUNT-FAILURE-REPORTS",
    "CLUSTER COUNTKEYSINSLOT",
    "CLUSTER GETKEYSINSLOT",
    "CLUSTER GETSLOTMIGRATIONS",
    "CLUSTER INFO",
    "CLUSTER KEYSLOT",
    "CLUSTER LINKS",
    "CLUSTER MYID",
    "CLUSTER MYSHARDID",
    "CLUSTER NODES",
    "CLUSTER REPLICAS",
    "CLUSTER SHARDS",
    "CLUSTER SLAVES",
    "CLUSTER SLOT-STATS",
    "CLUSTER SLOTS",
    "CLUSTERSCAN",
    "COMMAND",
    "COMMAND COUNT",
    "COMMAND DOCS",
    "COMMAND GETKEYS",
    "COMMAND GETKEYSANDFLAGS",
    "COMMAND INFO",
    "COMMAND LIST",
    "COMMANDLOG GET",
    "COMMANDLOG LEN",
    "CONFIG GET",
    "ECHO",
    "FUNCTION DUMP",
    "FUNCTION LIST",
    "FUNCTION STATS",
    "HOTKEYS GET",
    "INFO",
    "LASTSAVE",
    "LATENCY DOCTOR",
    "LATENCY GRAPH",
    "LATENCY HISTOGRAM",
    "LATENCY HISTORY",
    "LATENCY LATEST",
    "MEMORY DOCTOR",
    "MEMORY MALLOC-STATS",
    "MEMORY STATS",
    "MODULE LIST",
    "PING",
    "PUBSUB CHANNELS",
    "PUBSUB NUMPAT",
    "PUBSUB NUMSUB",
    "PUBSUB SHARDCHANNELS",
    "PUBSUB SHARDNUMSUB",
    "ROLE",
    "SCRIPT EXISTS",
    "SCRIPT LOAD",
    "SCRIPT SHOW",
    "SENTINEL CKQUORUM",
    "SENTINEL GET-MASTER-ADDR-BY-NAME",
    "SENTINEL GET-PRIMARY-ADDR-BY-NAME",
    "SENTINEL INFO-CACHE",
    "SENTINEL MASTER",
    "SENTINEL MASTERS",
    "SENTINEL MYID",
    "SENTINEL PRIMARIES",
    "SENTINEL PRIMARY",
    "SENTINEL REPLICAS",
    "SENTINEL SENTINELS",
    "SENTINEL SLAVES",
    "SLOWLOG GET",
    "SLOWLOG LEN",
    "TIME",
    "WAIT",
    "WAITAOF",
];
