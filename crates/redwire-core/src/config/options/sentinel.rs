//! The rows of Sentinel. Promises that its password is never shown.

use super::{UrlOption, option, secret};
use crate::config::ReadFrom;
use crate::config::cast::{Expected, boolean, duration, integer, show_duration};
use crate::secret::MASK;

pub(super) const OPTIONS: &[UrlOption] = &[
    option(
        "sentinel_username",
        &[],
        |b, v| Ok(b.sentinel_username(v)),
        |c| c.sentinel.username.clone().unwrap_or_default(),
    ),
    secret(option(
        "sentinel_password",
        &[],
        |b, v| Ok(b.sentinel_password(v)),
        |c| c.sentinel.password.as_ref().map_or("", |_| MASK).to_owned(),
    )),
    option(
        "sentinel_tls",
        &[],
        |b, v| Ok(b.sentinel_tls(boolean(v)?)),
        |c| c.sentinel.tls.map(|on| on.to_string()).unwrap_or_default(),
    ),
    option(
        "sentinel_timeout",
        &[],
        |b, v| Ok(b.sentinel_timeout(duration(v)?)),
        |c| show_duration(c.sentinel.timeout),
    ),
    option(
        "min_other_sentinels",
        &[],
        |b, v| Ok(b.min_other_sentinels(integer(v)?)),
        |c| c.sentinel.min_other_sentinels.to_string(),
    ),
    option(
        "read_from",
        &[],
        |b, v| Ok(b.read_from(read_from(v)?)),
        |c| show_read_from(c.sentinel.read_from).to_owned(),
    ),
];

fn read_from(text: &str) -> Result<ReadFrom, Expected> {
    match text {
        "master" => Ok(ReadFrom::Master),
        "replica_preferred" => Ok(ReadFrom::ReplicaPreferred),
        "replica" => Ok(ReadFrom::Replica),
        _ => Err("master, replica_preferred or replica"),
    }
}

fn show_read_from(servers: ReadFrom) -> &'static str {
    match servers {
        ReadFrom::Master => "master",
        ReadFrom::ReplicaPreferred => "replica_preferred",
        ReadFrom::Replica => "replica",
    }
}
