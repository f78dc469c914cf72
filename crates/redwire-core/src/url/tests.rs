//! Promises: tables of URLs with the exact configuration or message each gives; properties over arbitrary
//! ones.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use crate::config::{Config, Deployment, Endpoint, HostPort};

/// Each URL and the one that its configuration prints.
const GOOD: &[(&str, &str)] = &[
    ("redis://", "redis://localhost:6379"),
    ("redis://?", "redis://localhost:6379"),
    ("redis:///", "redis://localhost:6379"),
    ("redis:///3", "redis://localhost:6379/3"),
    ("redis://:7000", "redis://localhost:7000"),
    ("redis://db.example", "redis://db.example:6379"),
    ("redis://db.example:7000/0", "redis://db.example:7000"),
    ("REDIS://db.example/%31", "redis://db.example:6379/1"),
    ("valkey://h", "redis://h:6379"),
    ("rediss://h", "rediss://h:6379"),
    ("valkeys://h", "rediss://h:6379"),
    ("redis://my_host.local", "redis://my_host.local:6379"),
    ("redis://m%C3%BCnchen", "redis://m%C3%BCnchen:6379"),
    ("redis://127.0.0.1:6380", "redis://127.0.0.1:6380"),
    ("redis://[::1]", "redis://[::1]:6379"),
    ("redis://[2001:db8::7]:7000/2", "redis://[2001:db8::7]:7000/2"),
    ("redis://[fe80::1%25eth0]:7000", "redis://[fe80::1%25eth0]:7000"),
    ("redis://[fe80::1%eth0]", "redis://[fe80::1%25eth0]:6379"),
    // user and password
    ("redis://ann@h", "redis://ann@h:6379"),
    ("redis://@h", "redis://h:6379"),
    ("redis://:@h", "redis://h:6379"),
    ("redis://ann:@h", "redis://ann@h:6379"),
    ("redis://:pw@h", "redis://:***@h:6379"),
    ("redis://a%3Ab:pw@h", "redis://a%3Ab:***@h:6379"),
    ("redis://h?username=bob&password=pw", "redis://bob:***@h:6379"),
    ("redis://ann:x@h?username=bob", "redis://bob:***@h:6379"),
    // Unix sockets
    ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ("unix://ann@/run/redis.sock", "unix://ann@/run/redis.sock"),
    ("unix://ann:pw@/r.sock?db=2", "unix://ann:***@/r.sock?db=2"),
    ("unix:///r.sock?db=2&password=pw&timeout=1", "unix://:***@/r.sock?db=2&timeout=1s"),
    ("unix:///a%20b%3F/r.sock", "unix:///a%20b%3F/r.sock"),
    ("unix://?path=/x.sock", "unix:///x.sock"),
    ("unix://?path=x.sock", "unix://?path=x.sock"),
    ("unix:///y.sock?unix_socket_path=/x.sock", "unix:///x.sock"),
    ("redis+unix:///r.sock", "unix:///r.sock"),
    ("valkey+unix:///r.sock", "unix:///r.sock"),
    // Sentinel
    ("redis+sentinel://h/master", "redis+sentinel://h:26379/master"),
    ("redis+sentinel://a:1,b,[::1]:3/my%2Fm/4", "redis+sentinel://a:1,b:26379,[::1]:3/my%2Fm/4"),
    ("redis+sentinel://u:p@a,b/m?db=5", "redis+sentinel://u:***@a:26379,b:26379/m/5"),
    ("rediss+sentinel://h/m/", "rediss+sentinel://h:26379/m"),
    ("valkey+sentinel://h/m", "redis+sentinel://h:26379/m"),
    ("valkeys+sentinel://h/m", "rediss+sentinel://h:26379/m"),
    // Cluster
    ("redis+cluster://h", "redis+cluster://h:6379"),
    ("redis+cluster://a:1,b:2/", "redis+cluster://a:1,b:2"),
    ("rediss+cluster://u@a,b/3", "rediss+cluster://u@a:6379,b:6379/3"),
    ("valkey+cluster://h", "redis+cluster://h:6379"),
    ("valkeys+cluster://h", "rediss+cluster://h:6379"),
    // the query: over the rest of the URL, by both names, cast
    ("redis://h/1?db=2", "redis://h:6379/2"),
    ("redis://h:1?host=i&port=2", "redis://i:2"),
    ("redis://h?timeout=0.25&connect_timeout=2m", "redis://h:6379?connect_timeout=120s&timeout=250ms"),
    ("redis://h?socket_timeout=0", "redis://h:6379?timeout=0s"),
    ("redis://h?socket_connect_timeout=500us", "redis://h:6379?connect_timeout=500us"),
    ("redis://h?timeout=5s&retries=3&protocol=3&db=0", "redis://h:6379"),
    ("redis://h?socket_keepalive=No&nodelay=FALSE", "redis://h:6379?keepalive=false&nodelay=false"),
    ("redis://h?keepalive=yes&nodelay=1&readonly=True", "redis://h:6379?read_only=true"),
    (
        "redis://h?keepalive_idle=10&keepalive_interval=1&keepalive_count=9&tcp_user_timeout=20",
        "redis://h:6379?keepalive_idle=10s&keepalive_interval=1s&keepalive_count=9&tcp_user_timeout=20s",
    ),
    ("redis://h?max_connections=7", "redis://h:6379?max_connections=7"),
    ("redis://h?pool_timeout=0", "redis://h:6379?pool_timeout=0s"),
    ("redis://h?pool_timeout=20&idle_timeout=0", "redis://h:6379?pool_timeout=20s"),
    (
        "redis://h?min_idle_connections=2&idle_timeout=1m&max_lifetime=1h&max_connecting=1",
        "redis://h:6379?min_idle_connections=2&idle_timeout=60s&max_lifetime=3600s&max_connecting=1",
    ),
    ("redis://h?retry_budget=0&idempotent=yes", "redis://h:6379?retry_budget=0&idempotent=true"),
    ("redis://h?tcp_user_timeout=15&health_check_interval=2500ms", "redis://h:6379"),
    ("redis://h?tcp_user_timeout=0", "redis://h:6379?tcp_user_timeout=0s"),
    // TLS
    (
        "rediss://h?ssl_ca_certs=/ca.pem&ssl_ca_path=/cas&ssl_certfile=c%20c&ssl_keyfile=k&ssl_password=pw",
        "rediss://h:6379?tls_ca_file=/ca.pem&tls_ca_dir=/cas&tls_cert_file=c%20c&tls_key_file=k\
         &tls_key_password=***",
    ),
    (
        "rediss://h?ssl_cert_reqs=none&ssl_check_hostname=False",
        "rediss://h:6379?tls_verification=none&tls_check_hostname=false",
    ),
    ("rediss://h?tls_verification=optional", "rediss://h:6379?tls_verification=optional"),
    ("rediss://h?tls_verification=required&tls_ocsp=off&tls_check_hostname=1", "rediss://h:6379"),
    ("redis://h?ssl_cert_reqs=required&tls_ca_file=", "redis://h:6379"),
    (
        "rediss://h?tls_server_name=db.example&tls_ocsp=stapled&tls_ocsp_responder_file=/r",
        "rediss://h:6379?tls_server_name=db.example&tls_ocsp=stapled&tls_ocsp_responder_file=/r",
    ),
    ("rediss://h?ssl_validate_ocsp_stapled=True", "rediss://h:6379?tls_ocsp=must_staple"),
    ("rediss://h?ssl_validate_ocsp_stapled=0", "rediss://h:6379"),
    ("rediss://h?ssl_validate_ocsp=True", "rediss://h:6379?tls_ocsp=check"),
    ("rediss://h?ssl_validate_ocsp=1&ssl_validate_ocsp_stapled=0", "rediss://h:6379?tls_ocsp=check"),
    ("rediss://h?ssl_validate_ocsp_stapled=1&ssl_validate_ocsp=0", "rediss://h:6379?tls_ocsp=must_staple"),
    ("rediss://h?ssl_validate_ocsp_stapled=1&ssl_validate_ocsp=1", "rediss://h:6379?tls_ocsp=check"),
    ("rediss+sentinel://h/s?tls_ocsp=check", "rediss+sentinel://h:26379/s?tls_ocsp=check"),
    ("rediss+cluster://h?tls_ocsp=must_staple", "rediss+cluster://h:6379?tls_ocsp=must_staple"),
    ("redis://h?client_name=a%2Bb", "redis://h:6379?client_name=a%2Bb"),
    ("redis://h?client_name=a+b", "redis://h:6379?client_name=a%2Bb"),
    ("redis://h?lib_name=&lib_version=1.2", "redis://h:6379?lib_name=&lib_version=1.2"),
    ("redis://h?protocol=2&health_check_interval=0", "redis://h:6379?protocol=2&health_check_interval=0s"),
    (
        "redis://h?retries=0&retry_backoff=equal:1ms:0.5&retry_on_timeout=1&retry_on_error=BUSY,OOM",
        "redis://h:6379?retries=0&retry_backoff=equal:1ms:500ms&retry_on_timeout=true&retry_on=BUSY,OOM",
    ),
    (
        "redis://h?retry_on_timeout=yes&attempt_timeout=0.5",
        "redis://h:6379?retry_on_timeout=true&attempt_timeout=500ms",
    ),
    (
        "redis://h?retry_on=&reconnect_backoff=constant:1",
        "redis://h:6379?retry_on=&reconnect_backoff=constant:1s",
    ),
    ("redis://h?max_connections_per_node=7", "redis://h:6379?max_connections=7"),
    ("redis+cluster://h?max_connections_per_node=True", "redis+cluster://h:6379?max_connections=16"),
    ("redis+cluster://h?max_connections_per_node=False", "redis+cluster://h:6379"),
    (
        "redis+cluster://h?max_cluster_connections=64&max_connections=16",
        "redis+cluster://h:6379?max_connections=16&max_cluster_connections=64",
    ),
    ("redis://h?maxsize=7&minsize=2", "redis://h:6379?max_connections=7&min_idle_connections=2"),
    ("rediss://h?ssl_cert_reqs=CERT_NONE", "rediss://h:6379?tls_verification=none"),
    (
        "rediss://h?tls_ocsp=stapled&ssl_ocsp_expected_cert=/r",
        "rediss://h:6379?tls_ocsp=stapled&tls_ocsp_responder_file=/r",
    ),
    ("redis+cluster://h?nodemanager_follow_cluster=no", "redis+cluster://h:6379?dynamic_startup_nodes=false"),
    ("redis+cluster://h?skip_full_coverage_check=yes", "redis+cluster://h:6379?require_full_coverage=false"),
    ("redis+cluster://h?read_from_replicas=1", "redis+cluster://h:6379?read_strategy=round_robin"),
    ("redis+cluster://h?read_from_replicas=no", "redis+cluster://h:6379"),
    (
        "redis+cluster://h?load_balancing_strategy=round_robin_replicas",
        "redis+cluster://h:6379?read_strategy=replica_preferred",
    ),
    (
        "redis+cluster://h?readonly_mode=True",
        "redis+cluster://h:6379?read_only=true&read_strategy=replica_preferred",
    ),
    (
        "redis+cluster://h?readonly=yes&read_from_replicas=yes",
        "redis+cluster://h:6379?read_only=true&read_strategy=replica_preferred",
    ),
    (
        "redis+cluster://h?read_from_replicas=yes&readonly_mode=yes&read_strategy=round_robin",
        "redis+cluster://h:6379?read_only=true&read_strategy=round_robin",
    ),
    (
        "redis+cluster://h?read_strategy=lowest_latency&read_from_replicas=yes",
        "redis+cluster://h:6379?read_strategy=lowest_latency",
    ),
    ("redis://h?socket_read_size=131072", "redis://h:6379?read_buffer_size=128KiB"),
    (
        "redis://h?max_queued_commands=9&max_queued_bytes=1gib&mark_every=7",
        "redis://h:6379?max_queued_commands=9&max_queued_bytes=1GiB&mark_every=7",
    ),
    (
        "redis://h?max_reply_depth=9&max_reply_bulk=1MiB&max_reply_elements=5000\
         &max_reply_line=2MiB&max_reply_bytes=3GiB",
        "redis://h:6379?max_reply_depth=9&max_reply_bulk=1MiB&max_reply_elements=5000\
         &max_reply_line=2MiB&max_reply_bytes=3GiB",
    ),
];

