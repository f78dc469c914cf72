//! `redwire topology`: who is master and who replica, how far each is, and who can be reached from here.
//!
//! Promises to show one server and the servers that it names itself; of a service, its sentinels and its
//! master; of a cluster, all its nodes. Must not guess: what a server does not tell is left out.

mod cluster;
mod watch;

use std::time::{Duration, Instant};

use redwire::config::{Config, HostPort};
use redwire::sentinel::Instance;
use redwire::{Error, Result, Value, cmd};
use serde_json::{Value as Json, json};

use crate::args::{Global, Topology};
use crate::connect;
use crate::doctor::network::word;
use crate::doctor::reach::{Reached, neighbours, reach};
use crate::info::Info;
use crate::interrupt::interrupted;
use crate::output::{BAD, DIM, Failure, GOOD, Output, Verdict};
use crate::sentinels::{self, AskedSentinel, SentinelReport};
use crate::session::Session;
pub(crate) use cluster::ClusterSummary;
use cluster::Membership;
use watch::{View, WatchedServer};

/// How long another server may take to take a connection.
const REACH: Duration = Duration::from_secs(2);

/// What was seen at one moment: the server that was asked, then those it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) servers: Vec<Row>,
    /// Of a cluster, what it is as a whole.
    pub(crate) cluster: Option<ClusterSummary>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) address: String,
    pub(crate) role: String,
    /// `online`, `up`, or what keeps it from that; of the one that was asked, its version.
    pub(crate) state: String,
    pub(crate) offset: Option<u64>,
    /// Bytes of the stream that it has not got yet.
    pub(crate) behind: Option<u64>,
    /// Seconds since it was last heard of.
    pub(crate) lag: Option<u64>,
    /// `open`, or how connecting failed.
    pub(crate) from_here: &'static str,
    /// Whether replication works, as far as this one is concerned.
    pub(crate) sound: bool,
    /// Of a node of a cluster, what it is there.
    pub(crate) member: Option<Membership>,
}

pub(crate) async fn run(global: &Global, topology: &Topology, output: &Output) -> Result<Verdict, Failure> {
    if topology.watch {
        return watch(global, output).await;
    }
    let mut snapshots = Vec::new();
    for url in &global.url {
        let (config, address) = asked(global, url)?;
        let snapshot = WatchedServer::new(config, address, global.blocking).look().await?;
        print(&snapshot, output);
        snapshots.push(snapshot);
    }
    output.json(&to_json(&snapshots));
    Ok(verdict(&snapshots))
}

/// One server, until the user ends it.
async fn watch(global: &Global, output: &Output) -> Result<Verdict, Failure> {
    let [url] = global.url.as_slice() else {
        return Err(Failure::new("--watch", "one server at a time: give one --url"));
    };
    let (config, address) = asked(global, url)?;
    let mut server = WatchedServer::new(config, address, global.blocking);
    if output.is_terminal() {
        let last = watch::on_terminal(&mut server).await?.snapshot;
        return Ok(verdict(last.as_slice()));
    }
    let mut view = View::new(Instant::now());
    tokio::select! {
        // First, so that the signal is listened for from the beginning.
        biased;
        () = interrupted() => {}
        () = write_changes(&mut server, &mut view, output) => {}
    }
    Ok(verdict(view.snapshot.as_slice()))
}

/// Writes the first snapshot, and each that differs from the one before.
async fn write_changes(server: &mut WatchedServer, view: &mut View, output: &Output) {
    let mut ticks = tokio::time::interval(watch::TICK);
    loop {
        ticks.tick().await;
        let first = view.snapshot.is_none();
        let seen = server.look().await;
        let failed = seen.is_err();
        let changes = view.handle(seen, Instant::now());
        if changes.is_empty() && (failed || !first) {
            continue;
        }
        for change in &changes {
            output.note(change);
        }
        if let (Some(snapshot), false) = (&view.snapshot, failed) {
            print(snapshot, output);
            output.json(&to_json(std::slice::from_ref(snapshot)));
        }
    }
}

