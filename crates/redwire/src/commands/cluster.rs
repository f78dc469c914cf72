//! CLUSTER: what a node knows of its cluster, and how slots and nodes are arranged.
//!
//! Must not know how a client finds its way in a cluster: the core has a map of its own.

use redwire_core::{Arg, Cmd, Reply, Run, facts};

use super::server::FlushMode;

mod info;
mod nodes;
mod options;
mod slots;

pub use info::{ClusterInfo, ClusterLink, EpochBump};
pub use nodes::{ClusterNode, ClusterNodes, ClusterShard, ClusterShardNode};
pub use options::{ClusterFailoverMode, ClusterResetMode, SlotMoves, SlotState, SlotStatsQuery};
pub use slots::{SlotMigration, SlotNode, SlotRange, SlotStats};

/// The cluster as one of its nodes sees it, and how it is arranged.
///
/// A client of a cluster sends these to any of its nodes. What is to be said to one node goes over a client
/// or a connection to that node alone. A server that is no node of a cluster refuses them all (`ERR This
/// instance has cluster support disabled`). Nodes are named by their IDs, 40 hexadecimal digits; slots count
/// from 0 to 16383.
pub trait ClusterCommands: Run {
    /// The state of the cluster, in figures. O(1), since Redis 3.0.
    /// [CLUSTER INFO](https://redis.io/docs/latest/commands/cluster-info/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let info = client.cluster_info()?;
    /// assert!(info.is_ok && info.slots_assigned == 16384);
    /// # Ok(()) }
    /// ```
    fn cluster_info(self) -> Self::Out<ClusterInfo> {
        self.run(Cmd::of(&facts::CLUSTER_INFO))
    }

    /// All nodes that this one knows, itself included. O(nodes), since Redis 3.0.
    /// [CLUSTER NODES](https://redis.io/docs/latest/commands/cluster-nodes/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let nodes = client.cluster_nodes()?;
    /// let primaries = nodes.iter().filter(|node| node.is_primary()).count();
    /// # Ok(()) }
    /// ```
    fn cluster_nodes(self) -> Self::Out<ClusterNodes> {
        self.run(Cmd::of(&facts::CLUSTER_NODES))
    }

    /// The replicas of the primary of this ID; an error where the node does not know it, or it is a replica.
    /// O(replicas), since Redis 5.0.
    /// [CLUSTER REPLICAS](https://redis.io/docs/latest/commands/cluster-replicas/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let id = client.cluster_myid()?;
    /// let replicas = client.cluster_replicas(id)?;
    /// # Ok(()) }
    /// ```
    fn cluster_replicas(self, node: impl Arg) -> Self::Out<Vec<ClusterNode>> {
        self.run(Cmd::of(&facts::CLUSTER_REPLICAS).required(node))
    }

    /// The shards: each a primary with its replicas, and the slots it serves. O(nodes), since Redis 7.0.
    /// [CLUSTER SHARDS](https://redis.io/docs/latest/commands/cluster-shards/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// for shard in client.cluster_shards()? {
    ///     println!("{:?} at {} nodes", shard.slots, shard.nodes.len());
    /// }
    /// # Ok(()) }
    /// ```
    fn cluster_shards(self) -> Self::Out<Vec<ClusterShard>> {
        self.run(Cmd::of(&facts::CLUSTER_SHARDS))
    }

    /// The ranges of slots and the nodes that serve each, the primary first. O(nodes), since Redis 3.0.
    /// [CLUSTER SLOTS](https://redis.io/docs/latest/commands/cluster-slots/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let ranges = client.cluster_slots()?;
    /// let covered: u32 = ranges.iter().map(|range| u32::from(range.end - range.start) + 1).sum();
    /// # Ok(()) }
    /// ```
    fn cluster_slots(self) -> Self::Out<Vec<SlotRange>> {
        self.run(Cmd::of(&facts::CLUSTER_SLOTS))
    }

