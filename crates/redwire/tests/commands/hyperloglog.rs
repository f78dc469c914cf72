//! HyperLogLogs.

use redwire::prelude::*;

use crate::each_client;

#[test]
fn distinct_items_are_counted() {
    each_client!(|c, key| {
        let (a, b, to) = (key("a"), key("b"), key("to"));
        assert!(run!(c.pfadd(&a, ["x", "y"])));
        assert!(!run!(c.pfadd(&a, "x")));
        assert!(run!(c.pfadd(&b, ["y", "z"])));
        assert_eq!(run!(c.pfcount(&a)), 2);
        assert_eq!(run!(c.pfcount([&a, &b])), 3);
        assert_eq!(run!(c.pfcount(key("none"))), 0);
        run!(c.pfmerge(&to, [&a, &b]));
        assert_eq!(run!(c.pfcount(&to)), 3);
    });
}