fn print(snapshot: &Snapshot, output: &Output) {
    if let Some(summary) = &snapshot.cluster {
        let style = if summary.is_sound() { GOOD } else { BAD };
        output.line(format_args!("{style}cluster{style:#}  {summary}"));
    }
    let first = snapshot.servers.iter().position(|row| row.role != SENTINEL);
    for (index, row) in snapshot.servers.iter().enumerate() {
        let follows = match &row.member {
            Some(member) => member.primary.is_some(),
            None => snapshot.cluster.is_none() && first.is_some_and(|first| index > first),
        };
        output.line(line(row, follows));
    }
}

fn verdict(snapshots: &[Snapshot]) -> Verdict {
    if snapshots.iter().all(Snapshot::is_sound) { Verdict::Good } else { Verdict::Bad }
}

fn to_json(snapshots: &[Snapshot]) -> Json {
    let servers: Vec<Json> =
        snapshots.iter().flat_map(|snapshot| &snapshot.servers).map(Row::to_json).collect();
    let clusters: Vec<Json> = snapshots
        .iter()
        .filter_map(|snapshot| snapshot.cluster.as_ref())
        .map(ClusterSummary::to_json)
        .collect();
    let word = if verdict(snapshots) == Verdict::Good { "good" } else { "bad" };
    let mut json = json!({ "verdict": word, "servers": servers });
    if !clusters.is_empty() {
        json["clusters"] = clusters.into();
    }
    json
}

/// The configuration and the address of one server, or the name of a service.
fn asked(global: &Global, url: &str) -> Result<(Config, String), Failure> {
    let config = connect::config(global, url)?;
    let place = connect::place(&config);
    Ok((config, place))
}

impl Snapshot {
    /// Asks one server, and tries whether those that it names can be reached.
    pub(crate) async fn take(session: &mut Session, address: &str) -> Result<Self> {
        let info = Info::of(session).await?;
        Ok(Self::with(session, address, &info).await)
    }

    /// As [`take`](Self::take), of a server that told this of itself.
    async fn with(session: &mut Session, address: &str, info: &Info) -> Self {
        // Of a replica, ROLE tells how its link is while it is not up.
        let link = match session.call(cmd("ROLE")).await {
            Ok(Value::Array(report)) => report.get(3).and_then(Value::as_str).map(str::to_owned),
            _ => None,
        };
        let offset = info.offset();
        let mut servers = vec![Row {
            address: address.to_owned(),
            role: if info.is_cluster() {
                format!("{} of a cluster", info.role())
            } else {
                info.role().to_owned()
            },
            state: info.server(),
            offset,
            behind: None,
            lag: None,
            from_here: "open",
            sound: true,
            member: None,
        }];
        let reached = reach(neighbours(info), REACH).await;
        servers.extend(reached.into_iter().map(|server| row(server, offset, link.as_deref())));
        Self { servers, cluster: None }
    }

    /// Asks the sentinels of a service, then the master that they tell.
    ///
    /// # Errors
    /// None of the sentinels can be asked.
    pub(crate) async fn of_service(config: &Config, service: &str, blocking: bool) -> Result<Self> {
        let asked_sentinels = sentinels::ask_all(config, blocking).await;
        let believed = sentinels::believed(&asked_sentinels);
        let mut servers: Vec<Row> = asked_sentinels
            .iter()
            .map(|asked_sentinel| sentinel_row(asked_sentinel, believed.as_ref()))
            .collect();
        let address = believed.map_or_else(|| service.to_owned(), |master| master.to_string());
        let snapshot = match Session::open(config.clone(), blocking).await {
            Ok(mut session) => Self::take(&mut session, &address).await,
            Err(error) => Err(error),
        };
        match snapshot {
            Ok(master) => servers.extend(master.servers),
            Err(error) if sentinels::answers(&asked_sentinels).next().is_none() => return Err(error),
            Err(error) => servers.push(unreached(address, &error)),
        }
        let known = sentinels::answers(&asked_sentinels).flat_map(|report| &report.replicas);
        for replica in known.filter(|replica| !is_well(replica)) {
            if let Ok(address) = replica.address().map(|address| address.to_string())
                && servers.iter().all(|row| row.address != address)
            {
                servers.push(missing(address, replica.flags()));
            }
        }
        Ok(Self { servers, cluster: None })
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.servers.iter().all(|row| row.sound) && self.cluster.as_ref().is_none_or(ClusterSummary::is_sound)
    }
}

