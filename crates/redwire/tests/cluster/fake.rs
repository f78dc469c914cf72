//! Nodes that say what a test has them say, and lead to whom it wants. They check nothing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use redwire_testkit::FakeServer;

/// What a fake node says: a map, and an answer to each command of callers. It may be changed while it runs.
pub(crate) struct Script {
    /// From, to, and the nodes as they are announced; the primary first.
    pub(crate) map: Vec<(u16, u16, Nodes)>,
    pub(crate) epoch: u32,
    /// The bytes that answer the words of a command that is not the client's own.
    pub(crate) answer: Box<Answer>,
}

/// Hosts and ports.
type Nodes = Vec<(String, u16)>;

type Answer = dyn FnMut(&[&str]) -> String + Send;

/// A node of a cluster.
pub(crate) struct FakeNode {
    server: FakeServer,
    script: Arc<Mutex<Script>>,
}

impl FakeNode {
    /// One that does not know yet what to say.
    pub(crate) fn start() -> Self {
        let script = Script { map: Vec::new(), epoch: 1, answer: Box::new(|_| "+OK\r\n".to_owned()) };
        let script = Arc::new(Mutex::new(script));
        let server = FakeServer::answering({
            let script = Arc::clone(&script);
            move |words| {
                let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
                let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
                said(&mut script.lock().unwrap(), &words).into_bytes()
            }
        });
        Self { server, script }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Where the map leads.
    pub(crate) fn map(&self, ranges: &[(u16, u16, &[SocketAddr])]) {
        let named = |node: &SocketAddr| (node.ip().to_string(), node.port());
        let range =
            |(from, to, nodes): &(u16, u16, &[SocketAddr])| (*from, *to, nodes.iter().map(named).collect());
        self.script.lock().unwrap().map = ranges.iter().map(range).collect();
    }

    /// Has it say something else.
    pub(crate) fn tell(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    /// What it answers to commands that are not the client's own.
    pub(crate) fn answer(&self, answer: impl FnMut(&[&str]) -> String + Send + 'static) {
        self.script.lock().unwrap().answer = Box::new(answer);
    }

    /// How often this command came.
    pub(crate) fn asked(&self, line: &str) -> usize {
        let words: Vec<_> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        self.server.received().iter().filter(|received| received.starts_with(&words)).count()
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.server.connections()
    }
}

/// A URL of the cluster, by these seeds.
pub(crate) fn url(seeds: &[SocketAddr]) -> String {
    let hosts: Vec<_> = seeds.iter().map(ToString::to_string).collect();
    format!("redis+cluster://{}", hosts.join(","))
}

fn said(script: &mut Script, words: &[&str]) -> String {
    match words {
        ["HELLO", ..] => "-ERR unknown command 'HELLO'\r\n".to_owned(),
        ["CLIENT", "ID"] => ":7\r\n".to_owned(),
        ["CLIENT", ..] | ["READONLY" | "ASKING"] => "+OK\r\n".to_owned(),
        ["CLUSTER", "INFO"] => {
            bulk(&format!("cluster_state:ok\r\ncluster_current_epoch:{}\r\n", script.epoch))
        }
        ["CLUSTER", "SLOTS"] => {
            let rows: String = script.map.iter().map(row).collect();
            format!("*{}\r\n{rows}", script.map.len())
        }
        _ => (script.answer)(words),
    }
}

fn row((from, to, nodes): &(u16, u16, Nodes)) -> String {
    let node = |(host, port): &(String, u16)| {
        // A name by the port, so that it is the same under each address.
        format!("*3\r\n{}:{port}\r\n{}", bulk(host), bulk(&format!("{port:040}")))
    };
    let nodes_said: String = nodes.iter().map(node).collect();
    format!("*{}\r\n:{from}\r\n:{to}\r\n{nodes_said}", nodes.len() + 2)
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}