    /// The connections of this node's bus to the other nodes, two for each. O(nodes), since Redis 7.0.
    /// [CLUSTER LINKS](https://redis.io/docs/latest/commands/cluster-links/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let waiting: u64 = client.cluster_links()?.iter().map(|link| link.send_buffer_used).sum();
    /// # Ok(()) }
    /// ```
    fn cluster_links(self) -> Self::Out<Vec<ClusterLink>> {
        self.run(Cmd::of(&facts::CLUSTER_LINKS))
    }

    /// The ID of the node that answers. O(1), since Redis 3.0.
    /// [CLUSTER MYID](https://redis.io/docs/latest/commands/cluster-myid/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// assert_eq!(client.cluster_myid()?.len(), 40);
    /// # Ok(()) }
    /// ```
    fn cluster_myid(self) -> Self::Out<String> {
        self.run(Cmd::of(&facts::CLUSTER_MYID))
    }

    /// The ID of the shard of the node that answers. O(1), since Redis 7.2.
    /// [CLUSTER MYSHARDID](https://redis.io/docs/latest/commands/cluster-myshardid/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let shard = client.cluster_myshardid()?;
    /// # Ok(()) }
    /// ```
    fn cluster_myshardid(self) -> Self::Out<String> {
        self.run(Cmd::of(&facts::CLUSTER_MYSHARDID))
    }

    /// The slot of a key, as the server counts it. O(length of the key), since Redis 3.0.
    /// [CLUSTER KEYSLOT](https://redis.io/docs/latest/commands/cluster-keyslot/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// assert_eq!(client.cluster_keyslot("foo")?, 12182);
    /// # Ok(()) }
    /// ```
    fn cluster_keyslot(self, key: impl Arg) -> Self::Out<u16> {
        self.run(Cmd::of(&facts::CLUSTER_KEYSLOT).required(key))
    }

