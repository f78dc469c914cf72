//! What can be said on the command line. The texts here are the manual: `--help`, the man page and the
//! completions are made of them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ColorChoice, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::output::Failure;

/// See a connection to Redis or Valkey, measure it, prove it.
///
/// Exit status: 0 the answer is good, 1 it is bad, 2 it could not be had.
#[derive(Debug, Parser)]
#[command(name = "redwire", version, propagate_version = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// Where the server is; several for several servers. A cluster is `redis+cluster://HOST:PORT,…`, a
    /// service that sentinels watch `redis+sentinel://HOST:PORT,…/SERVICE`.
    #[arg(
        long,
        global = true,
        env = "REDWIRE_URL",
        hide_env_values = true,
        default_value = "redis://127.0.0.1:6379",
        value_delimiter = ' '
    )]
    pub(crate) url: Vec<String>,
    /// One JSON object on standard output, and nothing else there.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Uses the blocking driver.
    #[arg(long, global = true)]
    pub(crate) blocking: bool,
    /// When to colour.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
    /// The user to authenticate as, if the URL names none.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// The password, if the URL has none. Better given by the environment, where `ps` does not show it.
    #[arg(long, global = true, env = "REDWIRE_PASSWORD", hide_env_values = true)]
    pub(crate) password: Option<String>,
    /// The database.
    #[arg(long, global = true, value_name = "NUMBER")]
    pub(crate) db: Option<u32>,
    /// How long one operation may take, in seconds [default: 5].
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// TLS, as `rediss://` does.
    #[arg(long, global = true, help_heading = "TLS")]
    pub(crate) tls: bool,
    /// Trusted CA certificates (PEM), in place of the system's.
    #[arg(long, global = true, value_name = "FILE", help_heading = "TLS")]
    pub(crate) tls_ca_file: Option<PathBuf>,
    /// This client's certificate (PEM).
    #[arg(long, global = true, value_name = "FILE", help_heading = "TLS")]
    pub(crate) tls_cert_file: Option<PathBuf>,
    /// The private key of that (PEM).
    #[arg(long, global = true, value_name = "FILE", help_heading = "TLS")]
    pub(crate) tls_key_file: Option<PathBuf>,
    /// The name to ask for and to look for in the server's certificate, in place of the host.
    #[arg(long, global = true, value_name = "NAME", help_heading = "TLS")]
    pub(crate) tls_server_name: Option<String>,
    /// Takes any certificate: protects from listeners, not from impostors.
    #[arg(long, global = true, help_heading = "TLS")]
    pub(crate) tls_insecure: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Probes a server at intervals, like ping(8).
    ///
    /// A probe that is lost is told with its reason, and the next one is sent all the same. Ends with a
    /// summary, also when it is interrupted. Exit status 1 if all probes were lost.
    Ping(Ping),
    /// Runs a command, or many: from a prompt, or one a line from a pipe.
    ///
    /// Replies are printed as redis-cli prints them on a terminal, and plainly elsewhere. Without words, on a
    /// terminal, there is a prompt; otherwise each line of standard input is a command, with "…" and '…'
    /// around words that have spaces, and lines that are empty or begin with # are passed over. All of them
    /// run on one connection, so SELECT, MULTI and WATCH hold; but in a cluster each goes to the node of its
    /// keys, or to all that it concerns, and what is for one connection is refused. SUBSCRIBE and MONITOR
    /// print what comes until they are interrupted. Exit status 1 if the server answered with an error.
    #[command(override_usage = "redwire exec [OPTIONS] [NAME [ARG]...]")]
    #[command(after_help = "Options of redwire stand before the command's name: redwire exec --json GET key")]
    Exec(Exec),
    /// Shows every command that a server executes, as it does.
    ///
    /// Each has a line as the server writes it: time, database, client, words. With `--json` each is an
    /// object; a word that is no text is an object there, with its bytes in hexadecimal digits. It costs the
    /// server a lot. Of a cluster it shows one node, the first of the URL that can be had; for another one,
    /// give that one's URL. Ends when it is interrupted, or when the connection is lost, which is exit status
    /// 2: what was missed by then is not known.
    Monitor(Monitor),
    /// Puts a load on a server and measures throughput, latency and what the client costs.
    ///
    /// Each task makes a call, waits for the reply, and makes the next. With `--rate` calls are begun at that
    /// rate whether or not earlier ones are answered, and their latency counts from when they were to begin:
    /// a server that hangs is seen for as long as it hangs. Calls that were due and not begun when the time
    /// was over are made in the ten seconds after it; those that cannot be are told.
    ///
    /// Exit status: 0 if every call was answered, 1 if some failed or were never begun, 2 if the server could
    /// not be had.
    Bench(Bench),
    /// Writes, counts, reads and publishes while you break things, and accounts for every call: the failover
    /// drill.
    ///
    /// Restart the server, freeze it, fail it over, cut the network, while this runs. Calls may fail
    /// meanwhile; what must never happen is a violation: a reply that belongs to another request
    /// (mismatched), a write executed twice (duplicated), a call that ends more than 50 ms after its deadline
    /// (overrun), a message that was published, not heard, and not announced as missing (unannounced_loss).
    /// Writes that the server acknowledged and lost are reported, but are no violation: they are the price of
    /// asynchronous replication.
    ///
    /// In a cluster the keys are in slots of all nodes. Nodes pass messages on to each other without a
    /// promise, so those that are missing there are not counted.
    ///
    /// Time in which the machine did not let this program run is taken off before a call counts as an
    /// overrun.
    ///
    /// Exit status: 0 without a violation, 1 with one, 2 if the drill could not begin or its keys could not
    /// be read back in the end.
    Soak(Soak),
    /// Finds out what is wrong with a connection: each layer apart, with what it means and what to try.
    ///
    /// Looks at the URL, the sentinels if it names a service, the nodes if it names a cluster, DNS, TCP, TLS,
    /// the handshake with its password, the user's rights, the database, latency, the server, timeouts that
    /// do not fit together, and whether the servers that it names can be reached from here. Changes nothing.
    /// Exit status 1 if a layer is bad; warnings leave it 0.
    Doctor,
    /// Shows who is master and who replica, how far each is, and who can be reached from here.
    ///
    /// Asks one server, and shows those it names; of a service (`redis+sentinel://…`), what each of its
    /// sentinels tells, then the master; of a cluster (`redis+cluster://…`, or any node of one), who has
    /// which slots, by all nodes. Exit status 1 if a link between them is down, or a sentinel or node, or one
    /// that disagrees with most others, or if no node serves some slots.
    Topology(Topology),
    /// Shows what is published, as it comes, until it is interrupted.
    ///
    /// A connection that is lost is made anew, and the time in which messages may have been missed is told in
    /// its place. With `--json`, each line is an object with the field `item`: `message`, `gap`, `lagged`,
    /// `reconnected`, `subscribed`, `unsubscribed` or `failed`. Exit status 1 if the server ends it, as with
    /// a channel that is not allowed any more.
    Subscribe(Subscribe),
    /// Writes the completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Writes the man page, of the program or of one of its commands.
    Man {
        /// Which command.
        command: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ping {
    /// How many probes; without it until it is interrupted.
    #[arg(short, long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Seconds between probes.
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) interval: Duration,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Monitor {
    /// Ends after so many; without it when it is interrupted.
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Subscribe {
    /// The names are glob patterns of channels.
    #[arg(short, long, conflicts_with = "shards")]
    pub(crate) patterns: bool,
    /// The names are shard channels, for SPUBLISH (Redis 7.0).
    #[arg(short, long)]
    pub(crate) shards: bool,
    /// What to listen to.
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Topology {
    /// Looks again each second and marks what changed, until q or Ctrl-C.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    /// The reply's bytes as they are; a list's items one a line.
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
    pub(crate) words: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Soak {
    /// How long to go on.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = some_seconds)]
    pub(crate) seconds: Duration,
    /// How many tasks call at the same time, each on keys of its own.
    #[arg(long, value_name = "N", default_value = "8")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) tasks: u16,
    /// What each call has to end by, in place of `--timeout`.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = some_seconds)]
    pub(crate) deadline: Duration,
    /// Makes each task do the same in the same order as in another run with this number [default: at random].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// What the keys begin with; they are deleted in the end.
    #[arg(long, value_name = "PREFIX", default_value = "redwire:soak")]
    pub(crate) prefix: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// What to do.
    #[arg(long, default_value = "get")]
    pub(crate) workload: Workload,
    /// How many tasks call at the same time.
    #[arg(long, value_name = "N", default_value = "50")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) tasks: u16,
    /// How many clients they share. An async client has one connection; a blocking one, a connection for each
    /// task that calls.
    #[arg(long, value_name = "N", default_value = "1")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) connections: u16,
    /// Ends after so many calls.
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    /// Ends after so long [default: 10].
    #[arg(long, value_name = "SECONDS", value_parser = some_seconds)]
    pub(crate) seconds: Option<Duration>,
    /// How many commands a call sends at once [default: 1; for the workload `pipeline` 50].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) pipeline: Option<u32>,
    /// The size of a value [default: 64; for the workload `large` 1048576].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=256 * 1024 * 1024))]
    pub(crate) value_bytes: Option<u32>,
    /// How many keys to use [default: 1000; for the workload `large` 16].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) keys: Option<u32>,
    /// Begins so many calls a second, evenly, all tasks together [default: as many as go].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rate: Option<u32>,
    /// Draws the latencies, by percentile, into a picture.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// What the keys begin with; they are deleted in the end.
    #[arg(long, value_name = "PREFIX", default_value = "redwire:bench")]
    pub(crate) prefix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Workload {
    /// GET of a key at random.
    Get,
    /// SET of a key at random.
    Set,
    /// INCR of a key at random.
    Incr,
    /// Four GET for each SET.
    Mixed,
    /// Many GET in one pipeline.
    Pipeline,
    /// MGET of up to 100 keys.
    Mget,
    /// LRANGE of a list with 100 elements.
    Lrange,
    /// A SET and a GET of large values in turn.
    Large,
}

/// What to say instead, where a server is named as for redis-cli: `-h HOST`, `-p PORT`. Here `-h` is help,
/// which a user who names a host has not asked for.
pub(crate) fn habit(words: impl IntoIterator<Item = String>) -> Option<String> {
    let options: Vec<_> =
        words.into_iter().skip(1).take_while(|word| word != "exec" && word != "--").collect();
    let value = |option: &str| {
        let pair = options.windows(2).find(|pair| pair[0] == option)?;
        Some(&*pair[1]).filter(|value| !value.starts_with('-'))
    };
    let is_number = |port: &&str| port.parse::<u16>().is_ok();
    let is_command = |word: &&str| Args::command().find_subcommand(word).is_some();
    let (host, port) = (value("-h").filter(|host| !is_command(host)), value("-p").filter(is_number));
    if host.is_none() && (port.is_none() || options.iter().any(|word| word == "subscribe")) {
        return None;
    }
    let (host, port) = (host.unwrap_or("127.0.0.1"), port.unwrap_or("6379"));
    Some(format!("the server is named by a URL; say --url redis://{host}:{port}"))
}

/// Seconds, and more than none.
fn some_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        Duration::ZERO => Err("expected more than 0 seconds".to_owned()),
        seconds => Ok(seconds),
    }
}

/// What the man page of the program, or of one of its commands, is made of.
///
/// # Errors
/// There is no such command.
pub(crate) fn page(name: Option<&str>) -> Result<clap::Command, Failure> {
    let mut program = Args::command();
    program.build();
    let Some(name) = name else { return Ok(program) };
    let command = program.find_subcommand(name).cloned();
    command.ok_or_else(|| Failure::new(name, "there is no such command; see redwire --help"))
}

/// Seconds, with a fraction if need be.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("expected seconds, as 2 or 0.5; got {text:?}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{text}: {error}"))
}
