//! A private server for the time of a run: free port, nothing persisted, stopped when dropped.
//! It knows nothing of what is measured, nor of clusters.

use std::env;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::{Fallible, data};

/// A running server, loaded with the data set.
pub struct Server {
    /// `host:port`.
    pub addr: String,
    process: Child,
}

impl Server {
    /// Starts `program`; without one, that of `REDWIRE_SERVER`, or else whichever of `redis-server` and
    /// `valkey-server` is on PATH. On core `core` only, if one is given.
    ///
    /// # Errors
    /// Fails if there is no server or if it does not answer within five seconds.
    pub fn start(program: Option<&str>, core: Option<usize>) -> Fallible<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Self::launch(program, core, port, &env::temp_dir(), &[])?;
        data::load(&server.addr)?;
        Ok(server)
    }

    /// As [`start`](Self::start), but empty, on this port, in this folder and with further arguments.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn launch(
        program: Option<&str>,
        core: Option<usize>,
        port: u16,
        folder: &Path,
        further: &[&str],
    ) -> Fallible<Self> {
        let named = program.map(PathBuf::from).or_else(|| env::var_os("REDWIRE_SERVER").map(PathBuf::from));
        let program = match named {
            Some(path) => path,
            None => on_path(&["redis-server", "valkey-server"])
                .ok_or("no redis-server or valkey-server on PATH; name one with --server")?,
        };
        let mut command = on_core(&program.to_string_lossy(), core);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "no", "--daemonize", "no", "--dir"]).arg(folder).args(further);
        let process =
            command.stdout(Stdio::null()).spawn().map_err(|e| format!("{}: {e}", program.display()))?;
        let mut server = Self { addr: format!("127.0.0.1:{port}"), process };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    fn wait_until_it_listens(&mut self) -> Fallible<()> {
        for _ in 0..1000 {
            if TcpStream::connect(&self.addr).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("the server ended at once: {status}").into());
            }
            sleep(Duration::from_millis(5));
        }
        Err("the server does not listen after 5 s".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It holds nothing worth saving; that it has ended already is no fault here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the server at `addr` is, and its version: `Redis 8.0.2`.
///
/// # Errors
/// Fails if it does not tell.
pub fn version(addr: &str) -> Fallible<String> {
    let told = data::ask(&mut TcpStream::connect(addr)?, &["INFO", "server"])?;
    let field = |name: &str| told.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    // Valkey tells a version of Redis, too: the one it is compatible with.
    let valkey = field("valkey_version:").map(|version| format!("Valkey {version}"));
    let redis = || field("redis_version:").map(|version| format!("Redis {version}"));
    valkey.or_else(redis).ok_or_else(|| format!("the server at {addr} does not tell its version").into())
}

/// A command, bound to one core if one is given.
pub fn on_core(program: &str, core: Option<usize>) -> Command {
    let Some(core) = core else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string(), program]);
    command
}

/// The first of `names` found on PATH.
pub fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let places: Vec<_> = env::split_paths(&path).collect();
    names.iter().find_map(|name| places.iter().map(|place| place.join(name)).find(|file| file.is_file()))
}
