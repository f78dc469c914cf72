//! Publishing, and who listens. Listening itself is not a command but a state of a connection.

use redwire_core::{Arg, Cmd, Reply, Run, facts};

/// Publishing to channels.
pub trait PublishCommands: Run {
    /// Sends a message to a channel and gives how many subscribers of this server got it.
    /// [PUBLISH](https://redis.io/docs/latest/commands/publish/)
    fn publish(self, channel: impl Arg, message: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::PUBLISH).required(channel).required(message))
    }

    /// Sends a message to a shard channel and gives how many subscribers of this server got it (Redis 7.0).
    /// [SPUBLISH](https://redis.io/docs/latest/commands/spublish/)
    fn spublish(self, channel: impl Arg, message: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::SPUBLISH).required(channel).required(message))
    }

    /// The channels that have subscribers and match a glob pattern, usually a `Vec<String>`.
    /// [PUBSUB CHANNELS](https://redis.io/docs/latest/commands/pubsub-channels/)
    fn pubsub_channels<C: Reply>(self, pattern: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::PUBSUB_CHANNELS).arg(pattern))
    }

    /// How many subscribers these channels have, usually a `HashMap<String, u64>`.
    /// [PUBSUB NUMSUB](https://redis.io/docs/latest/commands/pubsub-numsub/)
    fn pubsub_numsub<M: Reply>(self, channels: impl Arg) -> Self::Out<M> {
        self.run(Cmd::of(&facts::PUBSUB_NUMSUB).any_places(channels))
    }

    /// How many different patterns are subscribed to.
    /// [PUBSUB NUMPAT](https://redis.io/docs/latest/commands/pubsub-numpat/)
    fn pubsub_numpat(self) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::PUBSUB_NUMPAT))
    }

    /// The shard channels that have subscribers and match a glob pattern, usually a `Vec<String>` (Redis
    /// 7.0). [PUBSUB SHARDCHANNELS](https://redis.io/docs/latest/commands/pubsub-shardchannels/)
    fn pubsub_shardchannels<C: Reply>(self, pattern: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::PUBSUB_SHARDCHANNELS).arg(pattern))
    }

    /// How many subscribers these shard channels have, usually a `HashMap<String, u64>` (Redis 7.0).
    /// [PUBSUB SHARDNUMSUB](https://redis.io/docs/latest/commands/pubsub-shardnumsub/)
    fn pubsub_shardnumsub<M: Reply>(self, channels: impl Arg) -> Self::Out<M> {
        self.run(Cmd::of(&facts::PUBSUB_SHARDNUMSUB).any_places(channels))
    }
}

impl<T: Run> PublishCommands for T {}
