//! What the holder of a connection has done to it that the next must not find.
//!
//! Known from the commands' facts when they are sent, whatever the server answers; so it errs on the careful side. It must not know how a
//! connection is mended.

use crate::facts::{self, Facts, Session};

/// The state of one connection, as far as commands can change it.
///
/// ```
/// use redwire_core::dirt::{Dirt, Repair};
/// use redwire_core::facts;
///
/// let mut dirt = Dirt::new(0);
/// dirt.handle_command(&facts::MULTI);
/// assert_eq!(dirt.repair(0), Repair::Reset);
/// dirt.handle_command(&facts::DISCARD);
/// assert_eq!((dirt.repair(0), dirt.repair(5)), (Repair::None, Repair::Select));
/// ```
#[derive(Clone, Debug)]
pub struct Dirt {
    /// The database, while it is certain.
    db: Option<u32>,
    transaction: bool,
    watching: bool,
    changed: bool,
    spoilt: bool,
}

/// What a connection needs before somebody else may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    None,
    /// `SELECT` of the database that is wanted.
    Select,
    /// `RESET` and another handshake.
    Reset,
    /// It cannot be mended for sure: close it.
    Drop,
}

impl Dirt {
    /// A connection that has just shaken hands and uses `db`.
    #[must_use]
    pub fn new(db: u32) -> Self {
        Self { db: Some(db), transaction: false, watching: false, changed: false, spoilt: false }
    }

    /// A command is sent.
    #[inline]
    pub fn handle_command(&mut self, facts: &'static Facts) {
        if facts.session != Session::None {
            self.note(facts);
        }
    }

    #[cold]
    fn note(&mut self, facts: &'static Facts) {
        match facts.session {
            Session::None => {}
            Session::Selects => self.db = None,
            // EXEC and DISCARD, which also forget the watched keys, whatever they answer.
            Session::Transaction => {
                self.transaction = std::ptr::eq(facts, &facts::MULTI);
                self.watching &= self.transaction;
            }
            Session::Watches => self.watching = true,
            Session::Unwatches => self.watching = false,
            Session::Authenticates
            | Session::Greets
            | Session::Tracks
            | Session::Describes
            | Session::Asks
            | Session::Reads
            | Session::Resets => self.changed = true,
            // The number of answers is not that of the commands any more, or there will be none.
            Session::Subscribes
            | Session::Monitors
            | Session::Replies
            | Session::Quits
            | Session::Ends
            | Session::Replicates
            | Session::Debugs => self.spoilt = true,
        }
    }

    /// Bytes are sent of which nobody knows what they say.
    pub fn handle_unknown(&mut self) {
        self.spoilt = true;
    }

    /// What was done so far is how the connection is meant to be for all its users, unless it holds for one of them only, or cannot
    /// be mended.
    pub fn settle(&mut self, db: u32) {
        if self.repair(db) == Repair::Reset && !self.is_bound() {
            *self = Self::new(db);
        }
    }

    /// The database `db` was selected.
    pub fn handle_selected(&mut self, db: u32) {
        self.db = Some(db);
    }

    /// Whether a transaction is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.transaction
    }

    /// Whether a transaction is open, or keys are watched: what it says holds for this connection only.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.transaction || self.watching
    }

    /// What the next user, who wants `db`, must have done first.
    #[must_use]
    pub fn repair(&self, db: u32) -> Repair {
        if self.spoilt {
            Repair::Drop
        } else if self.transaction || self.watching || self.changed {
            Repair::Reset
        } else if self.db != Some(db) {
            Repair::Select
        } else {
            Repair::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(commands: &[&'static Facts]) -> Repair {
        let mut dirt = Dirt::new(0);
        commands.iter().for_each(|facts| dirt.handle_command(facts));
        dirt.repair(0)
    }

    #[test]
    fn each_command_that_changes_its_connection_is_known() {
        use facts::*;
        let table: &[(&[&'static Facts], Repair)] = &[
            (&[], Repair::None),
            (&[&GET, &SET, &BLPOP], Repair::None),
            (&[&SELECT], Repair::Select),
            (&[&MULTI], Repair::Reset),
            (&[&MULTI, &SET, &EXEC], Repair::None),
            (&[&WATCH, &MULTI, &DISCARD], Repair::None),
            (&[&WATCH], Repair::Reset),
            (&[&WATCH, &UNWATCH], Repair::None),
            (&[&WATCH, &MULTI], Repair::Reset),
            (&[&AUTH], Repair::Reset),
            (&[&HELLO], Repair::Reset),
            (&[&CLIENT_TRACKING], Repair::Reset),
            (&[&CLIENT_SETNAME], Repair::Reset),
            (&[&READONLY], Repair::Reset),
            (&[&RESET], Repair::Reset),
            (&[&SUBSCRIBE], Repair::Drop),
            (&[&SUBSCRIBE, &UNSUBSCRIBE], Repair::Drop),
            (&[&MONITOR, &RESET], Repair::Drop),
            (&[&CLIENT_REPLY], Repair::Drop),
        ];
        for (commands, repair) in table {
            let names: Vec<_> = commands.iter().map(|facts| facts.name).collect();
            assert_eq!(after(commands), *repair, "{names:?}");
        }
    }

    #[test]
    fn what_is_settled_is_no_dirt() {
        let settled = |commands: &[&'static Facts]| {
            let mut dirt = Dirt::new(0);
            commands.iter().for_each(|facts| dirt.handle_command(facts));
            dirt.settle(0);
            dirt.repair(0)
        };
        assert_eq!(settled(&[&facts::CLIENT_SETNAME]), Repair::None);
        assert_eq!(settled(&[&facts::CLIENT_SETNAME, &facts::WATCH]), Repair::Reset);
        assert_eq!(settled(&[&facts::SELECT]), Repair::Select);
        assert_eq!(settled(&[&facts::SUBSCRIBE]), Repair::Drop);
    }

    /// `MULTI; SELECT 0; DISCARD` leaves the database what it was, so a `SELECT` is never believed before it is answered.
    #[test]
    fn a_database_that_was_chosen_by_hand_is_chosen_again() {
        let mut dirt = Dirt::new(5);
        assert_eq!((dirt.repair(5), dirt.repair(0)), (Repair::None, Repair::Select));
        dirt.handle_command(&facts::SELECT);
        assert_eq!(dirt.repair(5), Repair::Select);
        dirt.handle_selected(5);
        assert_eq!(dirt.repair(5), Repair::None);
        dirt.handle_unknown();
        assert_eq!(dirt.repair(5), Repair::Drop);
    }
}
