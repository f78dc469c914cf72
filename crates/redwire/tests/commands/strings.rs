//! Strings, counters and bits.

use redwire::prelude::*;

use crate::each_client;

#[test]
fn values_come_back_as_they_were_set() {
    each_client!(|c, key| {
        run!(c.set(key("a"), "x"));
        assert_eq!(run!(c.get::<String>(key("a"))), Some("x".to_owned()));
        assert_eq!(run!(c.get::<String>(key("none"))), None);
    });
}
