//! What a node says of itself: its own line in `CLUSTER NODES`, and by `INFO` which run of its process it is.
//!
//! Promises that one odd entry costs no more than itself. This file must not know why a node is asked.

use std::collections::{BTreeMap, HashMap};

use super::slots_reply::{address, info_field};
use super::{Remap, SLOTS};
use crate::config::HostPort;
use crate::error::{Error, ErrorKind, Outcome, Result};

/// A node's report of itself, and where it knows others to be.
#[derive(Clone, Debug)]
pub(super) struct NodeReport {
    pub(super) id: String,
    /// Its configuration: another one whenever a slot comes back that it had given away, and after every
    /// failover.
    pub(super) epoch: u64,
    /// The run of its process; empty where it does not tell. Cursors of another run mean nothing.
    pub(super) run: String,
    owns: Vec<bool>,
    leaving: BTreeMap<u16, String>,
    arriving: BTreeMap<u16, String>,
    addresses: HashMap<String, HostPort>,
    /// The configuration of each node that it knows, itself included.
    epochs: HashMap<String, u64>,
}

/// What a node has to do with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotHold<'a> {
    Owns,
    /// The keys of the slot come here one by one, from the node with this id.
    From(&'a str),
    Nothing,
}

impl NodeReport {
    /// Of the replies to `CLUSTER NODES` and `INFO server` by the node at `asked`.
    pub(super) fn read(nodes: &str, info: &str, asked: &HostPort, remap: &Remap) -> Result<Self> {
        let lines: Vec<_> = nodes.lines().filter_map(Line::read).collect();
        let own = lines.iter().find(|line| line.has("myself")).ok_or_else(unreadable)?;
        // Where nodes are reached by the names they announce, addresses may lead nowhere, or to no
        // certificate that fits.
        let by_name = own.name == Some(asked.host.as_str());
        let places = lines.iter().filter_map(|line| {
            let name = line.name.filter(|_| by_name || line.host.is_empty());
            let at = address(name.unwrap_or(line.host), line.port.filter(|port| *port != 0)?, asked, remap)?;
            Some((line.id.to_owned(), at))
        });
        let run = info_field(info, "run_id").unwrap_or_default();
        let mut report = Self {
            id: own.id.to_owned(),
            epoch: own.epoch,
            run: run.to_owned(),
            owns: vec![false; usize::from(SLOTS)],
            leaving: BTreeMap::new(),
            arriving: BTreeMap::new(),
            addresses: places.collect(),
            epochs: lines.iter().map(|line| (line.id.to_owned(), line.epoch)).collect(),
        };
        own.slots.iter().for_each(|entry| report.note(entry));
        Ok(report)
    }

    /// An entry of its slots: `7`, `0-5460`, `[7->-id]` to or `[7-<-id]` from another node.
    fn note(&mut self, entry: &str) {
        let slot = |text: &str| text.parse().ok().filter(|slot: &u16| *slot < SLOTS);
        let moving = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']'));
        let list = match moving {
            Some(entry) => match (entry.split_once("->-"), entry.split_once("-<-")) {
                (Some(parts), _) => Some((&mut self.leaving, parts)),
                (_, Some(parts)) => Some((&mut self.arriving, parts)),
                _ => None,
            },
            None => {
                let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
                if let (Some(first), Some(last)) = (slot(first), slot(last))
                    && first <= last
                {
                    self.owns[usize::from(first)..=usize::from(last)].fill(true);
                }
                None
            }
        };
        if let Some((list, (number, id))) = list
            && let Some(slot) = slot(number)
        {
            list.insert(slot, id.to_owned());
        }
    }

    pub(super) fn hold(&self, slot: u16) -> SlotHold<'_> {
        match self.arriving.get(&slot) {
            _ if self.owns.get(usize::from(slot)) == Some(&true) => SlotHold::Owns,
            Some(from) => SlotHold::From(from),
            None => SlotHold::Nothing,
        }
    }

    /// The id of the node to which the keys of the slot go one by one.
    pub(super) fn leaving(&self, slot: u16) -> Option<&str> {
        self.leaving.get(&slot).map(String::as_str)
    }

    /// The newest configuration of the node with this id that it knows of.
    pub(super) fn epoch_of(&self, id: &str) -> u64 {
        self.epochs.get(id).copied().unwrap_or_default()
    }

    /// Where it knows the node with this id to be.
    pub(super) fn address(&self, id: &str) -> Option<&HostPort> {
        self.addresses.get(id)
    }

    /// Whether a cursor of the time of this report was still one at the time of the other, as far as the
    /// node tells.
    pub(super) fn is_same_run(&self, other: &Self) -> bool {
        self.id == other.id && self.run == other.run
    }
}

/// `ID HOST:PORT@BUS,NAME FLAGS PRIMARY PING PONG EPOCH LINK SLOT FROM-TO [SLOT-<-ID]`, without bus and name
/// in old servers.
struct Line<'a> {
    id: &'a str,
    host: &'a str,
    port: Option<u16>,
    name: Option<&'a str>,
    flags: &'a str,
    epoch: u64,
    slots: Vec<&'a str>,
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let [id, place, flags, _, _, _, epoch, _, slots @ ..] = &words[..] else { return None };
        let mut place = place.split(',');
        let at = place.next()?.split('@').next()?;
        let (host, port) = at.rsplit_once(':')?;
        let name = place.next().filter(|name| !name.is_empty() && !name.contains('='));
        Some(Self {
            id,
            host,
            port: port.parse().ok(),
            name,
            flags,
            epoch: epoch.parse().ok()?,
            slots: slots.to_vec(),
        })
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.split(',').any(|have| have == flag)
    }
}

#[cold]
fn unreadable() -> Error {
    let message = "expected a line of the node itself (`myself`) in CLUSTER NODES, got none";
    Error::new(ErrorKind::Decode, Outcome::Unreadable, message)
}
