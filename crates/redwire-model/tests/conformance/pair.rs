//! A real server and a model, with the same clients, that are told the same.
//!
//! This file must not know which lines are told, nor which differences are right.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use redwire_model::{ClientId, Model, Options};
use redwire_testkit::Server;

use crate::differences::{About, are_alike};
use crate::frames::Frame;

/// How many clients there are. The first never waits.
const CLIENTS: usize = 4;
/// How long a real server may take.
const LIMIT: Duration = Duration::from_secs(5);

/// See the file's own words.
pub(crate) struct Pair<'s> {
    server: &'s Server,
    about: About,
    resp3: bool,
    model: Model,
    began: Instant,
    clients: Vec<Client>,
    said: VecDeque<String>,
}

/// A client of both.
struct Client {
    real: UnixStream,
    /// What the real server sent and was not compared yet.
    heard: Vec<u8>,
    real_id: i64,
    id: ClientId,
    /// The commands it has queued since `MULTI`.
    queue: Vec<Vec<Vec<u8>>>,
    waits: bool,
    queues: bool,
}

impl<'s> Pair<'s> {
    /// Both empty, with all clients connected.
    pub(crate) fn new(server: &'s Server, about: About, resp3: bool) -> Self {
        for line in ["FLUSHALL", "SCRIPT FLUSH", "CONFIG RESETSTAT"] {
            let words: Vec<&str> = line.split(' ').collect();
            server.command(&words).unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
        }
        let _ = server.command(&["ACL", "DELUSER", "alice"]);
        let time = server.command(&["TIME"]).expect("the server is up");
        let numbers: Vec<u64> =
            time.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
        let unix_time = Duration::from_secs(numbers[0]) + Duration::from_micros(numbers[1]);
        let model = Model::new(Options::new().unix_time(unix_time));
        let (clients, said) = (Vec::new(), VecDeque::new());
        let mut pair = Self { server, about, resp3, model, began: Instant::now(), clients, said };
        for _ in 0..CLIENTS {
            let client = pair.connect();
            pair.clients.push(client);
        }
        pair
    }

    fn connect(&mut self) -> Client {
        let real = UnixStream::connect(self.server.unix_path()).expect("the server listens");
        real.set_read_timeout(Some(Duration::from_millis(50))).expect("a limit can be set");
        let id = self.model.connect("127.0.0.1:50000", self.began.elapsed());
        let mut client = Client {
            real,
            heard: Vec::new(),
            real_id: 0,
            id,
            queue: Vec::new(),
            waits: false,
            queues: false,
        };
        client.send(&[b"CLIENT".to_vec(), b"ID".to_vec()]);
        client.real_id = client.next().and_then(|frame| frame.number()).expect("it has an id");
        if self.resp3 {
            client.send(&[b"HELLO".to_vec(), b"3".to_vec()]);
            client.next().expect("it speaks RESP3");
            self.model.receive(id, b"HELLO 3\r\n", self.began.elapsed());
            self.model.transmit(id);
        }
        client
    }

    /// The clients that do not wait.
    pub(crate) fn free_clients(&self) -> Vec<usize> {
        (0..CLIENTS).filter(|client| !self.clients[*client].waits).collect()
    }

    /// Whether a client is between `MULTI` and `EXEC`.
    pub(crate) fn is_queueing(&self, client: usize) -> bool {
        self.clients[client].queues
    }

    /// Tells both a line of a client; `Err` says in what they differ.
    pub(crate) fn run(&mut self, client: usize, words: &[Vec<u8>]) -> Result<(), String> {
        let text: Vec<String> = words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        self.said.push_back(format!("  {client}: {}", text.join(" ")));
        if self.said.len() > 6 {
            self.said.pop_front();
        }
        let (ids, real_ids): (Vec<i64>, Vec<i64>) = self
            .clients
            .iter()
            .map(|client| (i64::try_from(client.id.get()).expect("ids are small"), client.real_id))
            .unzip();
        let (theirs, ours) = (encoded(&with_ids(words, &real_ids)), encoded(&with_ids(words, &ids)));
        self.tell(client, words, (&theirs, &ours))
    }

    /// As [`run`](Self::run), of bytes that need not be a command.
    pub(crate) fn run_raw(&mut self, client: usize, bytes: &[u8]) -> Result<(), String> {
        self.said.push_back(format!("  {client}: {:?}", String::from_utf8_lossy(bytes)));
        self.tell(client, &[], (bytes, bytes))
    }

