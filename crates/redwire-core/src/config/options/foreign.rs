//! Options of Python's clients that are done in another way here, each with that way. What has the same
//! meaning is an alias in the tables beside this one. Must not know the values of options.

/// Names, and what stands in their place, to go behind "expected a known option".
const FOREIGN: &[(&[&str], &str)] = &[
    (
        &["decode_responses", "encoding", "encoding_errors", "charset", "errors"],
        "each reply is read as the type that is asked for: `String`, `Lossy`, `Vec<u8>`",
    ),
    (&["ssl", "tls"], "TLS is asked for by the scheme, as in `rediss://`"),
    (&["ssl_ca_data"], "`ConfigBuilder::tls_ca_bytes` takes certificates, `ssl_ca_certs` a file of them"),
    (
        &["ssl_ocsp_context", "ssl_min_version", "ssl_ciphers"],
        "`ConfigBuilder::tls_config` takes a configuration of rustls",
    ),
    (&["socket_keepalive_options"], "`keepalive_idle`, `keepalive_interval` and `keepalive_count` are three"),
    (&["retry"], "`retries` says how often, `retry_backoff` with which pauses, `retry_on` after what"),
    (
        &["cluster_error_retry_attempts", "connection_error_retry_attempts"],
        "a call waits for a cluster until its `timeout`; `retries` limits its other tries",
    ),
    (&["redis_connect_func"], "`ConfigBuilder::on_connect` takes a callback for each connection"),
    (&["credential_provider"], "`ConfigBuilder::credential_provider` takes it"),
    (
        &["connection_pool", "auto_close_connection_pool"],
        "`Client::on_pool` takes a pool, which the client's `close` leaves open",
    ),
    (&["single_connection_client"], "a `Connection` is one connection of one caller"),
    (&["startup_nodes"], "a URL names several hosts, separated by commas, as in `redis+cluster://a:1,b:2`"),
    (&["sentinel_kwargs"], "`ConfigBuilder::sentinel_config` takes what holds for sentinels alone"),
    (&["check_connection"], "each server that sentinels name is asked for its role when it is connected to"),
    (&["cache", "cache_config"], "`Client::cached` gives a client-side cache"),
    (&["host_port_remap"], "`ConfigBuilder::remap` takes a table or a function"),
    (&["init_slot_cache"], "`connect` asks for the map at once, `connect_lazy` does not"),
    (
        &[
            "connection_class",
            "parser_class",
            "encoder_class",
            "lock_class",
            "redis_class",
            "connection_pool_class",
            "commands_factory",
            "socket_type",
            "shard_hint",
            "loop",
        ],
        "there is one implementation, which needs no choice",
    ),
];

/// What stands in the place of the option `name`.
pub(crate) fn advice(name: &str) -> Option<&'static str> {
    FOREIGN.iter().find(|(names, _)| names.contains(&name)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UrlOption;

    #[test]
    fn what_is_foreign_is_no_option_here() {
        for (names, advice) in FOREIGN {
            assert!(names.iter().all(|name| UrlOption::find(name).is_none()), "{names:?}");
            assert!(names.iter().all(|name| super::advice(name) == Some(advice)));
        }
        assert_eq!(advice("timeout"), None);
    }

    #[test]
    fn every_parameter_of_pythons_clients_is_an_option_or_has_advice() {
        let redis = "host port db password socket_timeout socket_connect_timeout socket_keepalive \
            socket_keepalive_options connection_pool unix_socket_path encoding \
            encoding_errors charset errors decode_responses retry_on_timeout retry_on_error \
            ssl ssl_keyfile ssl_certfile ssl_cert_reqs ssl_ca_certs ssl_ca_path ssl_ca_data \
            ssl_check_hostname ssl_password ssl_validate_ocsp ssl_validate_ocsp_stapled \
            ssl_ocsp_context ssl_ocsp_expected_cert max_connections single_connection_client \
            health_check_interval client_name username retry redis_connect_func \
            credential_provider auto_close_connection_pool";
        let connection = "socket_type parser_class socket_read_size encoder_class connection_class \
            lock_class shard_hint commands_factory loop minsize maxsize";
        let sentinel =
            "min_other_sentinels sentinel_kwargs redis_class connection_pool_class check_connection";
        let cluster = "startup_nodes cluster_error_retry_attempts connection_error_retry_attempts \
            require_full_coverage reinitialize_steps read_from_replicas dynamic_startup_nodes path readonly \
            readonly_mode init_slot_cache max_connections_per_node skip_full_coverage_check \
            nodemanager_follow_cluster host_port_remap";
        let all = [redis, connection, sentinel, cluster];
        let unknown: Vec<_> = all
            .iter()
            .flat_map(|names| names.split_whitespace())
            .filter(|name| UrlOption::find(name).is_none() && advice(name).is_none())
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
