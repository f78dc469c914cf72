//! The books: what is wrong is found, what is only possible is not called wrong.

use super::*;

fn findings(mismatched: u64, duplicated: u64, lost: u64) -> Findings {
    Findings { mismatched, duplicated, lost, unannounced: 0 }
}

#[test]
fn a_value_tells_its_key_and_its_write() {
    for write in [1, 63, 64, 1000] {
        assert_eq!(written("a:1", value("a:1", write).as_bytes()), Some(write));
        assert_eq!(written("a:2", value("a:1", write).as_bytes()), None);
        assert_eq!(written("a:1", &value("a:1", write).as_bytes()[1..]), None);
    }
    assert_eq!(written("a", b"a#1#x"), None, "cut short");
    assert_eq!(written("a", b""), None);
}

#[test]
fn a_register_may_hold_what_is_unknown_even_after_newer_writes() {
    let (mut register, mut found) = (Register::default(), Findings::default());
    register.check(None, &mut found);
    for execution in [Execution::Executed, Execution::Unknown, Execution::Executed, Execution::NotExecuted] {
        let write = register.issue();
        register.handle_outcome(write, execution);
    }
    register.check(Some(3), &mut found);
    register.check(Some(2), &mut found);
    assert_eq!(found, Findings::default());
    register.check(Some(5), &mut found);
    assert_eq!(found, findings(1, 0, 0), "no call wrote that");
    register.check(Some(1), &mut found);
    register.check(Some(1), &mut found);
    assert_eq!(found, findings(1, 0, 1), "the newest is gone, and told once");
    register.check(None, &mut found);
    assert_eq!(found, findings(1, 0, 2));
}

#[test]
fn a_counter_lies_between_what_is_sure_and_what_is_possible() {
    let mut found = Findings::default();
    let mut counter = Counter::new(0);
    let base = counter.base();
    for execution in [Execution::Executed, Execution::Executed, Execution::Unknown, Execution::NotExecuted] {
        counter.handle_outcome(execution);
    }
    for count in [2, 3] {
        counter.check(Some(base + count), &mut found);
    }
    assert_eq!(found, Findings::default());
    counter.check(Some(Counter::new(1).base() + 2), &mut found);
    assert_eq!(found, findings(1, 0, 0));
    counter.check(Some(base + 5), &mut found);
    counter.check(Some(base + 5), &mut found);
    assert_eq!(found, findings(1, 2, 0), "told once");
    counter.handle_outcome(Execution::Executed);
    counter.check(Some(base + 6), &mut found);
    assert_eq!(found, findings(1, 2, 0));
}

#[test]
fn a_counter_that_is_gone_is_lost_and_counts_on() {
    let mut found = Findings::default();
    let mut counter = Counter::new(7);
    (0..10).for_each(|_| counter.handle_outcome(Execution::Executed));
    counter.handle_outcome(Execution::Executed);
    counter.check(Some(1), &mut found);
    assert_eq!(found, findings(0, 0, 10));
    counter.handle_outcome(Execution::Executed);
    counter.check(Some(2), &mut found);
    assert_eq!(found, findings(0, 0, 10));
    counter.check(None, &mut found);
    assert_eq!(found, findings(0, 0, 12));
}

#[test]
fn a_pile_gives_each_element_once() {
    let (mut pile, mut found) = (Pile::default(), Findings::default());
    for execution in [
        Execution::Executed,
        Execution::Unknown,
        Execution::NotExecuted,
        Execution::Executed,
        Execution::Executed,
    ] {
        let push = pile.issue();
        pile.handle_outcome(push, execution);
    }
    pile.taken(1, &mut found);
    pile.taken_perhaps();
    // 4 is there, 5 was taken by a call that did not get the answer, and 2 came after all.
    pile.check(&[4, 2], &mut found);
    assert_eq!(found, Findings::default());
    pile.taken(1, &mut found);
    assert_eq!(found, findings(0, 0, 1), "the server forgot that it was taken");
    pile.taken(9, &mut found);
    assert_eq!(found, findings(1, 0, 1));
}

#[test]
fn a_pile_with_an_element_twice_was_pushed_twice() {
    let (mut pile, mut found) = (Pile::default(), Findings::default());
    let push = pile.issue();
    pile.handle_outcome(push, Execution::Executed);
    pile.check(&[1, 1], &mut found);
    assert_eq!(found, findings(0, 1, 0));
}

#[test]
fn an_empty_pile_is_lost_but_for_what_came_later() {
    let (mut pile, mut found) = (Pile::default(), Findings::default());
    for _ in 0..3 {
        let push = pile.issue();
        pile.handle_outcome(push, Execution::Executed);
    }
    pile.taken_perhaps();
    let newest = pile.newest();
    let push = pile.issue();
    pile.taken_none(newest, &mut found);
    pile.handle_outcome(push, Execution::Executed);
    assert_eq!(found, findings(0, 0, 2));
    assert_eq!(pile.len(), 1);
    pile.check(&[4], &mut found);
    assert_eq!(found, findings(0, 0, 2));
}

#[test]
fn an_element_taken_before_its_pusher_heard_is_no_loss() {
    let (mut pile, mut found) = (Pile::default(), Findings::default());
    let push = pile.issue();
    pile.taken(push, &mut found);
    pile.handle_outcome(push, Execution::Executed);
    pile.check(&[], &mut found);
    assert_eq!(found, Findings::default());
}
