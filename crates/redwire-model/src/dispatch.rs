//! From a request to its reply: which command it is, whether it is refused, queued, postponed or carried out.
//!
//! The order of the checks is that of real servers, since it decides which of two refusals a client sees.
//! This file must not know what a command does.

use crate::client::{Client, Replies};
use crate::commands::{Args, Command, Lookup, find, reply_name, sentinel, wrong_arity};
use crate::conditions::Condition;
use crate::context::Context;
use crate::log::Executed;
use crate::model::{ClientId, Model};
use crate::reply::{Refusal, Reply, refusal};
use crate::request::Words;

/// How a command is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By itself.
    Alone,
    /// In a transaction or a script: it may not wait.
    Within,
    /// Once more, for a client that waits.
    Again,
}

impl Model {
    /// Carries out what a client has sent, as far as it goes.
    pub(crate) fn process(&mut self, id: u64) {
        loop {
            if self.is_migrating() {
                return;
            }
            let client = self.clients.get_mut(&id);
            let Some(client) = client.filter(|client| client.blocked.is_none() && !client.closing) else {
                return;
            };
            if let Some(args) = client.postponed.take() {
                self.request(id, args);
            } else {
                let guest = client.user.is_none();
                match client.requests.next(guest, self.config.bulk_max()) {
                    Ok(None) => return,
                    Ok(Some(args)) if args.is_empty() => continue,
                    Ok(Some(args)) => self.request(id, args),
                    Err(error) => {
                        client.reply(&Reply::Error(error.0.into()));
                        self.close(id, false);
                    }
                }
            }
            if self.clients.get(&id).is_some_and(|client| client.postponed.is_some()) {
                return;
            }
            self.serve_waiting();
        }
    }

    /// One request.
    fn request(&mut self, id: u64, args: Words) {
        self.expire_keys();
        self.stats.commands += 1;
        let found = self.lookup(&args);
        if let Ok(command) = &found
            && self.is_paused_for(id, command)
        {
            if let Some(client) = self.clients.get_mut(&id) {
                client.postponed = Some(args);
            }
            return;
        }
        if let Some(client) = self.clients.get_mut(&id)
            && client.replies == Replies::SkipNext
        {
            client.replies = Replies::Skip;
        }
        let is_asking = found.as_ref().is_ok_and(|command| command.name == "ASKING");
        let is_client = found.as_ref().is_ok_and(|command| command.name.starts_with("CLIENT "));
        self.executing = Some(id);
        let reply = match found.and_then(|command| self.check(id, command, &args).map(|()| command)) {
            Err(refusal) => self.refuse(id, &args, &refusal),
            Ok(command) if self.is_queued(id, command) => self.queue(id, args),
            Ok(command) => self.run(id, command, &args, Mode::Alone),
        };
        self.executing = None;
        if matches!(reply, Reply::Error(_)) {
            self.stats.errors += 1;
        }
        self.write_reply(id, &reply);
        if let Some(client) = self.clients.get_mut(&id) {
            if client.replies == Replies::Skip {
                client.replies = Replies::On;
            }
            if !is_asking {
                client.asking = false;
            }
            if client.transaction.is_none() && !is_client {
                client.caching = None;
            }
        }
        if self.commit() {
            let offset = self.replication.offset;
            if let Some(client) = self.clients.get_mut(&id) {
                client.written = offset;
            }
        }
    }

