//! A model that is started as `redis-server` is: with the path of a configuration file, in a process of its
//! own. `cargo xtask demo` runs on it where there is no server.
//!
//! `cargo run -p redwire-model --example serve -- redis.conf`
//!
//! It knows `port`, `unixsocket`, `requirepass` and `appendonly`; other lines say nothing to it. With
//! `appendonly yes` it keeps the commands that changed data in `appendonly.resp`, each as it was said, and
//! says them again when it starts; so times to live begin anew then.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use redwire_model::{Executed, Host, Model, Options, Reply};

const VERSION: &str = "8.0.2";
const JOURNAL: &str = "appendonly.resp";

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "--version") {
        let line = format!("Redis server v={VERSION} (the model of redwire-model, not a server)\n");
        return Ok(io::stdout().write_all(line.as_bytes())?);
    }
    let [path] = words.as_slice() else { return Err("usage: serve CONFIGURATION-FILE | --version".into()) };
    let text = fs::read_to_string(path)?;
    let said = |name: &str| {
        let value = text.lines().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(|value| value.trim().trim_matches('"'))
    };
    let port = said("port").unwrap_or("6379").parse()?;
    let options = Options::new().version(VERSION).port(port).log(true);
    let options = said("requirepass").into_iter().fold(options, Options::password);
    let host = Host::new(options);
    host.with(|model, _| register_scripts(model));
    let journal = if said("appendonly") == Some("yes") { Some(Journal::open(&host)?) } else { None };
    let served = Arc::new(Served { host, journal: Mutex::new(journal) });
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    if let Some(path) = said("unixsocket") {
        let (served, listener) = (Arc::clone(&served), UnixListener::bind(path)?);
        thread::spawn(move || {
            listener.incoming().flatten().for_each(|socket: UnixStream| served.serve(socket));
        });
    }
    for socket in listener.incoming().flatten() {
        socket.set_nodelay(true)?;
        served.serve(socket);
    }
    Ok(())
}

/// The model reads no Lua: this is the script of the demo.
fn register_scripts(model: &mut Model) {
    model.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])", |call| {
        let (key, by) = (call.keys[0].clone(), call.args[0].clone());
        call.call(&[b"INCRBY".to_vec(), key, by])
    });
}

struct Served {
    host: Host,
    journal: Mutex<Option<Journal>>,
}

impl Served {
    /// Has two threads serve a connection: one reads requests, one writes replies.
    fn serve<S: Socket>(self: &Arc<Self>, socket: S) {
        let (Ok(mut from), Ok(mut to)) = (socket.twin(), socket.twin()) else { return };
        let stream = Arc::new(self.host.connect());
        let (served, replies) = (Arc::clone(self), Arc::clone(&stream));
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                served.host.with(|model, now| {
                    model.receive(stream.id(), &buffer[..count], now);
                    // No thread can read a reply before this is over.
                    served.keep(&model.take_log());
                });
            }
            stream.shutdown();
        });
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = replies.read_within(&mut buffer, None) {
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            to.end();
        });
    }

    fn keep(&self, executed: &[Executed]) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = journal.as_mut().map(|journal| journal.append(executed)) {
            // What is acknowledged is kept: a server that cannot keep it ends.
            let _ = writeln!(io::stderr(), "{JOURNAL}: {error}");
            std::process::exit(1);
        }
    }
}

/// The commands that changed data, as requests.
struct Journal {
    file: File,
    database: Option<usize>,
}

impl Journal {
    /// Says what the file has to the model.
    fn open(host: &Host) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(JOURNAL)?;
        let requests = fs::read(JOURNAL)?;
        host.with(|model, now| {
            let client = model.connect("127.0.0.1:0", now);
            model.receive(client, &requests, now);
            model.disconnect(client, now);
            model.take_log();
        });
        Ok(Self { file, database: None })
    }

    fn append(&mut self, executed: &[Executed]) -> io::Result<()> {
        // Those of a transaction or a script stand for themselves.
        let names: [&[u8]; 4] = [b"EXEC", b"EVAL", b"EVALSHA", b"FCALL"];
        let stands_for_others =
            |words: &[Vec<u8>]| names.iter().any(|name| words[0].eq_ignore_ascii_case(name));
        let mut bytes = Vec::new();
        for Executed { database, words, .. } in
            executed.iter().filter(|command| command.changed && !stands_for_others(&command.words))
        {
            if self.database != Some(*database) {
                self.database = Some(*database);
                bytes.extend(request(&[b"SELECT".to_vec(), database.to_string().into_bytes()]));
            }
            bytes.extend(request(words));
        }
        self.file.write_all(&bytes)
    }
}

/// A request is written as an array of bytes in a reply is.
fn request(words: &[Vec<u8>]) -> Vec<u8> {
    Reply::Array(words.iter().cloned().map(Reply::Bulk).collect()).to_bytes(false)
}

trait Socket: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> io::Result<Self>;
    fn end(&self);
}

impl Socket for TcpStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Socket for UnixStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}
