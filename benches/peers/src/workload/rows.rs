//! The rows of the plan and what redwire is to reach in each: the table of workloads. It knows nothing that
//! is not in there.

use super::Cores::{Free, One, Two};
use super::Form::{Owned, Shared};
use super::Mode::{Async, Blocking};
use super::{Base, Cores, Form, Goal, Kind, Mode, Security, Target, Workload};

const fn rate(of: Base, ratio: f64) -> Target {
    Target { goal: Goal::Rate(of, ratio), mode: None }
}

const fn limit(ratio: f64) -> Target {
    rate(Base::Limit, ratio)
}

const fn best(ratio: f64) -> Target {
    rate(Base::BestPeer, ratio)
}

const fn floor(ratio: f64) -> Target {
    rate(Base::MuxFloor, ratio)
}

/// In this mode, at least so many times the rate of the other.
const fn other(mode: Mode, ratio: f64) -> Target {
    Target { goal: Goal::Rate(Base::OtherMode, ratio), mode: Some(mode) }
}

const fn allocs(most: f64) -> Target {
    Target { goal: Goal::Allocs(most), mode: None }
}

const fn memory(most: f64) -> Target {
    Target { goal: Goal::Memory(most), mode: None }
}

const fn row(
    name: &'static str,
    title: &'static str,
    kind: Kind,
    cores: Cores,
    targets: &'static [Target],
) -> Workload {
    Workload { name, title, kind, cores, targets }
}

const fn shared(tasks: usize) -> Kind {
    Kind::Tasks { tasks, workers: 0 }
}

const fn spread(tasks: usize) -> Kind {
    Kind::Tasks { tasks, workers: 2 }
}

const fn cluster(tasks: usize) -> Kind {
    Kind::Cluster { tasks }
}

const fn read(len: usize, form: Form) -> Kind {
    Kind::Read { len, form }
}

