//! Which node a command belongs to, as this one believes.
//!
//! This file must not know how a belief comes about.

use super::{Cluster, slot_of};
use crate::commands::{Args, Command};
use crate::model::Model;
use crate::reply::{Refusal, refusal};

impl Model {
    /// Whether this node serves a command, or where it belongs.
    pub(crate) fn check_slots(&self, id: u64, command: &Command, args: Args<'_>) -> Result<(), Refusal> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let Some(client) = self.clients.get(&id) else { return Ok(()) };
        let mut keys: Vec<&Vec<u8>> = keys(command, args);
        let mut writes = !command.has("readonly");
        for (command, args) in self.executes(client, command) {
            keys.extend(self::keys(command, args));
            writes |= command.has("write");
        }
        let Some(first) = keys.first() else { return Ok(()) };
        let slot = slot_of(first);
        if keys.iter().any(|key| slot_of(key) != slot) {
            return Err(refusal("CROSSSLOT Keys in request don't hash to the same slot"));
        }
        let Some(owner) = cluster.owners[usize::from(slot)] else {
            return Err(refusal("CLUSTERDOWN Hash slot not served"));
        };
        if !cluster.is_ok(self.now) {
            return Err(refusal("CLUSTERDOWN The cluster is down"));
        }
        let is_moving = cluster.migrating.contains_key(&slot) || cluster.importing.contains_key(&slot);
        if is_moving && command.name == "MIGRATE" {
            return Ok(());
        }
        let is_channel = command.has_shard_channels();
        let missing = keys.iter().filter(|key| !self.databases[0].contains(key)).count();
        let try_again = refusal("TRYAGAIN Multiple keys request during rehashing of slot");
        if owner == 0 {
            return match cluster.migrating.get(&slot) {
                Some(target) if missing > 0 && !is_channel => {
                    if missing < keys.len() {
                        Err(try_again)
                    } else {
                        Err(elsewhere(cluster, "ASK", slot, *target))
                    }
                }
                _ => Ok(()),
            };
        }
        if cluster.importing.contains_key(&slot) && (client.asking || command.name == "RESTORE-ASKING") {
            return if missing > 0 && keys.len() > 1 { Err(try_again) } else { Ok(()) };
        }
        if cluster.master_of(0) == owner && (is_channel || client.reads_replica && !writes) {
            return Ok(());
        }
        Err(elsewhere(cluster, "MOVED", slot, owner))
    }
}

/// What decides the slot of a command: its keys, or its shard channels.
fn keys<'a>(command: &Command, args: Args<'a>) -> Vec<&'a Vec<u8>> {
    match command.name {
        "MIGRATE" if args[3].is_empty() => {
            let words = args.iter().position(|word| word.eq_ignore_ascii_case(b"keys"));
            words.map_or_else(Vec::new, |at| args[at + 1..].iter().collect())
        }
        _ => command.keys_of(args),
    }
}

fn elsewhere(cluster: &Cluster, word: &str, slot: u16, at: usize) -> Refusal {
    let node = &cluster.nodes[at].node;
    Refusal::new(format!("{word} {slot} {}:{}", node.host, node.port))
}
