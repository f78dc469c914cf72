//! Which clients must be told that a key they may keep was modified.
//!
//! This file must not know how commands name the options.

use std::collections::{BTreeMap, BTreeSet};

use crate::commands::Command;
use crate::model::Model;
use crate::reply::Reply;

/// The channel on which a client that speaks RESP2 is told.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// What a client has asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracked {
    /// Who is told instead.
    pub(crate) redirect: Option<u64>,
    pub(crate) broken: bool,
    pub(crate) broadcast: bool,
    pub(crate) prefixes: BTreeSet<Vec<u8>>,
    pub(crate) optin: bool,
    pub(crate) optout: bool,
    pub(crate) noloop: bool,
}

/// Who has read what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracking {
    readers: BTreeMap<Vec<u8>, BTreeSet<u64>>,
    /// Keys that those who hear of all keys with a prefix are told at the end of the turn, and who modified
    /// each last.
    announced: BTreeMap<Vec<u8>, Option<u64>>,
}

impl Model {
    /// Whether a client is to be told of keys, so that they must end in time.
    pub(crate) fn is_heard(&self) -> bool {
        self.clients.values().any(|client| client.tracking.is_some() || client.blocked.is_some())
    }

    /// How many keys clients may have in their caches.
    pub(crate) fn tracked_keys(&self) -> usize {
        self.tracking.readers.len()
    }

    /// Remembers the keys that a client has read.
    pub(crate) fn track_reads(&mut self, id: u64, command: &Command, args: &[Vec<u8>]) {
        if !command.has("readonly") {
            return;
        }
        let Some(client) = self.clients.get(&id) else { return };
        let Some(tracked) = client.tracking.as_ref().filter(|tracked| !tracked.broadcast) else { return };
        let wanted = match client.caching {
            Some(wanted) => wanted,
            None => !tracked.optin,
        };
        if wanted {
            for key in command.keys_of(args) {
                self.tracking.readers.entry(key.clone()).or_default().insert(id);
            }
        }
    }

    /// A key was modified.
    pub(crate) fn invalidate(&mut self, key: &[u8], by: Option<u64>) {
        if self
            .clients
            .values()
            .any(|client| client.tracking.as_ref().is_some_and(|tracked| tracked.broadcast))
        {
            self.tracking.announced.insert(key.to_vec(), by);
        }
        for id in self.tracking.readers.remove(key).unwrap_or_default() {
            let Some(tracked) = self.clients.get(&id).and_then(|client| client.tracking.as_ref()) else {
                continue;
            };
            if tracked.broadcast || tracked.noloop && by == Some(id) {
                continue;
            }
            self.tell_invalid(id, Some(&[key.to_vec()]));
        }
    }

    /// All keys of a database are gone. What the client itself is told, who did that, is returned; in a
    /// transaction it waits for its end.
    pub(crate) fn invalidate_all(&mut self, by: u64, within: bool) -> Option<Reply> {
        self.tracking.readers.clear();
        for id in self.clients_that(|client| client.tracking.is_some()) {
            self.tell_invalid(id, None);
        }
        let client = self.clients.get_mut(&by).filter(|_| !within)?;
        let is_own = |push: &Reply| matches!(push, Reply::Push(parts) if parts.last() == Some(&Reply::Null));
        let at = client.deferred.iter().position(is_own)?;
        Some(client.deferred.remove(at))
    }

    /// Tells those who asked for all keys with a prefix.
    pub(crate) fn broadcast_invalidations(&mut self) {
        let announced = std::mem::take(&mut self.tracking.announced);
        if announced.is_empty() {
            return;
        }
        let mut told = Vec::new();
        for client in self.clients.values() {
            let Some(tracked) = client.tracking.as_ref().filter(|tracked| tracked.broadcast) else {
                continue;
            };
            for prefix in &tracked.prefixes {
                let keys: Vec<Vec<u8>> = announced
                    .iter()
                    .filter(|(key, by)| {
                        key.starts_with(prefix) && !(tracked.noloop && **by == Some(client.id))
                    })
                    .map(|(key, _)| key.clone())
                    .collect();
                if !keys.is_empty() {
                    told.push((client.id, keys));
                }
            }
        }
        for (id, keys) in told {
            self.tell_invalid(id, Some(&keys));
        }
    }

    /// Tells a client, or the one it named, that keys are not valid any more; all of them without a list.
    fn tell_invalid(&mut self, id: u64, keys: Option<&[Vec<u8>]>) {
        let Some(tracked) = self.clients.get_mut(&id).and_then(|client| client.tracking.as_mut()) else {
            return;
        };
        let target = tracked.redirect.unwrap_or(id);
        let is_gone = self.clients.get(&target).is_none_or(|client| client.closing);
        if is_gone {
            self.tell_broken(id);
            return;
        }
        let Some(client) = self.clients.get(&target) else { return };
        let list = keys.map_or(Reply::Null, |keys| Reply::list(keys.iter().cloned()));
        if client.resp3 {
            self.push(target, Reply::Push(vec![Reply::bulk("invalidate"), list]));
        } else if client.channels.contains(CHANNEL) {
            let list = keys.map_or(Reply::NullArray, |keys| Reply::list(keys.iter().cloned()));
            self.push(target, Reply::Push(vec![Reply::bulk("message"), Reply::bulk(CHANNEL), list]));
        }
    }

    /// Tells the clients whose redirection went to one that is gone.
    pub(crate) fn tell_broken_redirections(&mut self, gone: u64) {
        for tracked in self.clients.values_mut().filter_map(|client| client.tracking.as_mut()) {
            tracked.broken |= tracked.redirect == Some(gone);
        }
    }

    fn tell_broken(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let target = client.tracking.as_mut().and_then(|tracked| {
            tracked.broken = true;
            tracked.redirect
        });
        if client.resp3 {
            let target = i64::try_from(target.unwrap_or(0)).unwrap_or(0);
            self.push(id, Reply::Push(vec![Reply::bulk("tracking-redir-broken"), Reply::Int(target)]));
        }
    }

    /// A client wants to hear no more. What it has read stays known: it is told of it if it begins anew.
    pub(crate) fn stop_tracking(&mut self, id: u64) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.tracking = None;
        }
    }

    /// A client goes.
    pub(crate) fn forget_reads(&mut self, id: u64) {
        self.stop_tracking(id);
        self.tracking.readers.retain(|_, readers| {
            readers.remove(&id);
            !readers.is_empty()
        });
    }
}