const fn write(len: usize, form: Form) -> Kind {
    Kind::Write { len, form }
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// All workloads, in the order of the report.
#[rustfmt::skip]
pub const ALL: &[Workload] = &[
    row("W1", "GET, depth 1", Kind::Get, One, &[limit(0.96)]),
    row("W2", "SET, depth 1", Kind::Set, One, &[limit(0.96)]),
    row("W3.1", "GET, 1 task", shared(1), One, &[best(1.1), floor(1.05)]),
    row("W3.16", "GET, 16 tasks, one client", shared(16), One, &[floor(0.95)]),
    row("W3.64", "GET, 64 tasks, one client", shared(64), One, &[best(2.0), floor(0.95)]),
    row("W3.256", "GET, 256 tasks, one client", shared(256), One, &[best(2.3), floor(0.95)]),
    row("W3.1024", "GET, 1024 tasks, one client", shared(1024), One, &[best(2.4), floor(0.95)]),
    row("W3x.64", "GET, 64 tasks, one client", shared(64), Two, &[best(1.4)]),
    row("W3x.256", "GET, 256 tasks, one client", shared(256), Two, &[best(1.4)]),
    row("W3x.1024", "GET, 1024 tasks, one client", shared(1024), Two, &[best(1.8)]),
    row("W3m.64", "GET, 64 tasks, 2 workers", spread(64), Free, &[best(2.0), floor(0.95)]),
    row("W3m.256", "GET, 256 tasks, 2 workers", spread(256), Free, &[best(2.0), floor(0.95)]),
    row("W3m.1024", "GET, 1024 tasks, 2 workers", spread(1024), Free, &[best(2.0), floor(0.95)]),
    row("W4.100", "pipeline of 100 GETs, per GET", Kind::Pipeline(100), One, &[best(1.5)]),
    row("W4.10k", "pipeline of 10 000 GETs, per GET", Kind::Pipeline(10_000), One, &[best(1.8)]),
    row("W5.l", "LRANGE of 10 000 x 100 B into Vec<Vec<u8>>", Kind::Range(Owned), One,
        &[best(1.6), other(Async, 0.95)]),
    row("W5.b", "LRANGE of 10 000 x 100 B into Vec<Bytes>", Kind::Range(Shared), One,
        &[best(2.5), allocs(20.0)]),
    row("W5.h", "HGETALL of 1 000 fields into a HashMap", Kind::Hash, One, &[best(1.8)]),
    row("W6.g.16k", "GET of 16 KiB into Vec<u8>", read(16 * KIB, Owned), One, &[best(1.3)]),
    row("W6.g.64k", "GET of 64 KiB into Vec<u8>", read(64 * KIB, Owned), One, &[best(1.3)]),
    row("W6.g.1m", "GET of 1 MiB into Vec<u8>", read(MIB, Owned), One, &[best(1.3)]),
    row("W6.gb.16k", "GET of 16 KiB into Bytes", read(16 * KIB, Shared), One, &[best(1.3), limit(0.9)]),
    row("W6.gb.64k", "GET of 64 KiB into Bytes", read(64 * KIB, Shared), One, &[best(1.3), limit(0.9)]),
    row("W6.gb.1m", "GET of 1 MiB into Bytes", read(MIB, Shared), One, &[best(1.3), limit(0.9)]),
    row("W6.s.16k", "SET of 16 KiB from &[u8]", write(16 * KIB, Owned), One, &[best(1.2)]),
    row("W6.s.64k", "SET of 64 KiB from &[u8]", write(64 * KIB, Owned), One, &[best(1.2)]),
    row("W6.s.1m", "SET of 1 MiB from &[u8]", write(MIB, Owned), One, &[best(1.2)]),
    row("W6.sb.16k", "SET of 16 KiB from Bytes", write(16 * KIB, Shared), One, &[best(1.2)]),
    row("W6.sb.64k", "SET of 64 KiB from Bytes", write(64 * KIB, Shared), One, &[best(1.2)]),
    row("W6.sb.1m", "SET of 1 MiB from Bytes", write(MIB, Shared), One, &[best(1.2)]),
    row("W7.1", "GET from a cluster of three, depth 1", cluster(1), One, &[best(1.3), other(Blocking, 1.0)]),
    row("W7.64", "GET from a cluster of three, 64 tasks, one client", cluster(64), One, &[best(1.0)]),
    row("W7.256", "GET from a cluster of three, 256 tasks, one client", cluster(256), One, &[best(3.0)]),
    row("W7x.256", "GET from a cluster of three, 256 tasks, one client", cluster(256), Two, &[best(3.0)]),
    row("W7.p.100", "pipeline of 100 GETs over all slots of a cluster, per GET",
        Kind::ClusterPipeline(100), One, &[best(1.5), allocs(1.3), other(Async, 0.9)]),
    row("W7.p.1000", "pipeline of 1 000 GETs over all slots of a cluster, per GET",
        Kind::ClusterPipeline(1000), One, &[best(2.0), allocs(1.3), other(Async, 0.9)]),
    row("W8.p", "one subscriber, per message of 100 B", Kind::Messages, One, &[best(3.0)]),
    row("W9.1", "GET, 256 tasks, 8 exclusive leases", Kind::Leases { workers: 0 }, One,
        &[best(1.6), limit(0.9), allocs(1.5)]),
    row("W9.m", "GET, 256 tasks, 8 exclusive leases, 2 workers", Kind::Leases { workers: 2 }, Free,
        &[best(1.6), limit(0.9), allocs(1.5)]),
    row("W10.p", "connect + AUTH + PING + close", Kind::Connect(Security::Plain), One,
        &[best(1.1), allocs(40.0)]),
    row("W10.t", "the same by TLS, a whole handshake each", Kind::Connect(Security::Tls), One, &[best(1.1)]),
    row("W10.r", "the same by TLS, resuming where the client can", Kind::Connect(Security::Resumed), One,
        &[best(1.1), rate(Base::RedisRs, 3.0)]),
    row("W12.g.64m", "GET of 64 MiB into Vec<u8>", read(64 * MIB, Owned), One, &[best(1.0), memory(1.2)]),
    row("W12.g.256m", "GET of 256 MiB into Vec<u8>", read(256 * MIB, Owned), One, &[best(1.0), memory(1.2)]),
    row("W12.gb.64m", "GET of 64 MiB into Bytes", read(64 * MIB, Shared), One, &[best(1.0), memory(1.2)]),
    row("W12.gb.256m", "GET of 256 MiB into Bytes", read(256 * MIB, Shared), One, &[best(1.0), memory(1.2)]),
    row("W12.s.64m", "SET of 64 MiB from &[u8]", write(64 * MIB, Owned), One, &[best(1.0), memory(1.2)]),
    row("W12.s.256m", "SET of 256 MiB from &[u8]", write(256 * MIB, Owned), One, &[best(1.0), memory(1.2)]),
    row("W13.m", "MULTI, 10 GETs, EXEC", Kind::Multi, One, &[best(1.0)]),
    row("W13.w", "WATCH, GET, then MULTI, SET, EXEC", Kind::Watch, One, &[best(1.0)]),
    row("W14.1", "GET, 1 thread, one blocking client", Kind::Threads(1), Free, &[best(1.0)]),
    row("W14.4", "GET, 4 threads, one blocking client", Kind::Threads(4), Free, &[best(1.0)]),
    row("W14.16", "GET, 16 threads, one blocking client", Kind::Threads(16), Free, &[best(1.0)]),
    row("W14.64", "GET, 64 threads, one blocking client", Kind::Threads(64), Free, &[best(1.0)]),
    row("W15.h", "GET that a client-side cache has", Kind::CacheHit, One, &[best(1.0)]),
    row("W15.m", "GET that a client-side cache has not", Kind::CacheMiss, One, &[best(1.0)]),
];
