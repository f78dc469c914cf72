//! What becomes of clients when keys change, or when they go themselves.
//!
//! This file must not know which command changed a key.

use crate::client::Blocked;
use crate::model::Model;
use crate::reply::Reply;

impl Model {
    /// Takes a command out of its wait, and lets the client's next requests go on.
    pub(crate) fn unblock(&mut self, id: u64) -> Option<Blocked> {
        let blocked = self.clients.get_mut(&id)?.blocked.take()?;
        for key in &blocked.keys {
            let place = (blocked.database, key.clone());
            if let Some(waiting) = self.waiting.get_mut(&place) {
                waiting.retain(|other| *other != id);
                if waiting.is_empty() {
                    self.waiting.remove(&place);
                }
            }
        }
        self.resumed.push_back(id);
        Some(blocked)
    }

    /// A client that was woken for nothing waits on, behind all others.
    pub(crate) fn wait_behind_others(&mut self, id: u64) {
        let Some(blocked) = self.clients.get(&id).and_then(|client| client.blocked.as_ref()) else { return };
        for key in &blocked.keys {
            if let Some(waiting) = self.waiting.get_mut(&(blocked.database, key.clone())) {
                waiting.retain(|other| *other != id);
                waiting.push(id);
            }
        }
    }

    /// Ends what a client waits for, watches, hears and caches.
    fn release(&mut self, id: u64) {
        self.unblock(id);
        self.unwatch(id);
        self.unsubscribe(id);
        self.forget_reads(id);
    }

    /// Forgets a client and all that it had.
    pub(crate) fn forget(&mut self, id: u64) {
        self.release(id);
        self.clients.remove(&id);
        self.ready.remove(&id);
        self.tell_broken_redirections(id);
    }

    /// Hangs up on a client, after its output or at once.
    pub(crate) fn close(&mut self, id: u64, at_once: bool) {
        self.release(id);
        if let Some(client) = self.clients.get_mut(&id) {
            client.closing = true;
            if at_once {
                client.output.clear();
                client.sent = 0;
            }
            self.ready.insert(id);
        }
        self.tell_broken_redirections(id);
    }

    pub(crate) fn unwatch(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.watch_broken = false;
        for place in std::mem::take(&mut client.watched) {
            if let Some(watchers) = self.watchers.get_mut(&place) {
                watchers.remove(&id);
                if watchers.is_empty() {
                    self.watchers.remove(&place);
                }
            }
        }
    }

    /// A key was modified: those that watch, track or wait for it are told.
    pub(crate) fn signal(&mut self, database: usize, key: &[u8], by: Option<u64>) {
        self.touch(database, key);
        self.invalidate(key, by);
        self.dirty += 1;
        self.changes.push((database, key.to_vec()));
    }

    /// A key may be another: those that watch or wait for it are told, but not those that track it.
    pub(crate) fn touch(&mut self, database: usize, key: &[u8]) {
        let place = (database, key.to_vec());
        if let Some(watchers) = self.watchers.get(&place) {
            for id in watchers {
                if let Some(client) = self.clients.get_mut(id) {
                    client.watch_broken = true;
                }
            }
        }
        if self.waiting.contains_key(&place) && !self.ready_keys.contains(&place) {
            self.ready_keys.push_back(place);
        }
    }

    /// Takes away the keys whose time has come.
    pub(crate) fn expire_keys(&mut self) {
        let now = self.unix_ms();
        for database in 0..self.databases.len() {
            while let Some(key) = self.databases[database].due(now) {
                self.databases[database].remove(&key);
                self.stats.expired += 1;
                self.signal(database, &key, None);
            }
        }
    }

    /// Writes a reply to a client, and pushes that waited for it.
    pub(crate) fn write_reply(&mut self, id: u64, reply: &Reply) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.reply(reply);
        for push in std::mem::take(&mut client.deferred) {
            client.push(&push);
        }
    }

    /// Writes what no request is owed. For the client whose command is being executed it waits for the reply.
    pub(crate) fn push(&mut self, id: u64, push: Reply) {
        let Some(client) = self.clients.get_mut(&id).filter(|client| !client.closing) else { return };
        if self.executing == Some(id) {
            client.deferred.push(push);
        } else {
            client.push(&push);
        }
    }
}
