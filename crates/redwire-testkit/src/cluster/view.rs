//! The cluster as one node sees it: `CLUSTER NODES`, read.
//!
//! Text in, facts out; it asks no node.

/// What a node sees.
#[derive(Debug)]
pub(super) struct View {
    nodes: Vec<SeenNode>,
}

/// How it sees one node, itself perhaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeenNode {
    pub(super) id: String,
    address: String,
    flags: Vec<String>,
    /// The id of the node it follows, if it is a replica.
    pub(super) primary: Option<String>,
    pub(super) epoch: u64,
    linked: bool,
    /// From, to, both included.
    pub(super) slots: Vec<(u16, u16)>,
}

impl View {
    pub(super) fn read(text: &str) -> Option<Self> {
        text.lines().map(SeenNode::read).collect::<Option<_>>().map(|nodes| Self { nodes })
    }

    pub(super) fn own(&self) -> Option<&SeenNode> {
        self.nodes.iter().find(|seen| seen.is("myself"))
    }

    /// Whether it holds what the others, `selves`, say of themselves, sees the nodes of `down` as dead, and
    /// sees no other node; the error has what isn't so.
    pub(super) fn agrees<'a>(
        &self,
        selves: &[SeenNode],
        down: impl Iterator<Item = &'a str>,
    ) -> Result<(), String> {
        let down: Vec<_> = down.collect();
        for own in selves {
            let seen = self.nodes.iter().find(|seen| seen.id == own.id);
            let seen = seen.ok_or_else(|| format!("nothing of {own:?}"))?;
            if !seen.is_alive() || !seen.is_same(own) {
                return Err(format!("{seen:?}, which says of itself {own:?}"));
            }
        }
        for seen in self.nodes.iter().filter(|seen| !selves.iter().any(|own| own.id == seen.id)) {
            if !down.contains(&seen.id.as_str()) {
                return Err(format!("a stranger, {seen:?}"));
            }
            if !seen.is("fail") {
                return Err(format!("a dead one not as dead, {seen:?}"));
            }
        }
        Ok(())
    }
}

impl SeenNode {
    /// From `ID HOST:PORT@BUS,NAME FLAGS PRIMARY PING PONG EPOCH LINK SLOT FROM-TO [SLOT-<-ID]`.
    fn read(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split(' ').collect();
        let [id, address, flags, primary, _, _, epoch, link, slots @ ..] = &words[..] else { return None };
        let slots = slots.iter().filter(|slot| !slot.starts_with('[')).map(|slot| {
            let (from, to) = slot.split_once('-').unwrap_or((slot, slot));
            Some((from.parse().ok()?, to.parse().ok()?))
        });
        // What comes after the name is news of this node that others need not have.
        let address = address.split(',').take(2).collect::<Vec<_>>().join(",");
        Some(Self {
            id: (*id).to_owned(),
            address,
            flags: flags.split(',').map(str::to_owned).collect(),
            primary: (*primary != "-").then(|| (*primary).to_owned()),
            epoch: epoch.parse().ok()?,
            linked: *link == "connected",
            slots: slots.collect::<Option<_>>()?,
        })
    }

    pub(super) fn is_primary(&self) -> bool {
        self.is("master")
    }

    pub(super) fn owns(&self, slot: u16) -> bool {
        self.slots.iter().any(|&(from, to)| (from..=to).contains(&slot))
    }

    fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|have| have == flag)
    }

    fn is_alive(&self) -> bool {
        self.linked && !["fail", "fail?", "handshake", "noaddr"].iter().any(|flag| self.is(flag))
    }

    /// Whether it plays the same part, by the same name.
    fn is_same(&self, other: &Self) -> bool {
        let part = |seen: &Self| (seen.is_primary(), seen.primary.clone(), seen.epoch, seen.slots.clone());
        part(self) == part(other) && self.address == other.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: &str =
        "aa 127.0.0.1:7000@17000,a.test,shard-id=x myself,master - 0 0 3 connected 0-5 7 [8->-bb]";
    const REPLICA: &str = "bb 127.0.0.1:7001@17001 slave aa 0 1 3 connected";

    #[test]
    fn lines_are_read() {
        let view = View::read(&[PRIMARY, REPLICA].join("\n")).unwrap();
        let own = view.own().unwrap();
        assert_eq!(
            (own.address.as_str(), own.epoch, &own.slots[..]),
            ("127.0.0.1:7000@17000,a.test", 3, &[(0, 5), (7, 7)][..])
        );
        assert!(own.is_primary() && own.owns(5) && !own.owns(6) && own.owns(7) && !own.owns(8));
        assert_eq!(view.nodes[1].primary.as_deref(), Some("aa"));
        assert!(View::read("aa 127.0.0.1:7000@17000 master").is_none());
    }

    #[test]
    fn views_agree_if_all_is_seen_alike() {
        let view = |lines: &[&str]| View::read(&lines.join("\n")).unwrap();
        let whole = view(&[PRIMARY, REPLICA]);
        let none = || std::iter::empty();
        let reason =
            |view: &View, down: &[&'static str]| view.agrees(&whole.nodes, down.iter().copied()).err();
        assert_eq!(whole.agrees(&whole.nodes, none()), Ok(()));
        assert!(reason(&view(&[PRIMARY]), &[]).unwrap().starts_with("nothing of"));
        for (part, other) in [
            ("slave", "slave,fail?"),
            (" 3 ", " 2 "),
            ("7001", "7002"),
            (" connected", " disconnected"),
            ("slave aa", "master -"),
        ] {
            let changed = REPLICA.replace(part, other);
            assert!(
                reason(&view(&[PRIMARY, &changed]), &[]).unwrap().contains("says of itself"),
                "{changed}"
            );
        }
        let stranger = "cc 127.0.0.1:7002@17002 slave aa 0 1 3 connected";
        assert!(reason(&view(&[PRIMARY, REPLICA, stranger]), &[]).unwrap().starts_with("a stranger"));
        assert!(reason(&view(&[PRIMARY, REPLICA, stranger]), &["cc"]).unwrap().starts_with("a dead one"));
        let dead = stranger.replace("slave", "slave,fail");
        assert_eq!(reason(&view(&[PRIMARY, REPLICA, &dead]), &["cc"]), None);
    }
}
