//! Carries out a scenario.
//!
//! This file must not know what is right, nor what the tasks do.

use std::cell::RefCell;
use std::sync::{Arc, Once};
use std::time::Duration;

use redwire::Client;
use redwire_model::{Model, Node, Options, Service};
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout_at};

use crate::between::node_id;
use crate::history::{History, Left};
use crate::scenario::{PRIMARIES, SERVICE, Scenario, Topology};
use crate::server::Server;
use crate::stream;
use crate::workload::{FIELDS, SCRIPT, Worker, fixed_key};
use crate::world::World;

/// Every call has a deadline, so all tasks must have ended by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens in `scenario`; in words, too, if `traced`.
pub(crate) fn run(scenario: &Scenario, traced: bool) -> History {
    fastrand::seed(scenario.seed);
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime without I/O starts");
    keep_panics();
    let mut history = runtime.block_on(simulate(scenario, traced));
    history.wrongs.extend(PANICS.take().into_iter().map(|panic| ("panic", panic)));
    history
}

/// The servers, with what they hold from the beginning on.
fn servers(scenario: &Scenario) -> Vec<Server> {
    let mut servers: Vec<Server> = (0..scenario.servers()).map(|number| server(scenario, number)).collect();
    let fields: Vec<String> = (0..FIELDS).map(|field| format!("field{field} {field}")).collect();
    let hash = format!("HSET hash {}", fields.join(" "));
    for server in &mut servers {
        // All but the one whose key it is refuse it.
        server.command(&hash, Duration::ZERO);
        if scenario.topology == Topology::Cluster {
            for key in (0..FIELDS).map(fixed_key) {
                server.command(&format!("SET {key} there"), Duration::ZERO);
            }
        }
    }
    // Replicas have it, too.
    for at in 0..servers.len() {
        let master = servers[at].model.master();
        let master = master.and_then(|(host, port)| servers.iter().find(|other| other.is_at(host, port)));
        if let Some(snapshot) = master.map(|master| master.model.snapshot()) {
            servers[at].model.restore(&snapshot, Duration::ZERO);
        }
        // Replicas have these writes now.
        servers[at].model.take_writes();
    }
    servers
}

fn options(scenario: &Scenario, number: usize) -> Options {
    Options::new().seed(scenario.seed.wrapping_add(number as u64)).log(true)
}

fn server(scenario: &Scenario, number: usize) -> Server {
    if scenario.is_sentinel(number) {
        return sentinel(scenario, number);
    }
    let is_alone = scenario.topology == Topology::Single;
    let mut options = options(scenario, number).replicates(!is_alone);
    if scenario.options.has_password {
        options = options.password(Server::password(0));
    }
    let mut model = Model::new(options);
    model.register_script(SCRIPT, |call| {
        let words = [b"INCRBY".to_vec(), call.keys[0].clone(), call.args[0].clone()];
        call.call(&words)
    });
    if scenario.topology == Topology::Cluster {
        join_cluster(&mut model, scenario, number);
    } else if number > 0 {
        let (host, port) = scenario.address(0);
        model.follow(Some((&host, port)), Duration::ZERO);
    }
    Server::new(model, scenario.address(number), scenario.options.has_password)
}

/// One of the sentinels, which all know each other.
fn sentinel(scenario: &Scenario, number: usize) -> Server {
    let mut model = Model::new(options(scenario, number));
    let (host, port) = scenario.address(0);
    let mut service = Service::new(SERVICE, (&host, port)).quorum(2);
    for server in (1..scenario.servers()).filter(|server| *server != number) {
        let (host, port) = scenario.address(server);
        service = match scenario.is_sentinel(server) {
            true => service.sentinel((&host, port)),
            false => service.replica((&host, port)),
        };
    }
    model.watch_service(service);
    Server::new(model, scenario.address(number), false)
}

/// Makes it a node: of the servers the first are primaries, and those behind them their replicas.
fn join_cluster(model: &mut Model, scenario: &Scenario, number: usize) {
    let node = |server: usize| {
        let (host, port) = scenario.address(server);
        let node = Node::new(node_id(server), host, port);
        if server < PRIMARIES { node } else { node.replica_of(node_id(server % PRIMARIES)) }
    };
    let others = (0..scenario.servers()).filter(|other| *other != number);
    let nodes: Vec<Node> = std::iter::once(number).chain(others).map(node).collect();
    let ids: Vec<String> = (0..PRIMARIES).map(node_id).collect();
    let slots =
        [(ids[0].as_str(), 0, 5_460), (ids[1].as_str(), 5_461, 10_922), (ids[2].as_str(), 10_923, 16_383)];
    model.join_cluster(&nodes, &slots, scenario.set.node_timeout, Duration::ZERO);
}

async fn simulate(scenario: &Scenario, traced: bool) -> History {
    let scenario = Arc::new(scenario.clone());
    let history = History { trace: traced.then(Vec::new), ..History::default() };
    let world = Arc::new(World::new(servers(&scenario), &scenario, history));
    tokio::spawn(Arc::clone(&world).drive());

    let config = stream::config(&world, &scenario).expect("options fit");
    let client = Client::lazy(config).expect("a runtime is around");
    let tasks = scenario.tasks.iter();
    let tasks =
        tasks.map(|task| (task.id, tokio::spawn(Worker::new(&world, &scenario, &client, *task).work())));
    let end = world.moment(scenario.length + PATIENCE);
    for (id, mut task) in tasks.collect::<Vec<_>>() {
        match timeout_at(end, &mut task).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => world.wrong("panic", format!("task {id} panicked: {error}")),
            Err(_) => world.wrong("I3", format!("task {id} never ended")),
        }
        task.abort();
    }
    let left = let_go(&world, &scenario, client).await;
    world.with(|state, _| {
        state.history.left = left;
        std::mem::take(&mut state.history)
    })
}

/// What is left when all tasks have ended, and when the client is dropped.
async fn let_go(world: &World, scenario: &Scenario, client: Client) -> Left {
    world.note(|| "all tasks have ended".to_owned());
    // What was given up is found out, or found dead.
    sleep(scenario.options.health * 2 + Duration::from_secs(2)).await;
    let stats = match client.cluster() {
        Some(cluster) => {
            let nodes = cluster.stats().into_iter().map(|(node, _)| cluster.node(&node).pool().stats());
            nodes.collect()
        }
        None => vec![client.pool().stats()],
    };
    world.note(|| "the client is dropped".to_owned());
    drop(client);
    sleep(Duration::from_secs(10)).await;
    let connections = world.with(|state, _| {
        let open = state.connections.values().filter(|one| one.client.is_some() && !one.up.is_dead);
        open.count()
    });
    // One of them is the world's.
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks() - 1;
    // What is kept warm is made anew from time to time.
    let warm = scenario.options.min_idle;
    let connecting = stats.iter().map(|stats| stats.connecting.saturating_sub(warm)).sum();
    let in_use = stats.iter().map(|stats| stats.in_use).sum();
    let waiting = stats.iter().map(|stats| stats.waiting).sum();
    Left { in_use, connecting, waiting, connections, tasks }
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Has panics of this thread kept, in place of being printed: those in tasks are seen by no one else.
fn keep_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            PANICS.with(|panics| panics.borrow_mut().push(panic.to_string()));
        }));
    });
}
