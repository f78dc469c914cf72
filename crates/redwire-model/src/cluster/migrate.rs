//! Keys that go to another node, one parcel at a time.
//!
//! As real servers do, a node does nothing else until the other has answered, or time is up. This file must
//! not know slots.

use std::time::Duration;

use super::bus::{Kind, Message};
use crate::context::Context;
use crate::model::Model;
use crate::reply::{Outcome, Refusal, Reply, refusal};
use crate::value::Entry;

/// Keys on their way.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    number: u64,
    entries: Vec<(Vec<u8>, Entry)>,
    replaces: bool,
}

/// A `MIGRATE` that waits for the other node.
#[derive(Clone, Debug)]
pub(crate) struct Migration {
    number: u64,
    client: u64,
    keys: Vec<Vec<u8>>,
    copies: bool,
    pub(crate) until: Duration,
}

/// What `MIGRATE` was asked for.
pub(crate) struct Wanted {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) copies: bool,
    pub(crate) replaces: bool,
    pub(crate) limit: Duration,
}

/// Sends keys; the reply comes when the other node has answered.
pub(crate) fn send(cx: &mut Context<'_>, wanted: Wanted) -> Outcome {
    if !cx.may_wait {
        return Err(refusal("ERR the model server migrates no keys in a transaction or a script"));
    }
    let entries: Vec<(Vec<u8>, Entry)> =
        wanted.keys.iter().filter_map(|key| Some((key.clone(), cx.db().entry(key)?.clone()))).collect();
    if entries.is_empty() {
        return Ok(Reply::Simple("NOKEY".into()));
    }
    let (id, until, number) = (cx.id, cx.model.now + wanted.limit, cx.model.dirty + 1);
    cx.model.dirty += 1;
    let io_error = refusal("IOERR error or timeout writing to target instance");
    let Some(cluster) = &mut cx.model.cluster else { return Err(io_error) };
    let to = cluster
        .nodes
        .iter()
        .position(|known| known.node.host == wanted.host && known.node.port == wanted.port);
    let Some(to) = to.filter(|to| *to != 0) else { return Err(io_error) };
    let keys = entries.iter().map(|(key, _)| key.clone()).collect();
    cluster.send(to, Message(Kind::Parcel(Parcel { number, entries, replaces: wanted.replaces })));
    cluster.migration = Some(Migration { number, client: id, keys, copies: wanted.copies, until });
    Ok(Reply::Nothing)
}

impl Model {
    /// Whether the node waits for another, and does nothing else.
    pub(crate) fn is_migrating(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.migration.is_some())
    }

    pub(super) fn handle_parcel(&mut self, from: &str, parcel: Parcel, now: Duration) {
        let is_there = parcel.entries.iter().any(|(key, _)| self.databases[0].contains(key));
        let result = if is_there && !parcel.replaces {
            Err("BUSYKEY Target key name already exists.".to_owned())
        } else {
            for (key, entry) in parcel.entries {
                self.databases[0].insert(&key, entry);
                self.signal(0, &key, None);
                self.log_held(0, &key);
            }
            Ok(())
        };
        self.handle_timeout(now);
        let Some(cluster) = &mut self.cluster else { return };
        if let Some(to) = cluster.find(from) {
            cluster.send(to, Message(Kind::Received(parcel.number, result)));
        }
    }

    pub(super) fn handle_received(&mut self, number: u64, result: Result<(), String>, now: Duration) {
        let is_awaited = |migration: &Migration| migration.number == number;
        let Some(cluster) = &mut self.cluster else { return };
        if !cluster.migration.as_ref().is_some_and(is_awaited) {
            return;
        }
        let Some(migration) = cluster.migration.take() else { return };
        let reply = match result {
            Ok(()) => {
                if !migration.copies {
                    for key in &migration.keys {
                        self.databases[0].remove(key);
                        self.signal(0, key, None);
                        self.log_held(0, key);
                    }
                    self.commit();
                }
                crate::reply::OK
            }
            Err(why) => Reply::Error(format!("ERR Target instance replied with error: {why}").into()),
        };
        self.end_migration(migration.client, &reply);
        self.handle_timeout(now);
    }

    /// Gives a migration up whose time is up. The other node may have the keys.
    pub(crate) fn handle_migration_timeout(&mut self) {
        let now = self.now;
        let Some(cluster) = &mut self.cluster else { return };
        if let Some(migration) = cluster.migration.take_if(|migration| migration.until <= now) {
            let late = Refusal::new("IOERR error or timeout reading to target instance");
            self.end_migration(migration.client, &Reply::Error(late.0));
        }
    }

    fn end_migration(&mut self, client: u64, reply: &Reply) {
        self.write_reply(client, reply);
        let all: Vec<u64> = self.clients.keys().copied().collect();
        self.resumed.extend(all);
    }
}