/// Each URL and its error.
const BAD: &[(&str, &str)] = &[
    ("", "URL scheme: expected SCHEMES, got ``"),
    ("localhost:6379", "URL scheme: expected SCHEMES, got `localhost:6379`"),
    ("http://h", "URL scheme: expected SCHEMES, got `http`"),
    ("rediss+unix:///s", "URL scheme: expected SCHEMES, got `rediss+unix`"),
    ("redis+ring://h", "URL scheme: expected SCHEMES, got `redis+ring`"),
    ("unix+cluster://h", "URL scheme: expected SCHEMES, got `unix+cluster`"),
    ("redis://h\n", "URL: expected no control characters (percent-encode them), got `\\n`"),
    ("redis://h/0#top", "URL: expected no fragment (a `#` elsewhere is written %23), got `#`"),
    // hosts and ports
    ("redis://h:0", "URL port: expected a number from 1 to 65535, got `0`"),
    ("redis://h:65536", "URL port: expected a number from 1 to 65535, got `65536`"),
    ("redis://h:abc", "URL port: expected a number from 1 to 65535, got `***`"),
    ("redis://user:secret", "URL port: expected a number from 1 to 65535, got `***`"),
    ("redis://h:+1", "URL port: expected a number from 1 to 65535, got `***`"),
    ("redis://h:", "URL port: expected a number from 1 to 65535, got ``"),
    ("redis://[::1]7", "URL port: expected a number from 1 to 65535, got `7`"),
    ("redis://::1", "URL host: expected an IPv6 address in brackets, or one `:`, got `::1`"),
    ("redis://h:1:2", "URL host: expected an IPv6 address in brackets, or one `:`, got `h:1:2`"),
    ("redis://[::1", "URL host: expected a `]` after the IPv6 address, got `[::1`"),
    ("redis://[::g]", "URL host: expected an IPv6 address as in `[::1]`, got `::g`"),
    ("redis://[127.0.0.1]", "URL host: expected an IPv6 address as in `[::1]`, got `127.0.0.1`"),
    ("redis://[fe80::1%25]", "URL host: expected an IPv6 address as in `[::1]`, got `fe80::1%25`"),
    (
        "redis://a,b",
        "URL host: expected one host (redis+cluster:// and redis+sentinel:// take several), got `a,b`",
    ),
    ("redis://a b", "host: expected a host name or IP address (IPv6 without brackets), got `a b`"),
    ("redis://a%2Fb", "host: expected a host name or IP address (IPv6 without brackets), got `a/b`"),
    ("redis+cluster://", "URL host: expected NODES, got ``"),
    ("redis+cluster://a,,b", "URL host: expected NODES, got `a,,b`"),
    ("redis+cluster://a,", "URL host: expected NODES, got `a,`"),
    ("redis+sentinel://:26379/m", "URL host: expected NODES, got `:26379`"),
    ("redis+sentinel://a,b:x/m", "URL port: expected a number from 1 to 65535, got `***`"),
    (
        "unix://run/r.sock",
        "URL host: expected no host before the path, as in unix:///run/redis.sock, got `run`",
    ),
    ("unix://", "path: expected the path of a Unix socket, without NUL, got ``"),
    ("unix:///a%00", "path: expected the path of a Unix socket, without NUL, got `/a\0`"),
    // path
    ("redis://h/x", "URL db: expected a number as in `/0`, got `x`"),
    ("redis://h/-1", "URL db: expected a number as in `/0`, got `-1`"),
    ("redis://h/99999999999", "URL db: expected a number as in `/0`, got `99999999999`"),
    ("redis://h/2147483648", "db: expected a number from 0 to 2147483647, got `2147483648`"),
    ("redis://h/0/1", "URL path: expected at most `/db`, got `/0/1`"),
    ("redis://h/0/", "URL path: expected at most `/db`, got `/0/`"),
    ("redis+cluster://h/0/1", "URL path: expected at most `/db`, got `/0/1`"),
    ("redis+sentinel://h", "URL service: expected the master's name as in `/mymaster`, got ``"),
    ("redis+sentinel://h//0", "URL service: expected the master's name as in `/mymaster`, got `//0`"),
    ("redis+sentinel://h/m/x", "URL db: expected a number as in `/0`, got `x`"),
    ("redis+sentinel://h/m/0/1", "URL path: expected `/service` or `/service/db`, got `/m/0/1`"),
    // percent-encoding
    ("redis://a%h", "URL host: expected ESCAPE, got `%h`"),
    ("redis://h/%", "URL db: expected ESCAPE, got `%`"),
    ("redis://a%zz@h", "URL username: expected ESCAPE, got `%zz`"),
    ("redis://a%ff@h", "URL username: expected UTF-8 once percent-decoded, got `a%ff`"),
    ("redis://h?client_name=%4", "client_name: expected ESCAPE, got `%4`"),
    ("unix:///%é", "URL path: expected ESCAPE, got `%é`"),
    // query
    ("redis://h?timeout", "URL query: expected `name=value`, separated by `&`, got `timeout`"),
    ("redis://h?timeout=1&", "URL query: expected `name=value`, separated by `&`, got ``"),
    ("redis://h?timeuot=1", "URL query: expected a known option, perhaps `timeout`, got `timeuot`"),
    (
        "redis://h?socket_timout=1",
        "URL query: expected a known option, perhaps `socket_timeout`, got `socket_timout`",
    ),
    ("redis://h?colour=red", "URL query: expected a known option, got `colour`"),
    ("redis://h?nope=1", "URL query: expected a known option, got `nope`"),
    ("redis://h?hook=1", "URL query: expected a known option, got `hook`"),
    (
        "redis://h?decode_responses=True",
        "URL query: expected a known option (each reply is read as the type that is asked for: `String`, \
         `Lossy`, `Vec<u8>`), got `decode_responses`",
    ),
    ("redis://h?socket_timeout=soon", "socket_timeout: expected DURATION, got `soon`"),
    ("rediss://h?ssl_cert_reqs=no", "ssl_cert_reqs: expected none, optional or required, got `no`"),
    ("redis://h?Timeout=1", "URL query: expected a known option, perhaps `timeout`, got `Timeout`"),
    ("redis://h?db=1&db=1", "db: expected to stand once in the query, got `db`"),
    (
        "redis://h?timeout=1&socket_timeout=1",
        "socket_timeout: expected to stand once in the query, got `timeout`",
    ),
    ("redis://h?db=one", "db: expected INTEGER, got `one`"),
    ("redis://h?db=", "db: expected INTEGER, got ``"),
    ("redis://h?port=0", "port: expected a number from 1 to 65535, got `0`"),
    ("redis://h?port=65536", "port: expected INTEGER, got `65536`"),
    ("redis://h?host=", "host: expected a host name or IP address (IPv6 without brackets), got ``"),
    ("unix:///s?port=1", "port: expected a URL of one TCP server to go with it, got `1`"),
    ("redis+cluster://h?host=i", "host: expected a URL of one TCP server to go with it, got `i`"),
    ("redis://h?path=/s", "path: expected a URL of a Unix socket to go with it, got `/s`"),
    ("redis://h?timeout=-1", "timeout: expected DURATION, got `-1`"),
    ("redis://h?timeout=inf", "timeout: expected DURATION, got `inf`"),
    ("redis://h?timeout=1 s", "timeout: expected DURATION, got `1 s`"),
    ("redis://h?timeout=.5", "timeout: expected DURATION, got `.5`"),
    ("redis://h?timeout=5d", "timeout: expected DURATION, got `5d`"),
    ("redis://h?timeout=99999999999999999999", "timeout: expected DURATION, got `99999999999999999999`"),
    ("redis://h?timeout=9000h", "timeout: expected from 0s to 31536000s, got `32400000s`"),
    ("redis://h?connect_timeout=0", "connect_timeout: expected from 1ns to 31536000s, got `0s`"),
    ("redis://h?attempt_timeout=1", "attempt_timeout: expected `retry_on_timeout` to go with it, got `none`"),
    ("redis://h?nodelay=maybe", "nodelay: expected true, false, yes, no, 1 or 0, got `maybe`"),
    ("redis://h?protocol=4", "protocol: expected 2 or 3, got `4`"),
    ("redis://h?read_buffer_size=64kb", "read_buffer_size: expected SIZE, got `64kb`"),
    ("redis://h?read_buffer_size=MiB", "read_buffer_size: expected SIZE, got `MiB`"),
    ("redis://h?retry_backoff=full:1ms", "retry_backoff: expected BACKOFF, got `full:1ms`"),
    ("redis://h?client_name=a%20b", "client_name: expected printable ASCII without spaces, got `a b`"),
    ("redis://h?idempotent=maybe", "idempotent: expected true, false, yes, no, 1 or 0, got `maybe`"),
    ("redis://h?retry_budget=20%25", "retry_budget: expected INTEGER, got `20%`"),
    ("redis://h?pool_timeout=", "pool_timeout: expected DURATION, got ``"),
    (
        "redis://h?max_connections_per_node=yes",
        "max_connections_per_node: expected a whole number, or true, which is 16, got `yes`",
    ),
    (
        "redis+cluster://h?max_cluster_connections=0",
        "max_cluster_connections: expected a number from 1 to 1048576, got `0`",
    ),
    (
        "redis://h?max_cluster_connections=9",
        "max_cluster_connections: expected a Cluster to go with it (`redis+cluster://`), got `none`",
    ),
    (
        "redis://h?max_connections=2&min_idle_connections=3",
        "min_idle_connections: expected a number from 0 to 2, got `3`",
    ),
    (
        "redis://h?health_check_interval=9ms",
        "health_check_interval: expected from 10ms to 31536000s, got `9ms`",
    ),
    // TLS
    ("rediss://h?tls_verification=no", "tls_verification: expected none, optional or required, got `no`"),
    ("rediss://h?tls_ocsp=stapel", "tls_ocsp: expected off, stapled, must_staple or check, got `stapel`"),
    (
        "rediss://h?ssl_validate_ocsp=maybe",
        "ssl_validate_ocsp: expected true, false, yes, no, 1 or 0, got `maybe`",
    ),
    (
        "redis://h?ssl_validate_ocsp=true",
        "tls_ocsp: expected TLS to go with it (`rediss://` or `tls`), got `no TLS`",
    ),
    (
        "rediss://h?ssl_validate_ocsp=true&ssl_cert_reqs=none",
        "tls_ocsp: expected verification to go with it (`tls_verification`), got `none`",
    ),
    (
        "redis://h?ssl_ca_certs=/ca",
        "tls_ca_file: expected TLS to go with it (`rediss://` or `tls`), got `no TLS`",
    ),
    (
        "rediss://h?tls_cert_file=c",
        "tls_cert_file: expected a key to go with it (`tls_key_file`), got `none`",
    ),
    (
        "rediss://h?tls_key_file=k",
        "tls_key_file: expected a certificate to go with it (`tls_cert_file`), got `none`",
    ),
    (
        "rediss://h?tls_server_name=a%20b",
        "tls_server_name: expected a host name or IP address (IPv6 without brackets), got `a b`",
    ),
    ("rediss://h?tls_key_password=%zz", "tls_key_password: expected ESCAPE, got `***`"),
    ("rediss://h?ssl_password=%ff", "ssl_password: expected UTF-8 once percent-decoded, got `***`"),
    // nothing of a password, even of one that broke out of its place
    ("redis://:pa%zzss@h", "URL password: expected ESCAPE, got `***`"),
    ("redis://:%ff@h", "URL password: expected UTF-8 once percent-decoded, got `***`"),
    ("redis://h?password=%zz", "password: expected ESCAPE, got `***`"),
    ("redis://ann:pa/ss@h", "URL port: expected a number from 1 to 65535, got `***`"),
    ("redis://ann:12/ss@h", "URL db: expected a number as in `/0`, got `***`"),
    ("redis://ann:12?ss@h", "URL query: expected `name=value`, separated by `&`, got `***`"),
    ("redis://ann:12?ss=1@h", "URL query: expected a known option, got `***`"),
    ("redis://ann:12?timeout=ss@h", "timeout: expected DURATION, got `***`"),
    ("redis://ann:12?client_name=s s@h", "client_name: expected printable ASCII without spaces, got `***`"),
    ("redis://h?db=1;password=pw", "db: expected INTEGER, got `***`"),
    ("redis://h?timeout=1&Password%3dpw", "URL query: expected `name=value`, separated by `&`, got `***`"),
    ("ann:secret@h", "URL scheme: expected SCHEMES, got `***`"),
    (
        "unix://ann:se/cret@/s",
        "URL host: expected no host before the path, as in unix:///run/redis.sock, got `***`",
    ),
];