    /// How many keys of `slot` the node that answers has; 0 where another node serves it. O(1), since Redis
    /// 3.0. [CLUSTER COUNTKEYSINSLOT](https://redis.io/docs/latest/commands/cluster-countkeysinslot/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let keys = client.cluster_countkeysinslot(12182)?;
    /// # Ok(()) }
    /// ```
    fn cluster_countkeysinslot(self, slot: u16) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::CLUSTER_COUNTKEYSINSLOT).arg(slot))
    }

    /// Up to `count` keys of `slot` that the node that answers has, usually a `Vec<String>`; empty where
    /// another node serves it. O(count), since Redis 3.0.
    /// [CLUSTER GETKEYSINSLOT](https://redis.io/docs/latest/commands/cluster-getkeysinslot/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let keys: Vec<String> = client.cluster_getkeysinslot(12182, 10)?;
    /// # Ok(()) }
    /// ```
    fn cluster_getkeysinslot<C: Reply>(self, slot: u16, count: u64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::CLUSTER_GETKEYSINSLOT).arg(slot).arg(count))
    }

    /// How many nodes hold the node of this ID for failing, as far as the one that answers was told; an error
    /// where it does not know that node. O(reports), since Redis 3.0.
    /// [CLUSTER COUNT-FAILURE-REPORTS](https://redis.io/docs/latest/commands/cluster-count-failure-reports/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let id = client.cluster_myid()?;
    /// assert_eq!(client.cluster_count_failure_reports(id)?, 0);
    /// # Ok(()) }
    /// ```
    fn cluster_count_failure_reports(self, node: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::CLUSTER_COUNT_FAILURE_REPORTS).required(node))
    }

    /// How much the slots of the node that answers are used. O(slots), sorted O(slots · log slots), since
    /// Valkey 8.0 and Redis 8.2.
    /// [CLUSTER SLOT-STATS](https://redis.io/docs/latest/commands/cluster-slot-stats/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::SlotStatsQuery;
    ///
    /// for slot in client.cluster_slot_stats(SlotStatsQuery::most("key-count").limit(3))? {
    ///     println!("{}: {:?} keys", slot.slot, slot.key_count);
    /// }
    /// # Ok(()) }
    /// ```
    fn cluster_slot_stats(self, query: SlotStatsQuery) -> Self::Out<Vec<SlotStats>> {
        self.run(Cmd::of(&facts::CLUSTER_SLOT_STATS).arg(query))
    }

    /// Has the node that answers serve these slots; an error, and nothing is done, where one of them is
    /// served already. O(slots), since Redis 3.0.
    /// [CLUSTER ADDSLOTS](https://redis.io/docs/latest/commands/cluster-addslots/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.cluster_addslots([1, 2, 3])?;
    /// # Ok(()) }
    /// ```
    fn cluster_addslots(self, slots: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_ADDSLOTS).required(slots))
    }

    /// As [`cluster_addslots`](Self::cluster_addslots), by ranges with both ends included. Since Redis 7.0.
    /// [CLUSTER ADDSLOTSRANGE](https://redis.io/docs/latest/commands/cluster-addslotsrange/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.cluster_addslotsrange([(0, 5460), (10923, 16383)])?;
    /// # Ok(()) }
    /// ```
    fn cluster_addslotsrange(self, ranges: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_ADDSLOTSRANGE).pairs(ranges))
    }

    /// Has the node that answers take these slots for served by no node; an error where one of them is so
    /// already. O(slots), since Redis 3.0.
    /// [CLUSTER DELSLOTS](https://redis.io/docs/latest/commands/cluster-delslots/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.cluster_delslots([1, 2, 3])?;
    /// # Ok(()) }
    /// ```
    fn cluster_delslots(self, slots: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_DELSLOTS).required(slots))
    }

    /// As [`cluster_delslots`](Self::cluster_delslots), by ranges with both ends included. Since Redis 7.0.
    /// [CLUSTER DELSLOTSRANGE](https://redis.io/docs/latest/commands/cluster-delslotsrange/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.cluster_delslotsrange((0, 5460))?;
    /// # Ok(()) }
    /// ```
    fn cluster_delslotsrange(self, ranges: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_DELSLOTSRANGE).pairs(ranges))
    }

    /// Has the node that answers serve no slot; an error where it has keys. O(1), since Redis 3.0.
    /// [CLUSTER FLUSHSLOTS](https://redis.io/docs/latest/commands/cluster-flushslots/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.cluster_flushslots()?;
    /// # Ok(()) }
    /// ```
    fn cluster_flushslots(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_FLUSHSLOTS))
    }

    /// Deletes all keys of `slot` at the node that answers. O(keys), since Valkey 9.0.
    /// [CLUSTER FLUSHSLOT](https://valkey.io/commands/cluster-flushslot/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::FlushMode;
    ///
    /// client.cluster_flushslot(12182, FlushMode::Async)?;
    /// # Ok(()) }
    /// ```
    fn cluster_flushslot(self, slot: u16, mode: FlushMode) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_FLUSHSLOT).arg(slot).arg(mode))
    }

    /// Says of `slot`, to the node that answers, that it comes from or goes to another node, or whose it is.
    /// O(1), since Redis 3.0. [CLUSTER SETSLOT](https://redis.io/docs/latest/commands/cluster-setslot/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::SlotState;
    ///
    /// client.cluster_setslot(12182, SlotState::Stable)?;
    /// # Ok(()) }
    /// ```
    fn cluster_setslot(self, slot: u16, state: SlotState) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_SETSLOT).arg(slot).arg(state))
    }

    /// Has the node that answers meet another, and through it the rest of its cluster. `bus_port`: where that
    /// node's bus listens, if not at its port plus 10000. It ends before they have met. O(1), since Redis
    /// 3.0. [CLUSTER MEET](https://redis.io/docs/latest/commands/cluster-meet/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.cluster_meet("10.0.0.2", 6379, None)?;
    /// # Ok(()) }
    /// ```
    fn cluster_meet(self, ip: &str, port: u16, bus_port: Option<u16>) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_MEET).arg(ip).arg(port).arg(bus_port))
    }

    /// Has the node that answers forget the one of this ID, for a minute at least; an error where it does not
    /// know it. It must be said to each node. O(1), since Redis 3.0.
    /// [CLUSTER FORGET](https://redis.io/docs/latest/commands/cluster-forget/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.cluster_forget("c7a4d3e1b2f05968a7b6c5d4e3f2a1b0c9d8e7f6")?;
    /// # Ok(()) }
    /// ```
    fn cluster_forget(self, node: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_FORGET).required(node))
    }

    /// Makes the node that answers a replica of the primary of this ID; an error where it serves slots or has
    /// keys. O(1), since Redis 3.0.
    /// [CLUSTER REPLICATE](https://redis.io/docs/latest/commands/cluster-replicate/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.cluster_replicate("c7a4d3e1b2f05968a7b6c5d4e3f2a1b0c9d8e7f6")?;
    /// # Ok(()) }
    /// ```
    fn cluster_replicate(self, node: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_REPLICATE).required(node))
    }

    /// Makes the replica that answers a primary without slots, and deletes its data. O(keys), since Valkey
    /// 9.0. [CLUSTER REPLICATE](https://valkey.io/commands/cluster-replicate/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.cluster_replicate_no_one()?;
    /// # Ok(()) }
    /// ```
    fn cluster_replicate_no_one(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_REPLICATE).arg("NO").arg("ONE"))
    }

    /// Has the replica that answers take its primary's place; an error where it is no replica. It ends before
    /// that is done. O(1), since Redis 3.0.
    /// [CLUSTER FAILOVER](https://redis.io/docs/latest/commands/cluster-failover/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::ClusterFailoverMode;
    ///
    /// client.cluster_failover(ClusterFailoverMode::Agreed)?;
    /// # Ok(()) }
    /// ```
    fn cluster_failover(self, mode: ClusterFailoverMode) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_FAILOVER).arg(mode))
    }

    /// Has the node that answers forget its cluster; an error where it is a primary that has keys. A replica
    /// becomes a primary, its data are deleted. O(nodes), since Redis 3.0.
    /// [CLUSTER RESET](https://redis.io/docs/latest/commands/cluster-reset/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::ClusterResetMode;
    ///
    /// client.cluster_reset(ClusterResetMode::Soft)?;
    /// # Ok(()) }
    /// ```
    fn cluster_reset(self, mode: ClusterResetMode) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_RESET).arg(mode))
    }

    /// Has the node that answers write its `nodes.conf`. O(nodes), since Redis 3.0.
    /// [CLUSTER SAVECONFIG](https://redis.io/docs/latest/commands/cluster-saveconfig/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.cluster_saveconfig()?;
    /// # Ok(()) }
    /// ```
    fn cluster_saveconfig(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_SAVECONFIG))
    }

    /// Sets the epoch of a fresh node; an error where it knows other nodes or has an epoch. O(1), since Redis
    /// 3.0. [CLUSTER SET-CONFIG-EPOCH](https://redis.io/docs/latest/commands/cluster-set-config-epoch/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.cluster_set_config_epoch(1)?;
    /// # Ok(()) }
    /// ```
    fn cluster_set_config_epoch(self, epoch: u64) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_SET_CONFIG_EPOCH).arg(epoch))
    }

    /// Gives the node that answers the greatest epoch, if it has not got it already. O(1), since Redis 3.0.
    /// [CLUSTER BUMPEPOCH](https://redis.io/docs/latest/commands/cluster-bumpepoch/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let epoch = client.cluster_bumpepoch()?.epoch;
    /// # Ok(()) }
    /// ```
    fn cluster_bumpepoch(self) -> Self::Out<EpochBump> {
        self.run(Cmd::of(&facts::CLUSTER_BUMPEPOCH))
    }

    /// Begins to move slots of the node that answers to other nodes; an error, and nothing is done, where one
    /// of them can't be moved. It ends before they are moved: see
    /// [`cluster_getslotmigrations`](Self::cluster_getslotmigrations). O(slots), since Valkey 9.0.
    /// [CLUSTER MIGRATESLOTS](https://valkey.io/commands/cluster-migrateslots/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::SlotMoves;
    ///
    /// let to = "c7a4d3e1b2f05968a7b6c5d4e3f2a1b0c9d8e7f6";
    /// client.cluster_migrateslots(SlotMoves::new().ranges([(0, 99), (200, 299)], to))?;
    /// # Ok(()) }
    /// ```
    fn cluster_migrateslots(self, moves: SlotMoves) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_MIGRATESLOTS).required(moves))
    }

    /// The moves of slots from and to the node that answers: those under way, and the latest that ended.
    /// O(moves), since Valkey 9.0.
    /// [CLUSTER GETSLOTMIGRATIONS](https://valkey.io/commands/cluster-getslotmigrations/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// for migration in client.cluster_getslotmigrations()? {
    ///     println!("{}: {}", migration.id, migration.state);
    /// }
    /// # Ok(()) }
    /// ```
    fn cluster_getslotmigrations(self) -> Self::Out<Vec<SlotMigration>> {
        self.run(Cmd::of(&facts::CLUSTER_GETSLOTMIGRATIONS))
    }

    /// Ends all moves of slots from the node that answers; an error where there is none. O(moves), since
    /// Valkey 9.0.
    /// [CLUSTER CANCELSLOTMIGRATIONS](https://valkey.io/commands/cluster-cancelslotmigrations/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.cluster_cancelslotmigrations()?;
    /// # Ok(()) }
    /// ```
    fn cluster_cancelslotmigrations(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLUSTER_CANCELSLOTMIGRATIONS))
    }

    /// Begins to move ranges of slots, both ends included, to the node that answers, and gives the move's ID.
    /// It ends before they are moved. O(slots), since Redis 8.4.
    /// [CLUSTER MIGRATION](https://redis.io/docs/latest/commands/cluster-migration/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let id = client.cluster_migration_import([(0, 99), (200, 299)])?;
    /// let state = &client.cluster_migration_status(&id)?[0].state;
    /// # Ok(()) }
    /// ```
    fn cluster_migration_import(self, ranges: impl Arg) -> Self::Out<String> {
        self.run(Cmd::of(&facts::CLUSTER_MIGRATION).arg("IMPORT").pairs(ranges))
    }

    /// Ends the move of this ID, or all of them (`None`), at the node that answers; gives how many were
    /// ended. O(moves), since Redis 8.4.
    /// [CLUSTER MIGRATION](https://redis.io/docs/latest/commands/cluster-migration/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let ended = client.cluster_migration_cancel(None)?;
    /// # Ok(()) }
    /// ```
    fn cluster_migration_cancel(self, id: Option<&str>) -> Self::Out<u64> {
        let cmd = Cmd::of(&facts::CLUSTER_MIGRATION).arg("CANCEL");
        self.run(cmd.flag(id.is_none(), "ALL").named("ID", id))
    }

    /// What became of the move of this ID at the node that answers; empty where it does not know it. O(1),
    /// since Redis 8.4. [CLUSTER MIGRATION](https://redis.io/docs/latest/commands/cluster-migration/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let moves = client.cluster_migration_status("24cf41718b20f7f05901743dffc40bc9b15db339")?;
    /// # Ok(()) }
    /// ```
    fn cluster_migration_status(self, id: impl Arg) -> Self::Out<Vec<SlotMigration>> {
        self.run(Cmd::of(&facts::CLUSTER_MIGRATION).arg("STATUS").arg("ID").required(id))
    }

    /// The moves of slots from and to the node that answers, those that ended included. O(moves), since Redis
    /// 8.4. [CLUSTER MIGRATION](https://redis.io/docs/latest/commands/cluster-migration/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let moves = client.cluster_migration_status_all()?;
    /// # Ok(()) }
    /// ```
    fn cluster_migration_status_all(self) -> Self::Out<Vec<SlotMigration>> {
        self.run(Cmd::of(&facts::CLUSTER_MIGRATION).arg("STATUS").arg("ALL"))
    }
}

impl<T: Run> ClusterCommands for T {}
