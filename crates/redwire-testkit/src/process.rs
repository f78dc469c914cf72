//! A server's process: started, signalled, ended, and ended as well when the process of the test is no more.
//!
//! It knows nothing of Redis. Each process has a watcher beside it, a shell that waits for the end of a pipe
//! whose other end only this process holds: however the test dies, the pipe closes, and the watcher kills the
//! server and removes its directory. Destructors can't promise that, the less for a `static`.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// Waits for the pipe, then cleans up. `$1` is the process, `$2` the directory.
const WATCH: &str = r#"trap '' HUP INT TERM; read _; kill -9 "$1"; rm -rf "$2""#;

/// How long a process may take to stop after SIGSTOP.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A running process. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    watcher: Child,
}

impl Process {
    /// Starts `binary` in `dir`; what it prints goes to `output`.
    pub(crate) fn start(binary: &Path, args: &[&str], dir: &Path, output: File) -> io::Result<Self> {
        // A process group of its own: Ctrl-C in a terminal must not reach the watcher before its work is
        // done.
        let mut child = Command::new(binary)
            .args(args)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()?;
        let watcher = Command::new("sh")
            .args(["-c", WATCH, "sh", &child.id().to_string()])
            .arg(dir)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        match watcher {
            Ok(watcher) => Ok(Self { child, watcher }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops it (SIGSTOP) and returns when it stands still.
    pub(crate) fn freeze(&self) -> io::Result<()> {
        kill_process(self.pid(), Signal::STOP)?;
        let end = Instant::now() + STOP_LIMIT;
        while waitid(WaitId::Pid(self.pid()), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG)?.is_none() {
            if Instant::now() > end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Lets it run on (SIGCONT).
    pub(crate) fn thaw(&self) -> io::Result<()> {
        Ok(kill_process(self.pid(), Signal::CONT)?)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watcher goes first: until the child is waited for, its id can't be another's.
        end(&mut self.watcher);
        end(&mut self.child);
    }
}

/// SIGKILL ends a stopped process as well. Both calls only fail if it has ended already.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
