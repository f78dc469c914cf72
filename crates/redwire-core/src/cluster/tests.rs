//! The decisions of a cluster, by cases that any implementation could run (`spec/cases/cluster_*.json`), and
//! by properties.

use serde_json::Value as Json;

use crate::config::HostPort;
use crate::reply::Value;

pub(super) mod map;
mod plan;
mod reads;
mod redirect;
mod scan;
mod scatter;
mod slot;

pub(super) fn address(text: &str) -> HostPort {
    let (host, port) = text.rsplit_once(':').expect("host:port");
    HostPort::new(host.trim_matches(['[', ']']), port.parse().expect("a port"))
}

pub(super) fn remap(table: &std::collections::HashMap<String, String>) -> super::Remap {
    let table = table.iter().map(|(told, reached)| (address(told), address(reached)));
    table.collect::<std::collections::HashMap<_, _>>().into()
}

/// A reply as the cases write it: objects are maps of RESP3, flat lists of RESP2; `{"status": …}` and
/// `{"error": …}` are what they say.
pub(super) fn reply(json: &Json, resp3: bool) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Integer(i64::from(*truth)),
        Json::Number(number) => Value::Integer(number.as_i64().expect("an integer")),
        Json::String(text) => Value::Bytes(text.clone().into()),
        Json::Array(items) => Value::Array(items.iter().map(|item| reply(item, resp3)).collect()),
        Json::Object(fields) => {
            if let Some(Json::String(text)) = fields.get("status") {
                return Value::Status(text.clone());
            }
            if let Some(Json::String(line)) = fields.get("error") {
                return Value::Error(crate::Error::from_server(line.as_bytes()));
            }
            let pairs =
                fields.iter().map(|(name, value)| (Value::Bytes(name.clone().into()), reply(value, resp3)));
            match resp3 {
                true => Value::Map(pairs.collect()),
                false => Value::Array(pairs.flat_map(|(name, value)| [name, value]).collect()),
            }
        }
    }
}
