//! Promises: the defaults are the documented ones, a URL wins over code in either order, and each limit is
//! kept.

use std::time::Duration;

use super::*;

mod tls;

#[test]
fn defaults_are_as_documented() {
    let config = Config::builder().build().unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.deployment(), &Deployment::Single(Endpoint::Tcp(HostPort::new("localhost", 6379))));
    assert_eq!((config.db(), config.tls(), config.username(), config.password()), (0, false, None, None));
    assert_eq!(config.connect_timeout(), Duration::from_secs(2));
    assert_eq!(config.timeout(), Some(Duration::from_secs(5)));
    let (idle, interval) = (Duration::from_secs(30), Duration::from_secs(5));
    assert_eq!(config.keepalive(), Some(Keepalive { idle, interval, count: 3 }));
    assert_eq!((config.tcp_user_timeout(), config.nodelay()), (Some(Duration::from_secs(15)), true));
    assert_eq!(
        (config.max_connections(), config.min_idle_connections(), config.max_connecting()),
        (50, 0, 4)
    );
    assert_eq!((config.pool_timeout(), config.idle_timeout(), config.max_lifetime()), (None, None, None));
    assert_eq!((config.static_credentials(), config.credential_provider()), (None, None));
    assert_eq!(config.resolver(), None);
    assert_eq!((config.connector(), config.blocking_connector(), config.seed()), (None, None, None));
    assert_eq!(config.tls_options(), &TlsOptions::default());
    assert_eq!((config.client_name(), config.lib_name()), (None, Some("redwire")));
    assert_eq!(config.lib_version(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(config.protocol(), Protocol::Resp3);
    assert_eq!(config.health_check_interval(), Some(Duration::from_millis(2500)));
    let jitter = Backoff::full_jitter(Duration::from_millis(10), Duration::from_secs(1));
    assert_eq!((config.retry().retries, config.retry().on_timeout), (3, false));
    assert_eq!((config.retry_budget(), config.idempotent()), (20, false));
    assert_eq!((config.retry().backoff, config.reconnect_backoff()), (jitter, jitter));
    assert_eq!((config.read_buffer_size(), config.read_only()), (65_536, false));
    assert_eq!((config.max_queued_commands(), config.max_queued_bytes()), (65_536, 67_108_864));
    assert_eq!((config.mark_every(), config.reply_limits()), (0, Limits::default()));
}

#[test]
fn retry_codes_are_whole_words() {
    let policy = RetryPolicy::default();
    for code in ["LOADING", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "BUSY", RetryPolicy::MAX_CLIENTS] {
        assert!(policy.covers(code), "{code}");
        assert!(!RetryPolicy::never().covers(code), "{code}");
    }
    for code in ["", "ERR", "BUSYGROUP", "WRONGTYPE", "loading"] {
        assert!(!policy.covers(code), "{code}");
    }
}

#[test]
fn a_url_wins_whatever_the_order() {
    let code = |builder: ConfigBuilder| {
        let builder =
            builder.host("code").port(1).db(1).username("code").password("code").client_name("code");
        builder.timeout(Duration::from_secs(1)).retries(9)
    };
    let url = "redis://ann:pw@url:2/2?timeout=2&client_name=url";
    let before = code(Config::builder().url(url)).build().unwrap();
    let after = code(Config::builder()).url(url).build().unwrap();
    assert_eq!(before, after);
    assert_eq!(before.to_string(), "redis://ann:***@url:2/2?timeout=2s&client_name=url&retries=9");
    assert_eq!(before.password().unwrap().reveal(), "pw");
}

#[test]
fn what_a_url_leaves_out_comes_from_code() {
    let code = || Config::builder().host("code").port(1).db(1).username("ann");
    let rows = [
        ("redis://", "redis://ann@code:1/1"),
        ("redis://url", "redis://ann@url:1/1"),
        ("redis://:2", "redis://ann@code:2/1"),
        ("redis://url?db=0", "redis://ann@url:1"),
        ("unix:///s", "unix://ann@/s?db=1"),
        ("redis+cluster://url", "redis+cluster://ann@url:6379/1"),
        ("redis+sentinel://url/m", "redis+sentinel://ann@url:26379/m/1"),
    ];
    for (url, printed) in rows {
        assert_eq!(code().url(url).build().unwrap().to_string(), printed, "{url}");
    }
    let over_a_path = Config::builder().path("/s").url("redis://").build().unwrap();
    assert_eq!(over_a_path.to_string(), "redis://localhost:6379");
}

#[test]
fn a_url_never_switches_tls_off() {
    assert!(Config::builder().tls(true).url("redis://h").build().unwrap().tls());
    assert!(Config::builder().tls(false).url("rediss://h").build().unwrap().tls());
    let error = Config::builder().tls(true).url("unix:///s").build().unwrap_err();
    assert_eq!(error.to_string(), "tls: expected a TCP server, got `a Unix socket`");
}

#[test]
fn the_last_url_counts() {
    let config = Config::builder().url("bad").url("redis://a").build().unwrap();
    assert_eq!(config.to_string(), "redis://a:6379");
}

#[test]
fn the_last_address_counts() {
    let config = Config::builder().path("/s").host("h").build().unwrap();
    assert_eq!(config.to_string(), "redis://h:6379");
    let config = Config::builder().host("h").path("/s").build().unwrap();
    assert_eq!(config.to_string(), "unix:///s");
}

#[test]
fn empty_texts_are_none() {
    let config = Config::builder().username("").password("").client_name("").lib_name("").lib_version("");
    let config = config.build().unwrap();
    assert_eq!((config.username(), config.password(), config.client_name()), (None, None, None));
    assert_eq!((config.lib_name(), config.lib_version()), (None, None));
}

#[test]
fn zero_is_none_but_for_the_wait_of_a_pool() {
    let zero = Duration::ZERO;
    let config = Config::builder().health_check_interval(zero).tcp_user_timeout(zero);
    let config = config.idle_timeout(zero).max_lifetime(zero).pool_timeout(zero).build().unwrap();
    assert_eq!((config.health_check_interval(), config.tcp_user_timeout()), (None, None));
    assert_eq!((config.idle_timeout(), config.max_lifetime()), (None, None));
    assert_eq!(config.pool_timeout(), Some(zero));
}

#[test]
fn a_builder_made_of_a_configuration_makes_the_same() {
    let config = Config::from_url("rediss://ann:pw@h/2?timeout=1&tls_ca_file=/ca&pool_timeout=0").unwrap();
    assert_eq!(config.to_builder().build().unwrap(), config);
    let other = config.to_builder().db(3).url("redis://i").build().unwrap();
    assert_eq!((other.db(), other.username(), other.tls()), (3, Some("ann"), true));
    assert_eq!(other.deployment(), &Deployment::Single(Endpoint::Tcp(HostPort::new("i", 6379))));
}

struct Fixed;

impl crate::credentials::CredentialProvider for Fixed {
    fn credentials(&self) -> crate::Result<Credentials> {
        Ok(Credentials::new("ann", "token"))
    }
}

impl crate::resolve::Resolve for Fixed {
    fn resolve(&self, _: &str, _: u16) -> std::io::Result<Vec<std::net::SocketAddr>> {
        Ok(Vec::new())
    }
}

#[test]
fn a_provider_stands_alone() {
    let provider = Provider::new(Fixed);
    let builder = || Config::builder().credential_provider(provider.clone());
    let config = builder().build().unwrap();
    assert_eq!((config.credential_provider(), config.static_credentials()), (Some(&provider), None));
    assert_eq!(config.to_string(), "redis://localhost:6379");
    let both = [
        (builder().password("hunter2"), "a password"),
        (builder().username("ann"), "a username"),
        (builder().url("redis://ann:hunter2@h"), "a password"),
        (builder().url("redis://h?username=ann"), "a username"),
    ];
    for (builder, got) in both {
        let error = builder.build().unwrap_err();
        assert_eq!((error.option(), error.got()), ("credential_provider", got));
    }
}

#[test]
fn a_user_without_a_password_is_that_user_with_the_empty_one() {
    let of = |config: &Config| config.static_credentials();
    let parsed = |url: &str| Config::from_url(url).unwrap();
    for url in ["redis://h", "redis://@h", "redis://:@h", "redis://h?username=&password="] {
        assert_eq!(of(&parsed(url)), None, "{url}");
    }
    assert_eq!(of(&parsed("redis://:pw@h")), Some(Credentials::default_user("pw")));
    assert_eq!(of(&parsed("redis://ann:pw@h")), Some(Credentials::new("ann", "pw")));
    let empty = Some(Credentials::new("ann", ""));
    for url in [
        "redis://ann@h",
        "redis://ann:@h",
        "rediss://ann@h",
        "redis://h?username=ann",
        "redis://h?username=ann&password=",
        "redis://ann:@h?password=",
        "unix://ann@/r.sock",
        "unix://ann:@/r.sock",
        "redis+sentinel://ann@h/m",
        "redis+cluster://ann:@h",
    ] {
        let config = parsed(url);
        assert_eq!(of(&config), empty, "{url}");
        let again = parsed(&config.to_string());
        assert_eq!((of(&again), again.to_string()), (empty.clone(), config.to_string()), "{url}");
        assert_eq!(of(&config.for_node(("n", 1).into())), empty, "{url}");
        assert_eq!(of(&config.for_map(("n", 1).into())), empty, "{url}");
        assert_eq!(of(&config.to_builder().build().unwrap()), empty, "{url}");
    }
    for builder in [Config::builder().username("ann"), Config::builder().password("").username("ann")] {
        assert_eq!(of(&builder.build().unwrap()), empty);
    }
    // So at the sentinels, who have users of their own.
    for url in
        ["redis+sentinel://bob:pw@h/m?sentinel_username=ann", "redis+sentinel://h/m?sentinel_username=ann"]
    {
        let config = parsed(url);
        assert_eq!(of(&config.for_sentinel(("s", 1).into())), empty, "{url}");
        assert_eq!(parsed(&config.to_string()).to_string(), config.to_string());
    }
    let nobody = parsed("redis+sentinel://ann:pw@h/m?sentinel_password=");
    assert_eq!(of(&nobody.for_sentinel(("s", 1).into())), None);
}

#[test]
fn connectors_and_the_seed_are_kept_for_sentinels_and_nodes() {
    let (connector, blocking) = (DriverValue::new(1), DriverValue::new(2));
    let builder = Config::builder().connector(connector.clone()).blocking_connector(blocking.clone()).seed(7);
    let config = builder.build().unwrap();
    let node = HostPort::new("h", 1);
    assert_eq!(config.seed(), Some(7));
    for other in [config.for_sentinel(node.clone()), config.for_node(node.clone()), config.for_map(node)] {
        assert_eq!((other.connector(), other.blocking_connector()), (Some(&connector), Some(&blocking)));
        assert_eq!(other.seed(), None, "the client's random numbers go on");
    }
    assert_eq!(config.to_string(), "redis://localhost:6379");
}

#[test]
fn callbacks_on_connecting_are_kept_for_nodes_and_not_for_sentinels() {
    let (callback, blocking) = (DriverValue::new(1), DriverValue::new(2));
    let builder = Config::builder().on_connect(callback.clone()).blocking_on_connect(blocking.clone());
    let (config, node) = (builder.clone().build().unwrap(), HostPort::new("h", 1));
    let of = |config: Config| (config.on_connect().cloned(), config.blocking_on_connect().cloned());
    for other in [config.for_node(node.clone()), config.for_map(node.clone())] {
        assert_eq!(of(other), (Some(callback.clone()), Some(blocking.clone())));
    }
    assert_eq!(of(config.for_sentinel(node.clone())), (None, None));
    let sentinels = Config::builder().on_connect(callback.clone()).build().unwrap();
    let own = builder.url("redis+sentinel://s/m").sentinel_config(sentinels).build().unwrap();
    assert_eq!(of(own.for_sentinel(node)), (Some(callback), None));
}

#[test]
fn a_resolver_is_kept() {
    let resolver = Resolver::new(Fixed);
    let config = Config::builder().resolver(resolver.clone()).build().unwrap();
    assert_eq!(config.resolver(), Some(&resolver));
    assert_ne!(config, Config::builder().resolver(Resolver::new(Fixed)).build().unwrap());
}

#[test]
fn each_limit_is_kept() {
    type Set = fn(ConfigBuilder) -> ConfigBuilder;
    const MS: Duration = Duration::from_millis(1);
    let year = 31_536_001;
    assert!(Config::builder().timeout(Duration::from_secs(year - 1)).build().is_ok());
    let rows: &[(&str, Set)] = &[
        ("host", |b| b.host("")),
        ("host", |b| b.host("[::1]")),
        ("host", |b| b.deployment(Deployment::Cluster { nodes: vec![("a", 1).into(), ("b c", 1).into()] })),
        ("port", |b| b.port(0)),
        ("path", |b| b.path("")),
        ("nodes", |b| b.deployment(Deployment::Cluster { nodes: vec![] })),
        ("service", |b| {
            b.deployment(Deployment::Sentinel { nodes: vec![("a", 1).into()], service: String::new() })
        }),
        ("db", |b| b.db(1 << 31)),
        ("connect_timeout", |b| b.connect_timeout(Duration::ZERO)),
        ("connect_timeout", |b| b.connect_timeout(Duration::MAX)),
        ("timeout", |b| b.timeout(Duration::from_secs(31_536_001))),
        ("health_check_interval", |b| b.health_check_interval(Duration::MAX)),
        ("health_check_interval", |b| b.health_check_interval(9 * MS)),
        ("tcp_user_timeout", |b| b.tcp_user_timeout(MS / 2)),
        ("tcp_user_timeout", |b| b.tcp_user_timeout(Duration::from_secs(3_000_000))),
        ("keepalive_idle", |b| b.keepalive_idle(Duration::from_millis(999))),
        ("keepalive_interval", |b| b.keepalive_interval(Duration::from_secs(32_768))),
        ("keepalive_count", |b| b.keepalive_count(0)),
        ("keepalive_count", |b| b.keepalive_count(128)),
        ("max_connections", |b| b.max_connections(0)),
        ("max_connections", |b| b.max_connections(usize::MAX)),
        ("pool_timeout", |b| b.pool_timeout(Duration::MAX)),
        ("min_idle_connections", |b| b.min_idle_connections(51)),
        ("min_idle_connections", |b| b.max_connections(2).min_idle_connections(3)),
        ("idle_timeout", |b| b.idle_timeout(9 * MS)),
        ("idle_timeout", |b| b.idle_timeout(Duration::MAX)),
        ("max_lifetime", |b| b.max_lifetime(9 * MS)),
        ("max_lifetime", |b| b.max_lifetime(Duration::MAX)),
        ("max_connecting", |b| b.max_connecting(0)),
        ("max_connecting", |b| b.max_connecting(usize::MAX)),
        ("retry_budget", |b| b.retry_budget(1001)),
        ("client_name", |b| b.client_name("a b")),
        ("lib_name", |b| b.lib_name("a\n")),
        ("lib_version", |b| b.lib_version("é")),
        ("retry_on", |b| b.retry_on(["LOADING", "oom"])),
        ("retry_on", |b| b.retry_on([""])),
        ("retry_backoff", |b| b.retry_backoff(Backoff::linear(2 * MS, MS))),
        ("retry_backoff", |b| b.retry_backoff(Backoff::constant(Duration::MAX))),
        ("reconnect_backoff", |b| b.reconnect_backoff(Backoff::none())),
        ("reconnect_backoff", |b| b.reconnect_backoff(Backoff::full_jitter(MS / 2, MS))),
        ("read_buffer_size", |b| b.read_buffer_size(1023)),
        ("read_buffer_size", |b| b.read_buffer_size(usize::MAX)),
        ("max_queued_commands", |b| b.max_queued_commands(0)),
        ("max_queued_bytes", |b| b.max_queued_bytes(0)),
        ("max_reply_depth", |b| b.max_reply_depth(0)),
        ("max_reply_bulk", |b| b.max_reply_bulk(0)),
        ("max_reply_elements", |b| b.max_reply_elements(0)),
        ("max_reply_line", |b| b.max_reply_line(1023)),
        ("max_reply_bytes", |b| b.max_reply_bytes(0)),
    ];
    for (i, (option, set)) in rows.iter().enumerate() {
        let error = set(Config::builder()).build().expect_err(option);
        assert_eq!(error.option(), *option, "row {i}: {error}");
    }
}

#[test]
fn addresses_print_for_people() {
    assert_eq!(HostPort::new("::1", 1).to_string(), "[::1]:1");
    assert_eq!(Endpoint::Tcp(("h", 1).into()).to_string(), "h:1");
    assert_eq!(Endpoint::Unix("/s".into()).to_string(), "/s");
}

#[test]
fn options_of_sentinels_are_read_kept_and_never_without_effect() {
    let url = "rediss+sentinel://ann:pw@a,b:1/m?sentinel_username=watch&sentinel_password=word\
               &sentinel_tls=no\
               &sentinel_timeout=100ms&min_other_sentinels=1&read_from=replica";
    let config = Config::from_url(url).unwrap();
    let options = config.sentinel_options();
    assert_eq!(options.timeout, Duration::from_millis(100));
    assert_eq!((options.min_other_sentinels, options.read_from), (1, ReadFrom::Replica));
    assert_eq!(
        config.to_string(),
        url.replace("pw@a,", "***@a:26379,").replace("=word", "=***").replace("no&", "false&")
    );
    let sentinel = config.for_sentinel(("s", 5).into());
    assert_eq!((sentinel.tls(), sentinel.username(), sentinel.db()), (false, Some("watch"), 0));
    assert_eq!(sentinel.password().unwrap().reveal(), "word");
    assert_eq!((sentinel.connect_timeout(), sentinel.timeout()), (options.timeout, Some(options.timeout)));
    for (url, option) in [
        ("redis://h?sentinel_password=x", "sentinel_password"),
        ("redis://h?read_from=replica", "read_from"),
        ("redis+cluster://h?min_other_sentinels=1", "min_other_sentinels"),
        ("redis://h?sentinel_username=x", "sentinel_username"),
        ("redis+sentinel://h/m?sentinel_timeout=0", "sentinel_timeout"),
        ("redis+sentinel://h/m?read_from=slave", "read_from"),
    ] {
        assert_eq!(Config::from_url(url).unwrap_err().option(), option, "{url}");
    }
}
