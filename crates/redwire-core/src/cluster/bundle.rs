//! What one node is sent in one write: commands that go the same way, with what they need before them, which
//! is `ASKING` or the source of a script.
//!
//! This file must not know what becomes of the replies.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::asking::ASKING;
use crate::arg::Args;
use crate::call::Call;
use crate::cmd::{Cmd, CmdOptions};
use crate::config::HostPort;
use crate::dispatch::{self, Dispatch};
use crate::error::Result;
use crate::facts;
use crate::outbox::Outbox;
use crate::pipeline::each_packed;
use crate::replies::Replies;
use crate::reply::Value;

/// How a share goes to its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BundleRoute {
    pub(super) to: HostPort,
    pub(super) asking: bool,
    pub(super) fresh: bool,
}

/// The number of a command, that of its share, and the place of the reply in the bundle.
pub(super) type SharePlace = (usize, usize, usize);

/// What one node is sent in one write: a [`Call`] that is made once, and read as the replies it got.
#[derive(Debug)]
pub struct Bundle {
    to: HostPort,
    fresh: bool,
    outbox: Outbox,
    /// Commands that go along, `ASKING` and `SCRIPT LOAD` included.
    count: u32,
    /// The scripts that the node has by then, by their SHA-1.
    scripts: BTreeSet<String>,
    /// Which share of which command, and at which place its reply is.
    pub(super) shares: Vec<SharePlace>,
    /// Its place among the bundles of a [`FirstPass`](super::first_pass::FirstPass), which has no shares.
    pub(super) first: Option<u16>,
    options: CmdOptions,
    dispatch: Dispatch,
}

impl Bundle {
    /// Where it goes.
    #[must_use]
    pub fn to(&self) -> &HostPort {
        &self.to
    }

    /// Whether it must not go over the connection that is open to that address: behind it is another node
    /// than was meant.
    #[must_use]
    pub fn fresh(&self) -> bool {
        self.fresh
    }
}

impl Bundle {
    pub(super) fn new(way: &BundleRoute, options: CmdOptions) -> Self {
        let BundleRoute { to, fresh, .. } = way.clone();
        Self {
            to,
            fresh,
            outbox: Outbox::default(),
            count: 0,
            scripts: BTreeSet::new(),
            shares: Vec::new(),
            first: None,
            options,
            dispatch: Dispatch::Shared,
        }
    }

    /// Number `place` of a first pass, with room for commands of so many bytes.
    pub(super) fn of_first_pass(place: u16, to: &HostPort, room: usize, options: CmdOptions) -> Self {
        let way = BundleRoute { to: to.clone(), asking: false, fresh: false };
        let mut bundle = Self { first: Some(place), ..Self::new(&way, options) };
        bundle.outbox.reserve(room);
        bundle
    }

    /// Adds a command as it is packed.
    pub(super) fn push_packed(&mut self, bytes: &[u8]) {
        self.outbox.copy(bytes);
        self.count += 1;
    }

    /// Adds the part of a command.
    pub(super) fn push_part(&mut self, args: &Args) {
        self.outbox.command(args);
        self.count += 1;
    }

    /// Shows the words of each command.
    pub(super) fn for_each(&self, mut see: impl FnMut(&[&[u8]])) {
        each_packed(&self.outbox.to_bytes(), |words, _| {
            see(words);
            true
        });
    }

    /// How it went.
    pub(super) fn route(&self) -> BundleRoute {
        BundleRoute { to: self.to.clone(), asking: false, fresh: self.fresh }
    }

    pub(super) fn push(&mut self, nth: usize, part: usize, cmd: &Cmd<Value>, asking: bool) {
        self.load_script(cmd);
        if asking {
            self.outbox.copy(ASKING);
            self.count += 1;
        }
        if let waiting @ Dispatch::Exclusive(_) = dispatch::on_connection(cmd) {
            self.dispatch = waiting;
        }
        self.outbox.command(cmd.args());
        self.shares.push((nth, part, self.count as usize));
        self.count += 1;
    }

    /// Sends the source of the script that `cmd` names before its first use. A first use that had the source
    /// in it could be redirected, as its slot is served elsewhere; then those after it would not find the
    /// script.
    fn load_script(&mut self, cmd: &Cmd<Value>) {
        if let Some(script) = cmd.script().filter(|script| !self.scripts.contains(script.sha())) {
            self.outbox.command(Cmd::<Value>::of(&facts::SCRIPT_LOAD).arg(script.source()).args());
            self.count += 1;
            self.scripts.insert(script.sha().to_owned());
        }
        if cmd.facts().name == facts::SCRIPT_FLUSH.name {
            self.scripts.clear();
        }
    }
}

impl crate::call::Sealed for Bundle {}

impl Call for Bundle {
    type Output = Replies;

    /// A connection of its own where the node may hold the reply back (`WAIT`).
    fn dispatch(&self) -> Result<Dispatch> {
        Ok(self.dispatch)
    }

    fn count(&self) -> u32 {
        self.count
    }

    fn size(&self) -> usize {
        self.outbox.len()
    }

    /// What goes before a command does nothing by itself.
    fn is_whole(&self) -> bool {
        match self.first {
            Some(_) => self.count == 1,
            None => self.shares.len() == 1,
        }
    }

    fn write(&self, outbox: &mut Outbox) {
        outbox.append(&self.outbox);
    }

    fn read(&mut self, replies: Replies) -> Result<Replies> {
        Ok(replies)
    }

    /// Never as a whole: each command is decided by itself.
    fn may_repeat(&self) -> bool {
        false
    }

    fn is_single(&self) -> bool {
        false
    }

    fn options(&self) -> CmdOptions {
        self.options
    }

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("pipeline")
    }
}
