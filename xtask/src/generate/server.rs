//! A private server for as long as a value lives: on a free port of this machine, in a folder of its own.
//!
//! Must not know: what it is asked. Richer servers (passwords, clusters, …) belong to the test kit.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, process, thread};

use super::resp::Connection;

/// What the server is started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// An ordinary server.
    Server,
    /// A Sentinel, which has commands of its own.
    Sentinel,
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Server {
    /// Starts `binary` and waits until it accepts connections.
    pub(crate) fn start(binary: &Path, mode: Mode) -> io::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = env::temp_dir().join(format!("redwire-xtask-{}-{port}", process::id()));
        fs::create_dir_all(&folder)?;
        let config = folder.join("server.conf");
        fs::write(&config, format!("port {port}\nbind 127.0.0.1\ndir \"{}\"\n", folder.display()))?;
        let mut command = Command::new(binary);
        command.arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match mode {
            Mode::Server => command.args(["--save", ""]),
            Mode::Sentinel => command.arg("--sentinel"),
        };
        let child = command
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", binary.display())))?;
        let mut server = Self { child, port, folder };
        server.wait_until_ready(binary)?;
        Ok(server)
    }

    /// A new connection to it.
    pub(crate) fn connect(&self) -> io::Result<Connection> {
        Connection::open(self.port)
    }

    fn wait_until_ready(&mut self, binary: &Path) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.connect().is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("{} ended at once: {status}", binary.display())));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{} does not answer within 10 s", binary.display())));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing to be done if these fail: the process may be gone already, and the folder is temporary.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
