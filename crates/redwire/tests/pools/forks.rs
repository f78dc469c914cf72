//! A process that forks: the child opens connections of its own and leaves those of its parent alone,
//! whatever it inherits (I1). FAULTS 21.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fork::{Fork, fork, waitpid_nohang};
use redwire::cluster::NodeChoice;
use redwire::config::Config;
use redwire::prelude::*;
use redwire::{Result, Run, blocking, cmd};
use redwire_testkit::{ClusterSet, Server, eventually, slot};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::{Builder, Runtime};

use crate::common::TellOnDrop;

/// So many calls on each of four things inherited, by the parent and the child at the same time.
const CALLS: usize = 2500;

/// What a child may take for all of them.
const LIMIT: Duration = Duration::from_secs(60);

/// A forked process that has something to do.
struct Child {
    pid: i32,
    report: UnixStream,
}

impl Child {
    /// Does `work` in a child. It ends with that, and none of what the parent would do next is done twice.
    fn start(work: impl FnOnce() -> String) -> Self {
        let (report, mut end) = UnixStream::pair().unwrap();
        match fork().unwrap() {
            Fork::Parent(pid) => Self { pid, report },
            Fork::Child => {
                let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
                    let text = panic.downcast_ref::<String>().cloned();
                    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                        .unwrap_or_else(|| "a panic".to_owned())
                });
                let told = end.write_all(done.as_bytes());
                std::process::exit(i32::from(told.is_err()));
            }
        }
    }

    /// What it reports: the ids of its connections. It has ended then.
    #[track_caller]
    fn finish(mut self) -> BTreeSet<u64> {
        let (begin, mut status) = (Instant::now(), None);
        while status.is_none() {
            if begin.elapsed() > LIMIT {
                kill_process(Pid::from_raw(self.pid).unwrap(), Signal::KILL).unwrap();
                fork::waitpid(self.pid).unwrap();
                panic!("the child does not end");
            }
            status = waitpid_nohang(self.pid).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        let mut text = String::new();
        self.report.set_nonblocking(true).unwrap();
        // What other children hold of this pipe keeps it open, so its end may not come.
        let _ = self.report.read_to_string(&mut text);
        assert_eq!(status, Some(0), "{text}");
        let ids: std::result::Result<_, _> = text.split(' ').map(str::parse).collect();
        ids.unwrap_or_else(|_| panic!("the child says: {text}"))
    }
}