/// Long expectations that many rows share.
const SHORT: &[(&str, &str)] = &[
    ("SCHEMES", "redis://, rediss://, unix://, redis+sentinel://, redis+cluster:// or one of their twins"),
    ("NODES", "`host` or `host:port`, separated by commas, none empty"),
    ("ESCAPE", "two hex digits after `%` (a `%` itself is written %25)"),
    ("INTEGER", "a whole number that is not negative nor too large"),
    ("DURATION", "seconds as in `5` or `0.5`, or a number with ns, us, ms, s, m or h as in `500ms`"),
    ("SIZE", "bytes as in `65536`, or a number with KiB, MiB or GiB as in `64KiB`"),
    (
        "BACKOFF",
        "`none`, `constant:DELAY`, or one of linear, exponential, full, equal, decorrelated followed by \
         `:BASE:CAP`, as in `full:10ms:1s`",
    ),
];

#[test]
fn good_urls_print_as_expected() {
    for (url, printed) in GOOD {
        let config = Config::from_url(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(config.to_string(), *printed, "{url}");
    }
}

#[test]
fn bad_urls_name_the_part() {
    for (url, message) in BAD {
        let error = Config::from_url(url).expect_err(url).to_string();
        let message =
            SHORT.iter().fold(message.to_string(), |message, (short, long)| message.replace(short, long));
        assert_eq!(error, message, "{url}");
    }
}

#[test]
fn passwords_are_read_whole() {
    let rows = [
        ("redis://:a:b:c@h", "a:b:c"),
        ("redis://u:p@ss@h", "p@ss"),
        ("redis://:%40%2F%3F%23%25%3A%00@h", "@/?#%:\0"),
        ("redis://:p%C3%A9@h", "pé"),
        ("redis://:pé,x@h", "pé,x"),
        ("redis://:a+b@h?password=c+d%26", "c+d&"),
        ("redis+cluster://:a,b@h,i", "a,b"),
        ("unix://:pw@/s", "pw"),
    ];
    for (url, password) in rows {
        let config = Config::from_url(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(config.password().unwrap().reveal(), password, "{url}");
        assert!(!format!("{config} {config:?} {:?}", Config::builder().url(url)).contains(password), "{url}");
    }
}

#[test]
fn messages_stay_short() {
    let error = Config::from_url(&format!("redis://h:{}", "é".repeat(100_000))).unwrap_err();
    assert!(error.to_string().len() < 300, "{error}");
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Pieces of URLs in any order: far more of them get past the first check than of arbitrary strings.
fn url_like() -> impl Strategy<Value = String> {
    let pieces = [
        "redis",
        "rediss",
        "unix",
        "valkey",
        "+sentinel",
        "+cluster",
        "://",
        "/",
        "?",
        "&",
        "=",
        "@",
        ":",
        ",",
        "#",
        "[",
        "]",
        "::1",
        "%25",
        "%",
        "%zz",
        "%ff",
        "host",
        "localhost",
        "6379",
        "0",
        "é",
        "db",
        "timeout",
        "500ms",
        "password",
        "path",
        "retry_backoff",
        "full:1ms:1s",
        "yes",
        " ",
        "lib_name",
    ];
    let piece =
        prop_oneof![8 => prop::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => ".{0,3}"];
    let tail = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    let head =
        prop::sample::select(vec!["", "redis://", "unix:///", "redis+cluster://h", "redis+sentinel://h/m?"]);
    (head, tail).prop_map(|(head, tail)| format!("{head}{tail}"))
}

fn holds_after_printing(config: &Config) {
    let printed = config.to_string();
    let again = Config::from_url(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
    match printed.contains("***") {
        false => assert_eq!(*config, again, "{printed}"),
        true => assert_eq!(again.to_string(), printed),
    }
}

#[test]
fn printed_urls_read_back_the_same() {
    GOOD.iter().for_each(|(url, _)| holds_after_printing(&Config::from_url(url).unwrap()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_text_panics(text in prop_oneof![url_like(), "\\PC{0,40}", any::<String>()]) {
        if let Ok(config) = Config::from_url(&text) {
            holds_after_printing(&config);
        }
    }

    #[test]
    fn encoded_parts_are_read_back(
        username in ".+", password in any::<String>(), host in "[^/?#@\\[\\],\\s\\p{Cc}]+", port in 1_u16..,
        db in 0..=i32::MAX as u32,
    ) {
        let [user, pass, name] = [&username, &password, &host].map(|text| encoded(text));
        let config = Config::from_url(&format!("redis://{user}:{pass}@{name}:{port}/{db}")).unwrap();
        prop_assert_eq!(config.username(), Some(username.as_str()));
        prop_assert_eq!(config.password().map_or("", |secret| secret.reveal()), password.as_str());
        prop_assert_eq!(config.deployment(), &Deployment::Single(Endpoint::Tcp(HostPort::new(host, port))));
        prop_assert_eq!(config.db(), db);
        holds_after_printing(&config);
    }

    #[test]
    fn no_message_holds_the_password(before in "[a-z]{0,3}", after in "[ -~]{0,12}", sign in "[/?#:%,@]") {
        let url = format!("redis://{before}:Hunter{sign}Two@h{after}");
        if let Err(error) = Config::from_url(&url) {
            let message = error.to_string();
            prop_assert!(!message.contains("Hunter") && !message.contains("Two"), "{}: {}", url, message);
        }
    }
}
