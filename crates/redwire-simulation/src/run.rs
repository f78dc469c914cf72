//! Carries out a scenario.
//!
//! This file must not know what is right, nor what the tasks do.

use std::cell::RefCell;
use std::sync::{Arc, Once};
use std::time::Duration;

use redwire::Client;
use redwire_model::{Model, Options};
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout_at};

use crate::history::{History, Left};
use crate::scenario::Scenario;
use crate::server::Server;
use crate::stream;
use crate::workload::{FIELDS, SCRIPT, Worker};
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

fn server(scenario: &Scenario) -> Server {
    let mut options = Options::new().seed(scenario.seed).log(true);
    if scenario.options.has_password {
        options = options.password(Server::password(0));
    }
    let mut model = Model::new(options);
    model.register_script(SCRIPT, |call| {
        let words = [b"INCRBY".to_vec(), call.keys[0].clone(), call.args[0].clone()];
        call.call(&words)
    });
    let mut server = Server::new(model, scenario.options.has_password);
    let fields: Vec<String> = (0..FIELDS).map(|field| format!("field{field} {field}")).collect();
    server.command(&format!("HSET hash {}", fields.join(" ")), Duration::ZERO);
    server
}

async fn simulate(scenario: &Scenario, traced: bool) -> History {
    let scenario = Arc::new(scenario.clone());
    let history = History { trace: traced.then(Vec::new), ..History::default() };
    let servers = vec![server(&scenario)];
    let world = World::new(servers, scenario.way, scenario.seed, scenario.faults.clone(), history);
    let world = Arc::new(world);
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
    let stats = client.pool().stats();
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
    let connecting = stats.connecting.saturating_sub(scenario.options.min_idle);
    Left { in_use: stats.in_use, connecting, waiting: stats.waiting, connections, tasks }
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