    fn tell(&mut self, client: usize, words: &[Vec<u8>], bytes: (&[u8], &[u8])) -> Result<(), String> {
        // What has ended is seen when its replies are compared.
        let _ = self.clients[client].real.write_all(bytes.0);
        let id = self.clients[client].id;
        self.model.receive(id, bytes.1, self.began.elapsed());
        let queue = std::mem::take(&mut self.clients[client].queue);
        let mut result = Ok(());
        for other in 0..CLIENTS {
            let told: &[Vec<Vec<u8>>] = if other == client { &queue } else { &[] };
            let own = if other == client { words } else { &[] };
            result = result.and_then(|()| self.compare(other, own, told));
        }
        // What was queued before stays so, unless the transaction is over.
        let ends = ["EXEC", "DISCARD", "RESET"].iter().any(|name| is_word(words, name));
        if !ends && self.clients[client].id == id {
            self.clients[client].queue.splice(..0, queue);
        }
        if self.clients[client].waits {
            self.await_wait(client);
        }
        let said: Vec<&str> = self.said.iter().map(String::as_str).collect();
        result.map_err(|difference| format!("{difference}\n{}", said.join("\n")))
    }

    /// A command that waits says nothing, so that the server is asked whether it has got it.
    fn await_wait(&self, client: usize) {
        let id = self.clients[client].real_id.to_string();
        let until = Instant::now() + LIMIT;
        let waits = || {
            let line = self.server.command(&["CLIENT", "LIST", "ID", &id]).unwrap_or_default();
            line.split(' ').any(|word| word.strip_prefix("flags=").is_some_and(|flags| flags.contains('b')))
        };
        while !waits() && Instant::now() < until {}
    }

    /// Compares what one client has heard.
    fn compare(&mut self, at: usize, words: &[Vec<u8>], queue: &[Vec<Vec<u8>>]) -> Result<(), String> {
        let id = self.clients[at].id;
        let expected = Frame::all(&self.model.transmit(id));
        let about = self.about;
        let client = &mut self.clients[at];
        let mut real = Vec::new();
        for _ in &expected {
            match client.next() {
                Some(frame) => real.push(frame),
                None => break,
            }
        }
        if expected.iter().any(|frame| frame.text().as_deref() == Some("QUEUED")) {
            client.queue.push(words.to_vec());
        }
        match () {
            () if is_word(words, "MULTI") && !expected.iter().all(Frame::is_error) => client.queues = true,
            () if ["EXEC", "DISCARD", "RESET"].iter().any(|name| is_word(words, name)) => {
                client.queues = false
            }
            () => {}
        }
        // A push says nothing of whether it waits on.
        let is_answered = expected.iter().any(|frame| !matches!(frame, Frame::Items(b'>', _)));
        if is_answered {
            client.waits = false;
        } else if !words.is_empty() {
            let name = String::from_utf8_lossy(&words[0]).to_ascii_uppercase();
            client.waits = name.starts_with("BL")
                || name.starts_with("BR")
                || name.starts_with("BZ")
                || name.starts_with("XREAD");
        }
        if !are_alike(about, words, queue, &expected, &real) {
            return Err(format!("client {at} heard\n  {real:?}\n  and the model says\n  {expected:?}"));
        }
        if self.model.is_closing(id) {
            if !self.clients[at].has_ended() {
                return Err(format!("the server did not hang up on client {at}, as the model did"));
            }
            self.model.disconnect(id, self.began.elapsed());
            self.clients[at] = self.connect();
        }
        Ok(())
    }
}

impl Client {
    fn send(&mut self, words: &[Vec<u8>]) {
        // What has ended is seen when its replies are compared.
        let _ = self.real.write_all(&encoded(words));
    }

    /// The next frame of the real server.
    fn next(&mut self) -> Option<Frame> {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some((frame, used)) = Frame::take(&self.heard).filter(|_| !self.heard.is_empty()) {
                self.heard.drain(..used);
                return Some(frame);
            }
            if !self.fill() || Instant::now() > until {
                return None;
            }
        }
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.real.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.heard.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    fn has_ended(&mut self) -> bool {
        let until = Instant::now() + LIMIT;
        while Instant::now() < until {
            if !self.fill() {
                return true;
            }
        }
        false
    }
}

fn is_word(words: &[Vec<u8>], name: &str) -> bool {
    words.first().is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
}

/// `@2` is the id of the third client, which is another on each side.
fn with_ids(words: &[Vec<u8>], ids: &[i64]) -> Vec<Vec<u8>> {
    let word = |word: &Vec<u8>| match word.as_slice() {
        [b'@', digit @ b'0'..=b'9'] => {
            ids.get(usize::from(digit - b'0')).map_or_else(|| word.clone(), |id| id.to_string().into_bytes())
        }
        _ => word.clone(),
    };
    words.iter().map(word).collect()
}

fn encoded(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