    /// Which command a request asks for.
    pub(crate) fn lookup(&self, args: &[Vec<u8>]) -> Result<&'static Command, Refusal> {
        let text = |word: &[u8]| String::from_utf8_lossy(&word[..word.len().min(128)]).into_owned();
        let found = match find(args) {
            Lookup::Known(command) if !self.is_offered(command) => Lookup::Unknown,
            found => found,
        };
        match found {
            Lookup::Known(command) if command.takes(args.len()) => Ok(command),
            Lookup::Known(command) => Err(wrong_arity(command.name)),
            Lookup::Unmodelled(name) => Err(Refusal::new(format!(
                "ERR the model server does not know the command '{name}': redwire_model::commands() lists \
                 what it knows"
            ))),
            Lookup::UnknownSubcommand(name) => {
                Err(Refusal::new(format!("ERR unknown subcommand '{}'. Try {name} HELP.", text(&args[1]))))
            }
            Lookup::Unknown => {
                let mut said = String::new();
                for word in &args[1..] {
                    if said.len() >= 128 {
                        break;
                    }
                    let room = 128 - said.len();
                    said.push_str(&format!("'{}' ", String::from_utf8_lossy(&word[..word.len().min(room)])));
                }
                let name = text(&args[0]);
                Err(Refusal::new(format!("ERR unknown command '{name}', with args beginning with: {said}")))
            }
        }
    }

    /// Whether there is such a command for what the server is.
    fn is_offered(&self, command: &Command) -> bool {
        if self.services.is_some() { sentinel::is_allowed(command) } else { !command.has("only_sentinel") }
    }

    /// Whether a command is refused before it is looked at.
    fn check(&self, id: u64, command: &Command, args: &[Vec<u8>]) -> Result<(), Refusal> {
        let Some(client) = self.clients.get(&id) else { return Ok(()) };
        if client.user.is_none() && !command.has("no_auth") {
            return Err(refusal("NOAUTH Authentication required."));
        }
        if client.transaction.is_some() && command.has("no_multi") {
            return Err(refusal("ERR Command not allowed inside a transaction"));
        }
        if let Some(user) = &client.user {
            self.acl.check(user, command, args)?;
        }
        self.check_slots(id, command, args)?;
        let queued: Vec<&Command> = self.executes(client, command).map(|(command, _)| command).collect();
        let any = |flag: &str| command.has(flag) || queued.iter().any(|command| command.has(flag));
        self.check_conditions(client.transaction.is_some(), command, any)?;
        if !client.resp3 && client.is_subscriber() && !may_run_subscribed(command.name) {
            let name = reply_name(command.name);
            return Err(Refusal::new(format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
                 are allowed in this context"
            )));
        }
        Ok(())
    }

    /// What the server's state forbids.
    fn check_conditions(
        &self,
        in_transaction: bool,
        command: &Command,
        any: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        if self.is(Condition::OutOfMemory) && any("denyoom") {
            return Err(refusal("OOM command not allowed when used memory > 'maxmemory'."));
        }
        if self.is(Condition::CannotSave) && (any("write") || command.name == "PING") {
            return Err(refusal(
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to \
                 disk. Commands that may modify the data set are disabled, because this instance is \
                 configured to report errors during writes if RDB snapshotting fails \
                 (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB \
                 error.",
            ));
        }
        if self.is(Condition::TooFewReplicas) && any("write") {
            return Err(refusal("NOREPLICAS Not enough good replicas to write."));
        }
        if self.role() == "slave" && any("write") {
            return Err(refusal("READONLY You can't write against a read only replica."));
        }
        if self.is(Condition::MasterDown) && !command.has("stale") {
            return Err(refusal(
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            ));
        }
        if self.is(Condition::Loading) && !command.has("loading") {
            return Err(refusal("LOADING Redis is loading the dataset in memory"));
        }
        let may_run = command.has("allow_busy") || matches!(command.name, "SCRIPT KILL" | "SHUTDOWN");
        if self.is(Condition::Busy) && !may_run && !(in_transaction && command.name == "EXEC") {
            return Err(refusal(
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            ));
        }
        Ok(())
    }

    /// The reply to a request that is refused. A transaction it was to be part of will not be executed.
    fn refuse(&mut self, id: u64, args: &[Vec<u8>], refusal: &Refusal) -> Reply {
        let Some(client) = self.clients.get_mut(&id) else { return Reply::Nothing };
        if let Some(transaction) = &mut client.transaction {
            transaction.failed = true;
        }
        if args[0].eq_ignore_ascii_case(b"exec") {
            client.transaction = None;
            self.unwatch(id);
            let why = refusal.0.strip_prefix("ERR ").unwrap_or(&refusal.0);
            return Reply::Error(format!("EXECABORT Transaction discarded because of: {why}").into());
        }
        Reply::Error(refusal.0.clone())
    }

    fn is_queued(&self, id: u64, command: &Command) -> bool {
        let in_transaction = self.clients.get(&id).is_some_and(|client| client.transaction.is_some());
        in_transaction && !matches!(command.name, "EXEC" | "DISCARD" | "MULTI" | "WATCH" | "QUIT" | "RESET")
    }

    fn queue(&mut self, id: u64, args: Words) -> Reply {
        if let Some(client) = self.clients.get_mut(&id)
            && let Some(transaction) = &mut client.transaction
        {
            transaction.queue.push(args);
        }
        Reply::Simple("QUEUED".into())
    }

    /// Carries a command out, and notes that.
    pub(crate) fn run(&mut self, id: u64, command: &'static Command, args: &[Vec<u8>], mode: Mode) -> Reply {
        let before = self.dirty;
        let (may_wait, again) = (mode != Mode::Within, mode == Mode::Again);
        let database = self.clients.get(&id).map_or(0, |client| client.database);
        self.tell_monitors(id, command, args, mode);
        if let Some(client) = self.clients.get_mut(&id) {
            client.last_command = Some(command);
        }
        let outcome = (command.run)(&mut Context { model: self, id, may_wait, again }, args);
        let reply = Reply::from(outcome);
        self.track_reads(id, command, args);
        if self.options.log && reply != Reply::Nothing {
            let error = if let Reply::Error(line) = &reply { Some(line.to_string()) } else { None };
            let (client, changed) = (ClientId(id), self.dirty != before);
            let words = args.to_vec();
            self.log.push(Executed { at: self.now, client, database, words, changed, error });
        }
        reply
    }

    /// Finds a command for a script or a transaction, and carries it out.
    pub(crate) fn run_within(&mut self, id: u64, args: &[Vec<u8>]) -> Reply {
        self.expire_keys();
        let user = self.clients.get(&id).and_then(|client| client.user.clone());
        let found = self.lookup(args).and_then(|command| {
            user.map_or(Ok(()), |user| self.acl.check(&user, command, args)).map(|()| command)
        });
        match found {
            Ok(command) => self.run(id, command, args, Mode::Within),
            Err(refusal) => Reply::Error(refusal.0),
        }
    }

    /// Tries the commands again that wait for a key which was modified.
    pub(crate) fn serve_waiting(&mut self) {
        while let Some(place) = self.ready_keys.pop_front() {
            for id in self.waiting.get(&place).cloned().unwrap_or_default() {
                let blocked = self.clients.get(&id).and_then(|client| client.blocked.as_ref());
                let Some(args) = blocked.map(|blocked| blocked.args.clone()) else { continue };
                let Ok(command) = self.lookup(&args) else { continue };
                if !self.may_serve(command, &place) {
                    continue;
                }
                self.executing = Some(id);
                let reply = self.run(id, command, &args, Mode::Again);
                self.executing = None;
                self.commit();
                if reply == Reply::Nothing {
                    self.wait_behind_others(id);
                } else if self.unblock(id).is_some() {
                    self.write_reply(id, &reply);
                }
            }
        }
    }

    /// Whether a key holds what a command waits for. What reads in a group is told even if its key is gone.
    fn may_serve(&self, command: &Command, place: &(usize, Vec<u8>)) -> bool {
        let kind = self.databases[place.0].get(&place.1).map(crate::value::Value::kind);
        let awaited = match command.name {
            "XREADGROUP" => return true,
            "XREAD" => "stream",
            "BZMPOP" | "BZPOPMIN" | "BZPOPMAX" => "zset",
            _ => "list",
        };
        kind == Some(awaited)
    }

    fn is_paused_for(&self, id: u64, command: &Command) -> bool {
        let Some(pause) = self.pause.filter(|pause| pause.until > self.now) else { return false };
        let Some(client) = self.clients.get(&id) else { return false };
        !pause.writes_only
            || command.may_replicate()
            || self.executes(client, command).any(|(command, _)| command.may_replicate())
    }

    /// The commands that a client has queued, if it now says `EXEC`.
    pub(crate) fn executes<'a>(
        &'a self,
        client: &'a Client,
        command: &Command,
    ) -> impl Iterator<Item = (&'static Command, Args<'a>)> {
        let transaction = client.transaction.as_ref().filter(|_| command.name == "EXEC");
        let queue = transaction.into_iter().flat_map(|transaction| &transaction.queue);
        queue.filter_map(|args| Some((self.lookup(args).ok()?, args.as_slice())))
    }
}

/// What a client that speaks RESP2 may still say once it has subscribed.
fn may_run_subscribed(name: &str) -> bool {
    matches!(
        name,
        "SUBSCRIBE"
            | "UNSUBSCRIBE"
            | "PSUBSCRIBE"
            | "PUNSUBSCRIBE"
            | "SSUBSCRIBE"
            | "SUNSUBSCRIBE"
            | "PING"
            | "QUIT"
            | "RESET"
    )
}
