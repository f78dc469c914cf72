//! Which address a connection goes to: looked up at each connect, and a dead one costs no timeout (I3, I6).
//! FAULTS 22, 23.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use redwire::config::{Config, ConfigBuilder};
use redwire::resolve::{Resolve, Resolver};
use redwire::{ConnectionFault, ErrorKind, Outcome};
use redwire_testkit::{ClosedPort, Server, eventually};
use socket2::{Domain, Socket, Type};

use crate::common::{GRACE, LIMIT, Setup, timed};

both!(
    new_connections_go_where_the_name_leads_now,
    old_connections_move_with_their_lifetime,
    a_client_follows_the_name_after_a_loss,
    a_dead_first_address_costs_no_timeout,
    an_address_that_refuses_costs_nothing,
    each_dead_address_is_named,
    a_silent_host_costs_the_connect_timeout,
    a_name_that_is_looked_up_slowly_ends_with_the_call,
    a_name_without_address_is_told,
);

/// Answers what it was told last.
#[derive(Default)]
struct Names {
    addresses: Mutex<Vec<SocketAddr>>,
    asked: AtomicUsize,
}

impl Names {
    fn new(addresses: &[SocketAddr]) -> Arc<Self> {
        let names = Self::default();
        names.lead_to(addresses);
        Arc::new(names)
    }

    fn lead_to(&self, addresses: &[SocketAddr]) {
        *self.addresses.lock().unwrap() = addresses.to_vec();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Names {
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        assert_eq!((host, port), ("db.example", 7000));
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.addresses.lock().unwrap().clone())
    }
}

fn by_name(names: &Arc<Names>) -> ConfigBuilder {
    let resolve: Arc<dyn Resolve> = Arc::clone(names) as _;
    Config::builder().host("db.example").port(7000).resolver(Resolver::from(resolve))
}

/// Two servers that know which they are.
fn servers() -> [Server; 2] {
    ["first", "second"].map(|name| {
        let server = Server::start();
        server.command(&["SET", "which", name]).unwrap();
        server
    })
}

fn new_connections_go_where_the_name_leads_now(setup: Setup) {
    let [first, second] = servers();
    let names = Names::new(&[first.addr()]);
    let pool = setup.lazy_pool(by_name(&names)).unwrap();
    let mut held = pool.get().unwrap();
    assert_eq!(held.run::<String>("GET which").unwrap(), "first");
    names.lead_to(&[second.addr()]);
    let mut new = pool.get().unwrap();
    assert_eq!(new.run::<String>("GET which").unwrap(), "second");
    assert_eq!(held.run::<String>("GET which").unwrap(), "first", "what lives stays where it is");
    drop((held, new));
    assert_eq!(names.asked(), 2, "once for each connection");
    pool.disconnect_idle();
    assert_eq!(pool.run::<String>("GET which").unwrap(), "second");
    assert_eq!(names.asked(), 3);
}

fn old_connections_move_with_their_lifetime(setup: Setup) {
    let [first, second] = servers();
    let names = Names::new(&[first.addr()]);
    let pool = setup.lazy_pool(by_name(&names).max_lifetime(Duration::from_millis(200))).unwrap();
    assert_eq!(pool.run::<String>("GET which").unwrap(), "first");
    names.lead_to(&[second.addr()]);
    let moved = || pool.run::<String>("GET which").unwrap() == "second";
    let ((), took) = timed(|| eventually("it moves", LIMIT, moved));
    assert!(took <= Duration::from_millis(720), "{took:?}");
}

fn a_client_follows_the_name_after_a_loss(setup: Setup) {
    let [first, second] = servers();
    let names = Names::new(&[first.addr()]);
    let client = setup.open(by_name(&names)).unwrap();
    assert_eq!(client.run::<String>("GET which").unwrap(), "first");
    names.lead_to(&[second.addr()]);
    first.kill();
    assert_eq!(client.run::<String>("GET which").unwrap(), "second");
    assert_eq!(client.run::<Option<(String, String)>>("BLPOP nothing 0.01").unwrap(), None);
}

/// A host that is there and says nothing: the queue of those it is to accept is full.
struct BlackHole {
    address: SocketAddr,
    _listener: Socket,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queue.push(stream);
        }
        Self { address, _listener: listener, _queue: queue }
    }
}

