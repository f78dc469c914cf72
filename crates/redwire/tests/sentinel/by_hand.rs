//! Sentinels by hand, and their commands, against a real set with passwords of its own.

use std::collections::{HashMap, HashSet};

use redwire::config::{Config, ReadFrom};
use redwire::prelude::*;
use redwire::{ErrorKind, Value, cmd};
use redwire_testkit::{Authority, SentinelSet, Target, TlsFront, eventually};

use crate::common::{LIMIT, Setup, runtime};

/// Written once for both drivers: `$wait` awaits, or does not.
macro_rules! scenario {
    ($sentinel:ident, $set:ident, $wait:ident) => {{
        let master = $wait!($sentinel.discover_master()).unwrap();
        assert_eq!(master.to_string(), $set.master().to_string());
        let replicas = $wait!($sentinel.discover_replicas()).unwrap();
        assert_eq!(replicas.len(), 2);
        assert_eq!($sentinel.addresses().len(), 3, "{:?}", $sentinel.addresses());

        let client = $sentinel.client(ReadFrom::Master).unwrap();
        $wait!(client.set("k", "v")).unwrap();
        let reader = $sentinel.client(ReadFrom::Replica).unwrap();
        // Replicas follow after the fact.
        let end = std::time::Instant::now() + LIMIT;
        let read = loop {
            let read = $wait!(reader.get::<String>("k")).unwrap();
            if read.is_some() || std::time::Instant::now() > end {
                break read;
            }
        };
        assert_eq!(read.as_deref(), Some("v"));

        let mut connection = $sentinel.connection($sentinel.addresses()[0].clone()).unwrap();
        let masters = $wait!(connection.sentinel_masters()).unwrap();
        assert_eq!((masters.len(), masters[0].name()), (1, "mymaster"));
        let master = $wait!(connection.sentinel_master("mymaster")).unwrap();
        assert_eq!((master.quorum(), master.other_sentinels(), master.is_down()), (2, 2, false));
        assert_eq!($wait!(connection.sentinel_replicas("mymaster")).unwrap().len(), 2);
        assert_eq!($wait!(connection.sentinel_sentinels("mymaster")).unwrap().len(), 2);
        let told = $wait!(connection.sentinel_get_master_addr_by_name("mymaster")).unwrap().unwrap();
        assert_eq!(told.0, master.address().unwrap());
        assert_eq!($wait!(connection.sentinel_get_master_addr_by_name("other")).unwrap(), None);
        assert!($wait!(connection.sentinel_ckquorum("mymaster")).unwrap().starts_with("OK 3 usable"));
        $wait!(connection.sentinel_set("mymaster", [("parallel-syncs", 2)])).unwrap();
        let master = $wait!(connection.sentinel_master("mymaster")).unwrap();
        assert_eq!(master.field("parallel-syncs"), Some("2"));
        $wait!(connection.sentinel_flushconfig()).unwrap();
        assert_eq!($wait!(connection.sentinel_myid()).unwrap().len(), 40);
        let cache = $wait!(connection.sentinel_info_cache::<Value>("mymaster")).unwrap();
        assert!(format!("{cache:?}").contains("redis_version"), "{cache:?}");
        let scripts: Vec<Value> = $wait!(connection.sentinel_pending_scripts()).unwrap();
        assert!(scripts.is_empty());
        let settings: HashMap<String, String> = $wait!(connection.sentinel_config_get("*")).unwrap();
        assert!(!settings.is_empty());
        let known = $wait!($sentinel.discover_master()).unwrap();
        $wait!(connection.sentinel_monitor("another", known.host.as_str(), known.port, 1)).unwrap();
        assert_eq!($wait!(connection.sentinel_masters()).unwrap().len(), 2);
        let another = $sentinel.for_service("another").unwrap();
        assert_eq!(another.addresses().len(), 3);
        let error = $wait!($sentinel.for_service("unknown").unwrap().discover_master()).unwrap_err();
        assert!(error.to_string().contains("unknown"), "{error}");
        assert_eq!($sentinel.for_service("").unwrap_err().kind(), ErrorKind::Config);
        $wait!(connection.sentinel_remove("another")).unwrap();

        let ids = $wait!($sentinel.execute_all(&cmd::<String>("SENTINEL MYID")));
        assert_eq!(ids.len(), 3);
        assert!(ids.iter().all(|(_, id)| id.as_ref().is_ok_and(|id| id.len() == 40)));
        assert_eq!($wait!($sentinel.execute(cmd::<String>("PING"))).unwrap(), "PONG");
        // Each of them is asked, sooner or later.
        let mut asked = HashSet::new();
        for _ in 0..1_000 {
            if asked.len() < 3 {
                asked.insert($wait!($sentinel.execute(cmd::<String>("SENTINEL MYID"))).unwrap());
            }
        }
        assert_eq!(asked.len(), 3);
        let error = $wait!($sentinel.execute(cmd::<()>("SENTINEL FAILOVER").arg("other"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Response, "{error}");
    }};
}

#[test]
fn sentinels_are_asked_and_told() {
    let set = SentinelSet::builder().password("data").sentinel_password("watch").start();
    for protocol in [3, 2] {
        let url = format!("{}?sentinel_password=watch&protocol={protocol}", set.url());
        macro_rules! now {
            ($value:expr) => {
                $value
            };
        }
        let sentinel = redwire::blocking::Sentinel::new(url.parse().unwrap()).unwrap();
        scenario!(sentinel, set, now);
        macro_rules! awaited {
            ($value:expr) => {
                $value.await
            };
        }
        runtime().block_on(async {
            let sentinel = redwire::Sentinel::new(url.parse().unwrap()).unwrap();
            scenario!(sentinel, set, awaited);
        });
    }
    users_with_few_rights_find_the_master(&set);
    let wrong = redwire::blocking::Sentinel::new(set.url().parse::<Config>().unwrap()).unwrap();
    let error = wrong.discover_master().unwrap_err();
    assert!(error.to_string().contains("NOAUTH"), "{error}");
    let error = redwire::Sentinel::new(Config::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
}

/// Users of the sentinels that have no password and may ask a part of what there is.
fn users_with_few_rights_find_the_master(set: &SentinelSet) {
    for rights in [
        "+sentinel|get-master-addr-by-name",
        "+sentinel|get-master-addr-by-name +sentinel|sentinels +subscribe",
        "+sentinel|master +sentinel|slaves",
        "+sentinel|get-master-addr-by-name +sentinel|replicas",
    ] {
        for sentinel in set.sentinels() {
            let rule = format!("ACL SETUSER few reset on nopass &* -@all +auth +hello +ping {rights}");
            let words: Vec<_> = rule.split(' ').collect();
            assert_eq!(sentinel.command(&words).unwrap(), "OK", "{rights}");
        }
        for setup in Setup::ALL {
            let client = setup.client(&set.url(), "sentinel_username=few");
            client.run::<()>("SET few v").unwrap();
        }
        let config: Config = format!("{}?sentinel_username=few", set.url()).parse().unwrap();
        let sentinel = redwire::blocking::Sentinel::new(config).unwrap();
        let replicas = sentinel.discover_replicas().unwrap();
        let told = rights.contains("slaves") || rights.contains("replicas");
        assert_eq!(replicas.len(), if told { 2 } else { 0 }, "{rights}");
    }
}

/// Sentinels behind TLS with a CA and a name for their own clients, and servers in the clear.
#[test]
fn sentinels_have_a_configuration_of_their_own() {
    let set = SentinelSet::builder().password("data").sentinel_password("watch").start();
    let authority = Authority::new();
    let front = TlsFront::builder(&authority.server()).start(Target::from(&set.sentinels()[0]));
    for setup in Setup::ALL {
        let own = Config::builder().tls(true).tls_ca_file(authority.pem_file()).password("watch");
        let own = own.client_name("watcher").build().unwrap();
        let url = format!("redis+sentinel://127.0.0.1:{}/mymaster", front.address().port());
        let options = Config::builder().url(&url).password("data").client_name("worker");
        let options = options.sentinel_config(own.clone()).sentinel_timeout(LIMIT);
        let client = setup.open(options.clone()).unwrap();
        client.run::<()>("SET k v").unwrap();
        let named = |line: &str| set.sentinels()[0].command(&["CLIENT", "LIST"]).unwrap().contains(line);
        eventually("the sentinel knows the watcher", LIMIT, || named("name=watcher"));
        assert!(!named("name=worker"));
        assert!(client.run::<String>("CLIENT LIST").unwrap().contains("name=worker"));
        let error = options.sentinel_password("watch").build().unwrap_err();
        assert_eq!(error.option(), "sentinel_password", "{error}");
        let error = Config::builder().sentinel_config(own).build().unwrap_err();
        assert_eq!(error.option(), "sentinel_config", "{error}");
    }
}
