//! What the tests of the commands share: [`each_client!`](crate::each_client) runs a body, written once, on
//! the blocking and on the async client, each with RESP3 and RESP2. Nothing here checks anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use redwire_testkit::{FakeServer, Node, Server, shared};

/// Runs a body on four clients: `each_client!(|c, key| { run!(c.set(key("a"), 1)); })`.
///
/// In the body, `run!` waits for a call and unwraps its result, `try_run!` leaves the result as it is, and
/// `key("a")` is a name that no other test and no other client uses.
/// `each_client!(on server, |c, key| { … })` uses a server of the test's own, for what would disturb others.
#[macro_export]
macro_rules! each_client {
    (on $server:expr, |$c:ident, $key:ident| $body:block) => {
        $crate::each_client!(@ ($) $server, $c, $key, $body)
    };
    (|$c:ident, $key:ident| $body:block) => {
        $crate::each_client!(@ ($) redwire_testkit::shared(), $c, $key, $body)
    };
    (@ ($d:tt) $server:expr, $c:ident, $key:ident, $body:block) => {
        #[allow(unused_macros, reason = "not every body needs both")]
        for protocol in [3, 2] {
            let url = $crate::harness::url(&$server, protocol);
            {
                macro_rules! try_run { ($d e:expr) => { $d e } }
                macro_rules! run { ($d e:expr) => { $d e.unwrap() } }
                let $c = redwire::blocking::Client::connect(&url).unwrap();
                let $key = $crate::harness::keys();
                let _ = &$key;
                $body
            }
            {
                macro_rules! try_run { ($d e:expr) => { $d e.await } }
                macro_rules! run { ($d e:expr) => { $d e.await.unwrap() } }
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let $c = redwire::Client::connect(&url).await.unwrap();
                    let $key = $crate::harness::keys();
                    let _ = &$key;
                    $body
                });
            }
        }
    };
}

/// What a client of a test connects to.
pub(crate) trait Site {
    fn site(&self) -> String;
}

impl Site for Server {
    fn site(&self) -> String {
        self.url()
    }
}

impl Site for FakeServer {
    fn site(&self) -> String {
        self.url()
    }
}

impl Site for Arc<Node> {
    fn site(&self) -> String {
        format!("redis://{}", self.address())
    }
}

impl<T: Site> Site for &T {
    fn site(&self) -> String {
        (**self).site()
    }
}

/// The address of `site`, for this protocol.
pub(crate) fn url(site: &impl Site, protocol: u8) -> String {
    format!("{}?protocol={protocol}", site.site())
}

/// Makes key names with a prefix of its own.
pub(crate) fn keys() -> impl Fn(&str) -> String {
    static CLIENTS: AtomicU32 = AtomicU32::new(0);
    let client = CLIENTS.fetch_add(1, Ordering::Relaxed);
    move |name| format!("test:{client}:{name}")
}

/// Whether the shared server understands Redis's commands of this version; every Valkey knows those of 7.2.
pub(crate) fn since(major: u32, minor: u32) -> bool {
    let version = if shared().is_valkey() { (7, 2, 0) } else { shared().version() };
    version >= (major, minor, 0)
}

/// Whether the shared server has this command.
pub(crate) fn has(command: &str) -> bool {
    shared()
        .command(&["COMMAND", "INFO", command])
        .is_ok_and(|info| info.to_ascii_lowercase().contains(&command.to_ascii_lowercase()))
}