fn a_dead_first_address_costs_no_timeout(setup: Setup) {
    let server = Server::start();
    let hole = BlackHole::new();
    let names = Names::new(&[hole.address, server.addr()]);
    let pool = setup.lazy_pool(by_name(&names)).unwrap();
    let delay = Duration::from_millis(250);
    // The best of three: what the machine adds is not the address's fault.
    let connects = [(); 3].map(|()| {
        let (lease, took) = timed(|| pool.get());
        let mut lease = lease.unwrap();
        assert_eq!(lease.run::<String>("PING").unwrap(), "PONG");
        lease.discard();
        took
    });
    assert!(connects.iter().all(|took| *took >= delay), "{connects:?}");
    assert!(connects.iter().any(|took| *took < delay + GRACE), "{connects:?}");
    // The attempts that lost do not count.
    assert_eq!((pool.stats().size, pool.stats().failed), (0, 0));
    assert_eq!(setup.open(by_name(&names)).unwrap().run::<String>("PING").unwrap(), "PONG");
}

fn an_address_that_refuses_costs_nothing(setup: Setup) {
    let server = Server::start();
    let closed = ClosedPort::new();
    let names = Names::new(&[closed.addr(), server.addr()]);
    let pool = setup.lazy_pool(by_name(&names)).unwrap();
    let (lease, took) = timed(|| pool.get());
    assert_eq!(lease.unwrap().run::<String>("PING").unwrap(), "PONG");
    assert!(took < GRACE, "{took:?}");
}

fn each_dead_address_is_named(setup: Setup) {
    let ports = [ClosedPort::new(), ClosedPort::new(), ClosedPort::new()];
    let addresses: Vec<SocketAddr> = ports.iter().map(ClosedPort::addr).collect();
    let names = Names::new(&addresses);
    let error = setup.open(by_name(&names)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Refused), "{error}");
    assert_eq!((error.outcome(), error.address()), (Outcome::NotSent, Some("db.example:7000")), "{error}");
    let text = error.to_string();
    for address in addresses {
        assert!(text.contains(&address.to_string()), "{address} in: {text}");
    }
}

fn a_silent_host_costs_the_connect_timeout(setup: Setup) {
    let limit = Duration::from_millis(400);
    let (hole, closed) = (BlackHole::new(), ClosedPort::new());
    for addresses in [vec![hole.address], vec![hole.address, closed.addr()]] {
        let names = Names::new(&addresses);
        let options = by_name(&names).connect_timeout(limit).retries(0);
        let (failed, took) = timed(|| setup.open(options));
        let error = failed.unwrap_err();
        let mut kinds = vec![ErrorKind::Connection(ConnectionFault::Timeout)];
        if addresses.len() > 1 {
            // Where the limit ends the last attempt, what the other address answered tells more.
            kinds.push(ErrorKind::Connection(ConnectionFault::Refused));
        }
        assert!(kinds.contains(&error.kind()), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert!((limit..limit + GRACE).contains(&took), "{took:?}");
    }
}

/// The system may look up a name for as long as it likes; a caller waits no longer than it wants.
fn a_name_that_is_looked_up_slowly_ends_with_the_call(setup: Setup) {
    struct Slow;
    impl Resolve for Slow {
        fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            thread::sleep(Duration::from_millis(600));
            Err(io::ErrorKind::NotFound.into())
        }
    }
    let limit = Duration::from_millis(150);
    let options = Config::builder().host("db.example").resolver(Resolver::new(Slow));
    let pool = setup.lazy_pool(options).unwrap();
    let (failed, took) = timed(|| pool.get_within(limit));
    let error = failed.unwrap_err();
    assert!(error.is_timeout() && error.outcome() == Outcome::NotSent, "{error}");
    assert!((limit..limit + GRACE).contains(&took), "{took:?}");
    // The attempt goes on.
    eventually("it has ended", LIMIT, || pool.stats().size == 0);
}

fn a_name_without_address_is_told(setup: Setup) {
    struct Nowhere(bool);
    impl Resolve for Nowhere {
        fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            if self.0 { Ok(Vec::new()) } else { Err(io::Error::new(io::ErrorKind::NotFound, "no such host")) }
        }
    }
    for empty in [true, false] {
        let options = Config::builder().host("db.example").resolver(Resolver::new(Nowhere(empty)));
        let error = setup.open(options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Dns), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert!(error.to_string().contains("db.example"), "{error}");
    }
}
