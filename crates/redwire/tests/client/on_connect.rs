//! What a configuration has done on each new connection: of every kind, and by the driver that it belongs to.

use redwire::cache::CacheOptions;
use redwire::config::{Config, ConfigBuilder};
use redwire::{ErrorKind, blocking};
use redwire_testkit::Server;

use crate::common::cache::Cache;
use crate::common::pool::Pool;
use crate::common::{Driver, Setup, blocking_running, running, runtime};

both!(every_kind_of_connection_runs_it, it_fails_the_connect, that_of_the_other_driver_is_no_use);

fn options(setup: Setup, server: &Server, line: &'static str) -> ConfigBuilder {
    let config = Config::from_url(&setup.url(&server.url(), "retries=0")).unwrap();
    config.to_builder().on_connect(running(line)).blocking_on_connect(blocking_running(line))
}

fn every_kind_of_connection_runs_it(setup: Setup) {
    let server = Server::start();
    let options = options(setup, &server, "INCR connects");
    let config = options.clone().build().unwrap();
    let mut seen = 0;
    let mut ran = |kind: &str, times: u32| {
        let now = server.command(&["GET", "connects"]).unwrap().parse::<u32>().unwrap();
        assert_eq!(now - std::mem::replace(&mut seen, now), times, "{kind}");
    };
    let client = setup.open(options.clone()).unwrap();
    client.run::<()>("PING").unwrap();
    ran("client", 1);
    let mut connection = setup.open_connection(options.clone()).unwrap();
    ran("connection", 1);
    // Its own come on top, and go alone.
    connection.on_connect("INCR connects");
    connection.reconnect().unwrap();
    ran("connection with another", 2);
    connection.clear_on_connect();
    connection.reconnect().unwrap();
    ran("connection", 1);
    let mut lease = Pool::of(&client).get().unwrap();
    lease.run::<()>("PING").unwrap();
    ran("pool", u32::from(setup.driver == Driver::Tokio));
    Cache::connect(&client, CacheOptions::default()).unwrap().run::<Option<String>>("GET cached").unwrap();
    // In RESP2 another connection hears what has changed.
    ran("cache", if setup.protocol == 2 { 2 } else { 1 });
    match setup.driver {
        Driver::Tokio => runtime().block_on(async {
            let pubsub = redwire::PubSub::lazy(config.clone()).unwrap();
            let subscription = pubsub.subscribe("news").await.unwrap();
            ran("subscription", 1);
            let monitor = redwire::Monitor::open(config).await.unwrap();
            ran("monitor", 1);
            drop((subscription, monitor));
        }),
        Driver::Blocking => {
            let pubsub = blocking::PubSub::lazy(config.clone()).unwrap();
            let subscription = pubsub.subscribe("news").unwrap();
            ran("subscription", 1);
            let monitor = blocking::Monitor::open(config).unwrap();
            ran("monitor", 1);
            drop((subscription, monitor));
        }
    }
}

fn it_fails_the_connect(setup: Setup) {
    let server = Server::start();
    let options = options(setup, &server, "INCR no such arity");
    let config = options.clone().build().unwrap();
    let failed = |error: redwire::Error| {
        assert!(error.to_string().contains("a callback run on connecting failed"), "{error}");
        assert_eq!(error.code(), Some("ERR"), "{error}");
    };
    failed(setup.open(options.clone()).unwrap_err());
    failed(setup.open_connection(options).unwrap_err());
    match setup.driver {
        Driver::Tokio => failed(runtime().block_on(redwire::Monitor::open(config)).unwrap_err()),
        Driver::Blocking => failed(blocking::Monitor::open(config).unwrap_err()),
    }
}

fn that_of_the_other_driver_is_no_use(setup: Setup) {
    let server = Server::start();
    let options = Config::from_url(&setup.url(&server.url(), "retries=0")).unwrap().to_builder();
    let options = match setup.driver {
        Driver::Tokio => options.blocking_on_connect(blocking_running("PING")),
        Driver::Blocking => options.on_connect(running("PING")),
    };
    let refused = |error: redwire::Error| {
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains("on_connect"), "{error}");
    };
    refused(setup.open(options.clone()).unwrap_err());
    refused(setup.open_connection(options.clone()).unwrap_err());
    refused(setup.lazy_pool(options.clone()).unwrap().get().map(drop).unwrap_err());
    let config = options.build().unwrap();
    match setup.driver {
        Driver::Tokio => refused(runtime().block_on(redwire::Monitor::open(config)).unwrap_err()),
        Driver::Blocking => refused(blocking::Monitor::open(config).unwrap_err()),
    }
}