/// Whether a sentinel sees nothing wrong with it.
fn is_well(instance: &Instance) -> bool {
    !instance.is_down() && instance.is_reached()
}

/// The role of sentinels, which hold no data.
const SENTINEL: &str = "sentinel";

fn sentinel_row(asked_sentinel: &AskedSentinel, believed: Option<&HostPort>) -> Row {
    let master = asked_sentinel.master();
    let state = match (&asked_sentinel.report, &master) {
        (Err(error), _) => error.message().to_owned(),
        (Ok(report), None) => match &report.master {
            Err(error) if !sentinels::is_unknown(error) => error.message().to_owned(),
            _ => "knows no such service".to_owned(),
        },
        (Ok(report), Some(master)) => {
            let down = report.master.as_ref().is_ok_and(|at| !is_well(at));
            format!("tells {master}{}", if down { ", and that it is down" } else { "" })
        }
    };
    let settled = |report: &SentinelReport| {
        report.lacks_quorum().is_none() && report.master.as_ref().is_ok_and(is_well)
    };
    let agrees = master.is_some() && master.as_ref() == believed;
    Row {
        address: asked_sentinel.address.to_string(),
        role: SENTINEL.to_owned(),
        state,
        offset: None,
        behind: None,
        lag: None,
        from_here: asked_sentinel.reached(),
        sound: agrees && asked_sentinel.report.as_ref().is_ok_and(settled),
        member: None,
    }
}

/// The master, of which only the sentinels tell.
fn unreached(address: String, error: &Error) -> Row {
    let from_here = sentinels::word(error);
    Row { from_here, ..silent(address, "master", error.message()) }
}

/// A replica that only the sentinels tell of, and that they take for dead.
fn missing(address: String, flags: &str) -> Row {
    silent(address, "replica", flags)
}

fn silent(address: String, role: &str, state: &str) -> Row {
    let (offset, behind, lag) = (None, None, None);
    let (role, state) = (role.to_owned(), state.to_owned());
    Row { address, role, state, offset, behind, lag, from_here: "not tried", sound: false, member: None }
}

fn row(server: Reached, offset: Option<u64>, link: Option<&str>) -> Row {
    let Reached { role, peer, result } = server;
    let sound = matches!(peer.state.as_str(), "online" | "up");
    let state = match link {
        Some(link) if role == "master" && !sound => format!("link {} ({link})", peer.state),
        _ if role == "master" => format!("link {}", peer.state),
        _ => peer.state.clone(),
    };
    Row {
        address: format!("{}:{}", peer.host, peer.port),
        role: role.to_owned(),
        state,
        offset: peer.offset,
        behind: offset.zip(peer.offset).map(|(ours, theirs)| ours.saturating_sub(theirs)),
        lag: peer.lag,
        from_here: result.as_ref().map_or_else(word, |_| "open"),
        sound,
        member: None,
    }
}

impl Row {
    fn to_json(&self) -> Json {
        let mut json = json!({
            "address": self.address, "role": self.role, "state": self.state, "offset": self.offset,
            "behind": self.behind, "lag_seconds": self.lag, "from_here": self.from_here, "sound": self.sound,
        });
        if let Some(member) = &self.member {
            member.add_to(&mut json);
        }
        json
    }

    /// What is told of it beside its address, role and state.
    pub(crate) fn rest(&self) -> String {
        let mut parts = self.member.as_ref().map(Membership::describe).unwrap_or_default();
        if let Some(offset) = self.offset {
            parts.push(format!("offset {offset}"));
        }
        if let Some(behind) = self.behind {
            parts.push(format!("{behind} bytes behind"));
        }
        if let Some(lag) = self.lag {
            parts.push(format!("heard of {lag} s ago"));
        }
        parts.push(match self.from_here {
            "open" => "reachable from here".to_owned(),
            why => format!("from here: {why}"),
        });
        parts.join(", ")
    }
}

fn line(row: &Row, indented: bool) -> String {
    let style = if row.sound { GOOD } else { BAD };
    let branch = if indented { "└ " } else { "" };
    format!(
        "{branch}{:<8} {:<22} {style}{}{style:#}  {DIM}{}{DIM:#}",
        row.role,
        row.address,
        row.state,
        row.rest()
    )
}