/// The ids of connections, as a child reports them.
fn report(ids: &BTreeSet<u64>) -> String {
    ids.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

/// What a process has before it forks.
struct Inherited {
    client: blocking::Client,
    pool: blocking::Pool,
    lease: Option<blocking::Lease>,
    connection: Option<blocking::Connection>,
}

impl Inherited {
    fn new(server: &Server, protocol: u8) -> Self {
        let url = format!("{}?protocol={protocol}&client_name=forking", server.url());
        let client = blocking::Client::connect(&url).unwrap();
        let pool = blocking::Pool::connect(&url).unwrap();
        let lease = Some(pool.get().unwrap());
        let connection = Some(blocking::Connection::connect(&url).unwrap());
        // An idle one beside the one that is lent.
        drop(pool.get().unwrap());
        Self { client, pool, lease, connection }
    }

    /// Calls of every kind, each with its own answer; gives the ids of the connections that they went over.
    fn call(&mut self, who: &str, count: usize) -> BTreeSet<u64> {
        let mut ids = BTreeSet::new();
        let id = || cmd::<u64>("CLIENT ID");
        let (lease, connection) = (self.lease.as_mut().unwrap(), self.connection.as_mut().unwrap());
        for number in 0..count {
            let tag = format!("{who}:{number}");
            let echo = || cmd::<String>("ECHO").arg(&tag);
            assert_eq!(self.client.execute(echo()).unwrap(), tag);
            assert_eq!(self.pool.get().unwrap().run(echo()).unwrap(), tag);
            assert_eq!(lease.run(echo()).unwrap(), tag);
            assert_eq!(connection.run(echo()).unwrap(), tag);
        }
        ids.insert(self.client.execute(id()).unwrap());
        ids.insert(self.pool.get().unwrap().run(id()).unwrap());
        ids.insert(lease.run(id()).unwrap());
        ids.insert(connection.run(id()).unwrap());
        assert_eq!(ids.len(), 4);
        ids
    }
}

#[test]
fn parent_and_child_go_on_with_connections_of_their_own() {
    for protocol in [3, 2] {
        let server = Server::start();
        let mut inherited = Inherited::new(&server, protocol);
        let before = inherited.call("before", 1);
        let child = Child::start(|| report(&inherited.call("child", CALLS)));
        let after = inherited.call("parent", CALLS);
        let of_child = child.finish();
        assert_eq!(after, before, "the parent keeps what it had");
        assert!(of_child.is_disjoint(&before), "{of_child:?} and {before:?}");
        assert_eq!(inherited.call("later", 10), before, "the end of the child changes nothing");
        // What the child had is gone; what the parent has, is there.
        eventually("only the parent's are left", LIMIT, || {
            let named = server.client_list().into_iter().filter(|client| client["name"] == "forking");
            let ids: BTreeSet<u64> = named.map(|client| client["id"].parse().unwrap()).collect();
            ids.is_superset(&before) && ids.is_disjoint(&of_child)
        });
    }
}

/// All a child does with what it inherits is to give it up, in every way there is.
#[test]
fn a_child_that_drops_what_it_inherits_does_not_harm_its_parent() {
    let server = Server::start();
    let mut inherited = Inherited::new(&server, 3);
    let before = inherited.call("before", 1);
    let url = server.url();
    for way in 0..6 {
        let child = Child::start(|| {
            match way {
                0 => drop((inherited.lease.take(), inherited.connection.take())),
                1 => inherited.lease.take().unwrap().discard(),
                2 => drop(inherited.lease.take().unwrap().detach()),
                3 => inherited.connection.as_mut().unwrap().disconnect(),
                4 => inherited.pool.close_now(),
                _ => {
                    inherited.pool.disconnect();
                    inherited.client.close(Duration::ZERO);
                }
            }
            // It can begin anew.
            let id = blocking::Client::connect(&url).unwrap().execute(cmd::<u64>("CLIENT ID")).unwrap();
            id.to_string()
        });
        let of_child = child.finish();
        assert!(of_child.is_disjoint(&before));
        assert_eq!(inherited.call("after", 10), before, "way {way}");
    }
    assert_eq!(inherited.pool.stats().in_use, 1);
}

/// A reply that is under way as the process forks is the parent's.
#[test]
fn a_reply_under_way_reaches_the_parent() {
    let server = Server::start();
    let mut connection = blocking::Connection::connect(&server.url()).unwrap();
    let pool = blocking::Pool::connect(&server.url()).unwrap();
    let mut lease = pool.get().unwrap();
    connection.send(&cmd::<String>("ECHO").arg("hand")).unwrap();
    lease.send(&cmd::<String>("ECHO").arg("lease")).unwrap();
    let child = Child::start(|| {
        // There is nothing for it to read, and what it asks itself is answered to it.
        assert!(!connection.can_read(Duration::from_millis(10)).unwrap());
        assert_eq!(connection.run(cmd::<String>("ECHO").arg("child")).unwrap(), "child");
        assert_eq!(lease.run(cmd::<String>("ECHO").arg("child")).unwrap(), "child");
        connection.run(cmd::<u64>("CLIENT ID")).unwrap().to_string()
    });
    child.finish();
    assert_eq!(connection.read_reply::<String>().unwrap(), "hand");
    assert_eq!(lease.read_reply::<String>().unwrap(), "lease");
}

/// Forked while other threads are in the midst of calls: the child has none of those threads, and does not
/// wait for them.
#[test]
fn a_fork_amid_calls_of_other_threads_works() {
    let server = Server::start();
    let url = format!("{}?max_connections=3", server.url());
    let client = blocking::Client::connect(&url).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = TellOnDrop(&done);
        for caller in 0..4 {
            let (client, done) = (&client, &done);
            scope.spawn(move || {
                for number in 0.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let tag = format!("{caller}:{number}");
                    assert_eq!(client.execute(cmd::<String>("ECHO").arg(&tag)).unwrap(), tag);
                }
            });
        }
        for round in 0..10 {
            let child = Child::start(|| {
                let mut ids = BTreeSet::new();
                for number in 0..50 {
                    let tag = format!("child {round}:{number}");
                    assert_eq!(client.execute(cmd::<String>("ECHO").arg(&tag)).unwrap(), tag);
                    ids.insert(client.execute(cmd::<u64>("CLIENT ID")).unwrap());
                }
                report(&ids)
            });
            assert_eq!(child.finish().len(), 1);
        }
    });
}

/// The child of a child, and one that outlives calls of its parent.
#[test]
fn generations_do_not_meet() {
    let server = Server::start();
    let client = blocking::Client::connect(&server.url()).unwrap();
    let id = || client.execute(cmd::<u64>("CLIENT ID")).unwrap();
    let own = id();
    let child = Child::start(|| {
        let child = id();
        let grandchild = Child::start(|| id().to_string()).finish();
        assert_eq!(id(), child);
        report(&grandchild.into_iter().chain([child]).collect())
    });
    let others = child.finish();
    assert!(others.len() == 2 && !others.contains(&own), "{others:?}");
    assert_eq!(id(), own);
}

