//! Lists, and waiting for their elements.

use std::time::Duration;

use redwire::commands::{End, LposOptions};
use redwire::prelude::*;

use crate::each_client;
use crate::harness::since;

const SHORT: Duration = Duration::from_millis(10);

#[test]
fn elements_are_added_and_taken_at_both_ends() {
    each_client!(|c, key| {
        let l = key("l");
        assert_eq!(run!(c.lpush_exists(&l, "x")), 0);
        assert_eq!(run!(c.rpush_exists(&l, "x")), 0);
        assert_eq!(run!(c.rpush(&l, ["b", "c"])), 2);
        assert_eq!(run!(c.lpush(&l, "a")), 3);
        assert_eq!(run!(c.lpush_exists(&l, "0")), 4);
        assert_eq!(run!(c.rpush_exists(&l, ["d", "e"])), 6);
        assert_eq!(run!(c.llen(&l)), 6);
        assert_eq!(run!(c.lpop::<u32>(&l)), Some(0));
        assert_eq!(run!(c.rpop::<String>(&l)), Some("e".to_owned()));
        assert_eq!(run!(c.lpop_count::<Vec<String>>(&l, 2)), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(run!(c.rpop_count::<Vec<String>>(&l, 9)), Some(vec!["d".to_owned(), "c".to_owned()]));
        assert_eq!(run!(c.lpop::<String>(&l)), None);
        assert_eq!(run!(c.rpop::<String>(&l)), None);
        assert_eq!(run!(c.lpop_count::<Vec<String>>(&l, 2)), None);
        assert_eq!(run!(c.llen(&l)), 0);
    });
}

#[test]
fn elements_are_read_and_changed_in_place() {
    each_client!(|c, key| {
        let l = key("l");
        assert_eq!(run!(c.linsert_before(&l, "b", "x")), 0);
        run!(c.rpush(&l, ["a", "b", "c"]));
        assert_eq!(run!(c.linsert_before(&l, "b", "x")), 4);
        assert_eq!(run!(c.linsert_after(&l, "b", "y")), 5);
        assert_eq!(run!(c.linsert_after(&l, "none", "y")), -1);
        assert_eq!(run!(c.lrange::<Vec<String>>(&l, 0, -1)), ["a", "x", "b", "y", "c"]);
        assert_eq!(run!(c.lrange::<Vec<Vec<u8>>>(&l, 1, 2)), [b"x", b"b"]);
        assert_eq!(run!(c.lindex::<String>(&l, -1)), Some("c".to_owned()));
        assert_eq!(run!(c.lindex::<String>(&l, 5)), None);
        run!(c.lset(&l, 1, "a"));
        assert!(try_run!(c.lset(&l, 9, "a")).is_err());
        assert_eq!(run!(c.lrem(&l, -1, "a")), 1);
        assert_eq!(run!(c.lrem(&l, 0, "none")), 0);
        run!(c.ltrim(&l, 1, -2));
        assert_eq!(run!(c.lrange::<Vec<String>>(&l, 0, -1)), ["b", "y"]);
        assert!(run!(c.lrange::<Vec<String>>(key("none"), 0, -1)).is_empty());
    });
}

#[test]
fn elements_are_found() {
    each_client!(|c, key| {
        let l = key("l");
        run!(c.rpush(&l, ["a", "b", "a", "c", "a"]));
        assert_eq!(run!(c.lpos(&l, "a", LposOptions::new())), Some(0));
        assert_eq!(run!(c.lpos(&l, "a", LposOptions::new().rank(-1))), Some(4));
        assert_eq!(run!(c.lpos(&l, "c", LposOptions::new().maxlen(3))), None);
        assert_eq!(run!(c.lpos_count(&l, "a", LposOptions::new(), 0)), [0, 2, 4]);
        assert_eq!(run!(c.lpos_count(&l, "a", LposOptions::new().rank(2), 1)), [2]);
        assert!(run!(c.lpos_count(&l, "none", LposOptions::new(), 0)).is_empty());
    });
}

#[test]
fn elements_move_between_lists() {
    each_client!(|c, key| {
        let (from, to) = (key("from"), key("to"));
        run!(c.rpush(&from, ["a", "b", "c"]));
        assert_eq!(run!(c.lmove::<String>(&from, &to, End::Right, End::Left)), Some("c".to_owned()));
        assert_eq!(run!(c.blmove::<String>(&from, &to, End::Left, End::Right, SHORT)), Some("a".to_owned()));
        assert_eq!(run!(c.lrange::<Vec<String>>(&to, 0, -1)), ["c", "a"]);
        run!(c.lpop::<String>(&from));
        assert_eq!(run!(c.lmove::<String>(&from, &to, End::Left, End::Left)), None);
        assert_eq!(run!(c.blmove::<String>(&from, &to, End::Left, End::Left, SHORT)), None);
    });
}

#[test]
fn waiting_takes_what_is_there_or_ends() {
    each_client!(|c, key| {
        let (l, none) = (key("l"), key("none"));
        run!(c.rpush(&l, ["1", "2"]));
        assert_eq!(run!(c.blpop(&l, Duration::ZERO)), Some((l.clone(), 1)));
        assert_eq!(run!(c.brpop([&none, &l], SHORT)), Some((l.clone(), 2)));
        // Less than a millisecond must not become the zero that means for ever.
        assert_eq!(run!(c.blpop::<String, String>(&l, Duration::from_nanos(1))), None);
        assert_eq!(run!(c.brpop::<String, String>(&[&none, &l], SHORT)), None);
    });
}

#[test]
fn several_elements_from_the_first_list_that_has_any() {
    if !since(7, 0) {
        return;
    }
    each_client!(|c, key| {
        let (l, none) = (key("l"), key("none"));
        run!(c.rpush(&l, [1, 2, 3, 4, 5]));
        let popped: Option<(String, Vec<i32>)> = run!(c.lmpop([&none, &l], End::Left, 2));
        assert_eq!(popped, Some((l.clone(), vec![1, 2])));
        let popped: Option<(String, Vec<i32>)> = run!(c.blmpop(SHORT, [&none, &l], End::Right, 2));
        assert_eq!(popped, Some((l.clone(), vec![5, 4])));
        assert_eq!(run!(c.lmpop::<String, Vec<i32>>(&none, End::Left, 1)), None);
        assert_eq!(run!(c.blmpop::<String, Vec<i32>>(SHORT, &none, End::Left, 1)), None);
    });
}
