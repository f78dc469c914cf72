//! A private cluster for the time of a run: three primaries without replicas, that share out the slots as
//! `share` says. It knows nothing of what is measured.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;
use std::{env, fs, process};

use crate::server::Server;
use crate::{Fallible, data, share};

/// A running cluster, loaded with the ordinary keys.
pub struct Cluster {
    /// `host:port,host:port,host:port`, in the order of their slots.
    pub addr: String,
    nodes: Vec<Server>,
    /// Where the nodes write down what they know of each other.
    folder: PathBuf,
}

/// The nodes talk to each other on their port and this.
const BUS: u16 = 10_000;

impl Cluster {
    /// Starts the nodes as [`Server::start`] does, makes them one cluster, and waits until each says that all
    /// slots are served.
    ///
    /// # Errors
    /// As [`Server::start`]; also if they are no cluster within half a minute.
    pub fn start(program: Option<&str>, core: Option<usize>) -> Fallible<Self> {
        let folder = env::temp_dir().join(format!("peers-cluster-{}", process::id()));
        fs::create_dir_all(&folder)?;
        // From here on it is removed with the rest, whatever fails.
        let mut cluster = Self { addr: String::new(), nodes: Vec::new(), folder };
        for _ in 0..share::NODES {
            let port = free_port()?;
            let file = format!("nodes-{port}.conf");
            let further = ["--cluster-enabled", "yes", "--cluster-config-file", &file];
            cluster.nodes.push(Server::launch(program, core, port, &cluster.folder, &further)?);
        }
        let addrs: Vec<_> = cluster.nodes.iter().map(|node| node.addr.clone()).collect();
        cluster.addr = addrs.join(",");
        join(&addrs)?;
        wait_until_all_is_served(&addrs)?;
        data::load_shares(&addrs)?;
        Ok(cluster)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.clear();
        // What is left over is a few small files among those of the system.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A port that is free, and that of the bus with it.
fn free_port() -> Fallible<u16> {
    for _ in 0..100 {
        let held = TcpListener::bind("127.0.0.1:0")?;
        let port = held.local_addr()?.port();
        if port.checked_add(BUS).is_some_and(|bus| TcpListener::bind(("127.0.0.1", bus)).is_ok()) {
            return Ok(port);
        }
    }
    Err("no port is free together with that of the bus".into())
}

/// Gives each node its slots, and makes all known to each other.
fn join(addrs: &[String]) -> Fallible<()> {
    for (index, addr) in addrs.iter().enumerate() {
        let mut node = TcpStream::connect(addr)?;
        let mut say = |words: &[&str]| data::ask(&mut node, &[&["CLUSTER"], words].concat()).map(drop);
        // Each its own, or they would have to sort that out first.
        say(&["SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
        let slots = share::slots(index);
        say(&["ADDSLOTSRANGE", &slots.start().to_string(), &slots.end().to_string()])?;
        // Each with each, so that no node has to hear of one from a third, which takes seconds.
        for (host, port) in addrs[index + 1..].iter().filter_map(|addr| addr.split_once(':')) {
            say(&["MEET", host, port])?;
        }
    }
    Ok(())
}

fn wait_until_all_is_served(addrs: &[String]) -> Fallible<()> {
    let serves = |addr: &String| -> Fallible<bool> {
        // A connection each time: one read may bring less than the whole reply.
        let told = data::ask(&mut TcpStream::connect(addr)?, &["CLUSTER", "INFO"])?;
        Ok(told.contains("cluster_state:ok")
            && told.contains(&format!("cluster_known_nodes:{}\r\n", share::NODES)))
    };
    for _ in 0..3000 {
        if addrs.iter().map(serves).collect::<Fallible<Vec<_>>>()?.iter().all(|serves| *serves) {
            return Ok(());
        }
        sleep(Duration::from_millis(10));
    }
    Err("the nodes are no cluster after 30 s".into())
}
