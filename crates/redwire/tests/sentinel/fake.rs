//! Sentinels that tell what a test has them tell, before real servers. They check nothing.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use redwire_testkit::FakeServer;

/// What a fake sentinel tells; it may be changed while it runs.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) master: Option<SocketAddr>,
    pub(crate) flags: &'static str,
    pub(crate) epoch: u32,
    pub(crate) others: u32,
    pub(crate) replicas: Vec<SocketAddr>,
    /// The other sentinels that it tells of.
    pub(crate) sentinels: Vec<SocketAddr>,
    /// What follows SENTINEL where it refuses the question, and what it says then.
    pub(crate) refuses: &'static [&'static str],
    pub(crate) refusal: &'static str,
    /// The replica that it publishes to have taken over, and the master that it names to whom asks for no
    /// more than that.
    pub(crate) promoted: Option<(SocketAddr, SocketAddr)>,
    /// Whether it lets itself be listened to, and publishes that there is news of a replica when it is told
    /// another view: with its answer to the next `PING`, which listeners send each `health_check_interval`.
    pub(crate) publishes: bool,
}

impl View {
    pub(crate) fn of(master: SocketAddr) -> Self {
        Self {
            master: Some(master),
            flags: "master",
            epoch: 1,
            others: 2,
            replicas: Vec::new(),
            sentinels: Vec::new(),
            refuses: &[],
            refusal: "",
            promoted: None,
            publishes: false,
        }
    }
}

/// A sentinel for the service `mymaster`.
pub(crate) struct FakeSentinel {
    server: FakeServer,
    view: Arc<Mutex<View>>,
    news: Arc<AtomicBool>,
}

impl FakeSentinel {
    pub(crate) fn telling(view: View) -> Self {
        let view = Arc::new(Mutex::new(view));
        let news = Arc::new(AtomicBool::new(false));
        let server = FakeServer::answering({
            let (view, news) = (Arc::clone(&view), Arc::clone(&news));
            move |words| {
                let view = view.lock().unwrap();
                if !view.publishes || !words[0].eq_ignore_ascii_case(b"PING") {
                    return answer(&view, words);
                }
                let mut reply = Vec::new();
                if news.swap(false, Ordering::Relaxed) {
                    let news = "slave 127.0.0.1:1 127.0.0.1 1 @ mymaster 127.0.0.1 1";
                    reply = list(&["message", "+slave", news]);
                }
                reply.extend(list(&["pong", ""]));
                reply
            }
        });
        Self { server, view, news }
    }

    pub(crate) fn tell(&self, view: View) {
        *self.view.lock().unwrap() = view;
        self.news.store(true, Ordering::Relaxed);
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// How often it was asked where the master is, and no more.
    pub(crate) fn asked_for_address(&self) -> usize {
        let is_question =
            |words: &&Vec<Vec<u8>>| words.get(1).is_some_and(|word| word == b"GET-MASTER-ADDR-BY-NAME");
        self.server.received().iter().filter(is_question).count()
    }

    /// How often it was sent this command.
    pub(crate) fn times(&self, command: &str) -> usize {
        self.server.received().iter().filter(|words| words[0] == command.as_bytes()).count()
    }

    /// How often it was asked for the master.
    pub(crate) fn asked(&self) -> usize {
        let is_question = |words: &&Vec<Vec<u8>>| words.get(1).is_some_and(|word| word == b"MASTER");
        self.server.received().iter().filter(is_question).count()
    }
}

/// A URL of the service, by these sentinels.
pub(crate) fn url(sentinels: &[SocketAddr]) -> String {
    let hosts: Vec<_> = sentinels.iter().map(ToString::to_string).collect();
    format!("redis+sentinel://{}/mymaster", hosts.join(","))
}

fn answer(view: &View, words: &[Vec<u8>]) -> Vec<u8> {
    let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    match words.as_slice() {
        ["HELLO", ..] => b"-ERR unknown command 'HELLO'\r\n".to_vec(),
        ["SENTINEL", question, ..] if view.refuses.contains(question) => {
            format!("-{}\r\n", view.refusal).into_bytes()
        }
        ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", service] => {
            let master = view.promoted.map(|(_, named)| named).or(view.master);
            match master.filter(|_| *service == "mymaster") {
                None => b"*-1\r\n".to_vec(),
                Some(master) => list(&[&master.ip().to_string(), &master.port().to_string()]),
            }
        }
        ["SENTINEL", "MASTER", "mymaster"] => match view.master {
            None => b"-ERR No such master with that name\r\n".to_vec(),
            Some(master) => fields(&[
                ("name", "mymaster"),
                ("ip", &master.ip().to_string()),
                ("port", &master.port().to_string()),
                ("flags", view.flags),
                ("config-epoch", &view.epoch.to_string()),
                ("num-other-sentinels", &view.others.to_string()),
            ]),
        },
        ["SENTINEL", "MASTER" | "SENTINELS" | "REPLICAS" | "SLAVES", other] if *other != "mymaster" => {
            b"-ERR No such master with that name\r\n".to_vec()
        }
        ["SENTINEL", "SENTINELS", _] => instances(&view.sentinels, "sentinel"),
        ["SENTINEL", "REPLICAS" | "SLAVES", _] => instances(&view.replicas, "slave"),
        ["SUBSCRIBE", channels @ ..] if view.publishes || view.promoted.is_some() => {
            let mut reply = Vec::new();
            for channel in channels {
                let (length, count) = (channel.len(), channels.len());
                let confirmed = format!("*3\r\n$9\r\nsubscribe\r\n${length}\r\n{channel}\r\n:{count}\r\n");
                reply.extend(confirmed.into_bytes());
            }
            if let Some((replica, _)) = view.promoted {
                let (ip, port) = (replica.ip(), replica.port());
                let news = format!("slave {replica} {ip} {port} @ mymaster 127.0.0.1 1");
                reply.extend(list(&["message", "+promoted-slave", &news]));
            }
            reply
        }
        _ => b"+OK\r\n".to_vec(),
    }
}

fn instances(addresses: &[SocketAddr], flags: &str) -> Vec<u8> {
    let mut reply = format!("*{}\r\n", addresses.len()).into_bytes();
    for address in addresses {
        reply.extend(fields(&[
            ("ip", &address.ip().to_string()),
            ("port", &address.port().to_string()),
            ("flags", flags),
            ("master-link-status", "ok"),
        ]));
    }
    reply
}

fn list(words: &[&str]) -> Vec<u8> {
    let said: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{said}", words.len()).into_bytes()
}

fn fields(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut reply = format!("*{}\r\n", pairs.len() * 2);
    for (name, value) in pairs {
        reply += &format!("${}\r\n{name}\r\n${}\r\n{value}\r\n", name.len(), value.len());
    }
    reply.into_bytes()
}
