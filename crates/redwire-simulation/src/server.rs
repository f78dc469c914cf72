//! A model server at the network: what it is told, and what befalls it.
//!
//! This file must not know who its clients are, nor when faults come.

use std::time::Duration;

use redwire_model::{ClientId, Model};

use crate::faults::REFUSALS;

/// How a server meets those who want to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Door {
    /// No one listens.
    Refuses,
    /// Nothing is answered.
    Silent,
    /// Handshakes are answered, and the first command after them has the connection closed.
    HandshakesOnly,
    /// Each connection is accepted, and closed when it has sent so many bytes: some calls are answered.
    ClosesAfter(u64),
    #[default]
    Open,
}

/// What can be seen of a handshake in its bytes.
const HANDSHAKE: [&[u8]; 2] = [b"HELLO", b"SETINFO"];

/// Whether `part` stands somewhere in `bytes`.
pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

impl Door {
    /// Whether a connection that sends this is closed for it.
    pub(crate) fn closes_at(self, bytes: &[u8]) -> bool {
        self == Self::HandshakesOnly && !HANDSHAKE.iter().any(|word| contains(bytes, word))
    }
}

/// A server and what is wrong with it and the way to it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) model: Model,
    /// Where clients and other servers reach it.
    pub(crate) address: (String, u16),
    /// It has ended, and will be back.
    pub(crate) is_down: bool,
    /// The other servers do not reach it, nor it them.
    pub(crate) is_cut_off: bool,
    /// Whose replica it is, and whether it needs all of that one's data.
    pub(crate) followed: Option<usize>,
    pub(crate) needs_sync: bool,
    pub(crate) door: Door,
    /// The process stands still: nothing is read, and the kernel accepts for it.
    pub(crate) is_frozen: bool,
    /// What clients send does not arrive until this ends.
    pub(crate) holds_up: bool,
    /// What it sends does not arrive until this ends.
    pub(crate) holds_down: bool,
    /// The connection by which faults are brought about that need commands.
    admin: ClientId,
    /// Which password it has, where it has one.
    pub(crate) password: Option<u32>,
    /// What was due until then was done.
    handled: Option<Duration>,
}

impl Server {
    /// A server that the model is, with the first password if it has one.
    pub(crate) fn new(mut model: Model, address: (String, u16), has_password: bool) -> Self {
        let admin = model.connect("127.0.0.1:1", Duration::ZERO);
        let mut server = Self {
            model,
            address,
            is_down: false,
            is_cut_off: false,
            followed: None,
            needs_sync: false,
            door: Door::Open,
            is_frozen: false,
            holds_up: false,
            holds_down: false,
            admin,
            password: has_password.then_some(0),
            handled: None,
        };
        server.authenticate(Duration::ZERO);
        server
    }

    /// The words of a password.
    pub(crate) fn password(number: u32) -> String {
        format!("password{number}")
    }

    fn authenticate(&mut self, now: Duration) {
        // The last may not have been heard, as while it was hung up on at the same time.
        for number in self.password.map(|last| 0..=last).into_iter().flatten() {
            self.say(&format!("AUTH {}", Self::password(number)), now);
        }
    }

    /// Carries out a command, whatever the clients may.
    pub(crate) fn command(&mut self, line: &str, now: Duration) {
        // What the faults refuse is refused again once this is done.
        for condition in REFUSALS {
            self.model.set(condition, false, now);
        }
        self.revive(now);
        self.say(line, now);
    }

    /// Connects again, if it was hung up on. While the server is full, that is too late.
    pub(crate) fn revive(&mut self, now: Duration) {
        if self.is_locked_out() {
            self.model.disconnect(self.admin, now);
            self.admin = self.model.connect("127.0.0.1:1", now);
            self.authenticate(now);
        }
    }

    /// Whether the administrator is refused, or was hung up on.
    pub(crate) fn is_locked_out(&self) -> bool {
        self.model.is_closing(self.admin)
    }

    /// Says a line, and gives what was answered at once.
    fn say(&mut self, line: &str, now: Duration) -> String {
        self.model.receive(self.admin, format!("{line}\r\n").as_bytes(), now);
        String::from_utf8_lossy(&self.model.transmit(self.admin)).into_owned()
    }

    /// What it answers to a command; `None` while it does not answer.
    pub(crate) fn ask(&mut self, line: &str, now: Duration) -> Option<String> {
        if self.is_frozen || self.is_down {
            return None;
        }
        self.revive(now);
        let answer = self.say(line, now);
        if answer.is_empty() {
            // It would come later, and be taken for that to another question.
            self.model.kill_client(self.admin, now);
        }
        Some(answer).filter(|answer| !answer.is_empty() && !answer.starts_with('-'))
    }

    /// Says a line to which the answer may come later, or not at all.
    pub(crate) fn tell(&mut self, line: &str, now: Duration) {
        if !self.is_frozen && !self.is_down {
            self.revive(now);
            self.say(line, now);
        }
    }

    /// Whether this is its address.
    pub(crate) fn is_at(&self, host: &str, port: u16) -> bool {
        self.address.0 == host && self.address.1 == port
    }

    /// Whether other servers are in touch with it.
    pub(crate) fn is_reached(&self) -> bool {
        !self.is_down && !self.is_cut_off
    }

    /// Has a new password beside the former one; says which.
    pub(crate) fn change_password(&mut self, now: Duration) -> String {
        let number = self.password.map_or(0, |number| number + 1);
        let next = Self::password(number);
        self.command(&format!("ACL SETUSER default >{next}"), now);
        self.password = Some(number);
        next
    }

    /// Knows the last password only.
    pub(crate) fn forget_passwords(&mut self, now: Duration) {
        let Some(number) = self.password else { return };
        // After a restart it has the first password again.
        self.revive(now);
        self.say(&format!("ACL SETUSER default resetpass >{}", Self::password(number)), now);
    }

    /// When it wants to do something by itself.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        let next = self.model.next_timeout()?;
        // What is not done by then is done later: time must go on.
        Some(self.handled.map_or(next, |handled| next.max(handled + Duration::from_millis(1))))
    }

    /// Does what is due; says whether there was something.
    pub(crate) fn handle_timeout(&mut self, now: Duration) -> bool {
        let is_due = self.next_timeout().is_some_and(|at| at <= now);
        if is_due {
            self.model.handle_timeout(now);
            self.handled = Some(now);
        }
        is_due
    }

    pub(crate) fn is_admin(&self, client: ClientId) -> bool {
        client == self.admin
    }
}