/// The ids of connections at the nodes of a cluster; each node counts for itself.
fn ids_at_nodes(cluster: &blocking::Cluster) -> BTreeSet<u64> {
    let ids = cluster.execute_on(NodeChoice::Primaries, &cmd::<u64>("CLIENT ID"));
    ids.into_iter().map(|(node, id)| u64::from(node.port) << 32 | id.unwrap()).collect()
}

/// Forked while a thread of the parent asks for the map of a cluster, which a child has not, and others wait
/// for it: the child asks itself, and calls find their nodes there, too, while slots move.
#[test]
fn a_child_follows_a_cluster_by_itself() {
    let set = ClusterSet::builder().primaries(3).replicas(0).start();
    let url = format!("{}?refresh_pause=20ms", set.url());
    let cluster = blocking::Cluster::connect(&url).unwrap();
    let client = cluster.client();
    let (before, done) = (ids_at_nodes(&cluster), AtomicBool::new(false));
    thread::scope(|scope| {
        let _end = TellOnDrop(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                cluster.refresh().unwrap();
            }
        });
        for round in 0..10 {
            let moving = slot(format!("{round}:7"));
            let child = Child::start(|| {
                for number in 0..30 {
                    let key = format!("{round}:{number}");
                    client.set(&key, number).unwrap();
                    assert_eq!(client.get::<i64>(&key).unwrap(), Some(number));
                }
                let keys: Vec<_> = (0..30).map(|number| format!("{round}:{number}")).collect();
                let values: Vec<Option<i64>> = client.mget(&keys).unwrap();
                assert_eq!(values, (0..30).map(Some).collect::<Vec<_>>());
                cluster.refresh().unwrap();
                let ids = ids_at_nodes(&cluster);
                client.close(Duration::ZERO);
                report(&ids)
            });
            set.move_slot(moving, (set.owner(moving) + 1) % 3);
            let of_child = child.finish();
            assert!(of_child.len() == 3 && of_child.is_disjoint(&before), "{of_child:?} and {before:?}");
            assert_eq!(client.get::<i64>(format!("{round}:7")).unwrap(), Some(7));
        }
    });
    assert_eq!(ids_at_nodes(&cluster), before, "the parent keeps what it had");
}

/// What a process with a runtime has before it forks.
struct InheritedByTasks {
    client: redwire::Client,
    pool: redwire::Pool,
    lease: redwire::Lease,
    connection: redwire::Connection,
}

impl InheritedByTasks {
    async fn new(server: &Server, protocol: u8) -> Result<Self> {
        let url = format!("{}?protocol={protocol}&client_name=forking", server.url());
        let pool = redwire::Pool::open(Config::from_url(&url)?).await?;
        let client = redwire::Client::connect(&url).await?;
        Ok(Self {
            lease: pool.get().await?,
            connection: redwire::Connection::connect(&url).await?,
            client,
            pool,
        })
    }

    async fn call(&mut self, who: &str, count: usize) -> Result<BTreeSet<u64>> {
        for number in 0..count {
            let tag = format!("{who}:{number}");
            let echo = || cmd::<String>("ECHO").arg(&tag);
            assert_eq!(self.client.execute(echo()).await?, tag);
            assert_eq!(self.pool.get().await?.run(echo()).await?, tag);
            assert_eq!(self.lease.run(echo()).await?, tag);
            assert_eq!(self.connection.run(echo()).await?, tag);
        }
        // One that borrows from the client's pool.
        self.client.execute(cmd::<Option<(String, String)>>("BLPOP").arg("nothing").arg(0.01)).await?;
        let id = || cmd::<u64>("CLIENT ID");
        let ids = [
            self.client.execute(id()).await?,
            self.pool.get().await?.run(id()).await?,
            self.lease.run(id()).await?,
            self.connection.run(id()).await?,
        ];
        let ids = BTreeSet::from(ids);
        assert_eq!(ids.len(), 4);
        Ok(ids)
    }
}

fn new_runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// The runtime of the parent lives on; the child, which has none of its threads, makes another.
#[test]
fn parent_and_child_with_runtimes_go_on_with_connections_of_their_own() {
    for protocol in [3, 2] {
        let (server, runtime) = (Server::start(), new_runtime());
        let mut inherited = runtime.block_on(InheritedByTasks::new(&server, protocol)).unwrap();
        let before = runtime.block_on(inherited.call("before", 1)).unwrap();
        let child = Child::start(|| {
            let own = new_runtime();
            report(&own.block_on(inherited.call("child", CALLS)).unwrap())
        });
        let after = runtime.block_on(inherited.call("parent", CALLS)).unwrap();
        let of_child = child.finish();
        assert_eq!(after, before, "the parent keeps what it had");
        assert!(of_child.is_disjoint(&before), "{of_child:?} and {before:?}");
        let later = runtime.block_on(inherited.call("later", 10)).unwrap();
        assert_eq!(later, before, "the end of the child changes nothing");
    }
}
