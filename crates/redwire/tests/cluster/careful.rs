//! What is told on one connection of a node stays there: transactions that cannot be executed, commands
//! without words, replies that no call reads (I1). FAULTS 87, 88, 91.

use redwire::{ErrorKind, Outcome, Pipeline, Reply, Run, Slot, Value, cmd};
use redwire_testkit::ClusterSet;

use crate::common::{Client, Setup, runtime, words};
use crate::keys_of;

each!(what_is_told_on_one_connection_stays_there);

#[derive(Debug)]
struct Ignored;

impl Reply for Ignored {
    fn decode(_: &mut redwire::Reader<'_>) -> redwire::Result<Self> {
        Ok(Self)
    }
}

fn what_is_told_on_one_connection_stays_there(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).arg("rename-command", "EXEC \"\"").start();
    let client = setup.client(&set.url(), "");
    let keys: Vec<String> = (0..3).flat_map(|node| keys_of(&set, node, "careful", 2)).collect();
    for key in &keys {
        client.run::<()>(&format!("SET {key} {key}")).unwrap();
    }
    let all_right = || {
        for key in &keys {
            assert_eq!(&client.run::<String>(&format!("GET {key}")).unwrap(), key);
        }
    };
    for key in &keys {
        let incr = |p: &Pipeline| -> Slot<i64> { p.run(words(&format!("APPEND {key} more"))) };
        let error = client.atomic(incr).unwrap_err();
        assert_eq!((error.code(), error.outcome()), (Some("ERR"), Outcome::Rejected), "{error}");
        all_right();
        let committed = match &client {
            Client::Tokio(client) => {
                runtime().block_on(client.transaction(key, async |tx| tx.commit(incr).await))
            }
            Client::Blocking(client) => client.transaction(key, |tx| tx.commit(incr)),
        };
        committed.unwrap_err();
        all_right();
    }
    let build = |p: &Pipeline| -> Vec<(Slot<Ignored>, Slot<String>)> {
        keys.iter()
            .map(|key| (p.run(words(&format!("GET {key}"))), p.run(words(&format!("GET {key}")))))
            .collect()
    };
    let values: Vec<String> = client.pipeline(build).unwrap().into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, keys);
    let nothing = |p: &Pipeline| -> (Slot<String>, Slot<Value>) {
        (p.run(words(&format!("GET {}", keys[0]))), p.run(cmd("")))
    };
    for error in [
        client.execute::<Value>(cmd("")).unwrap_err(),
        client.pipeline(nothing).unwrap_err(),
        client.atomic(nothing).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
    }
    all_right();
}
