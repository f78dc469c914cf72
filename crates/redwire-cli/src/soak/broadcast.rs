//! What a subscriber must hear, by what the publisher was told and what was announced: the book of one
//! channel.
//!
//! It judges by order. There is one publisher, which waits for each answer before the next message. So
//! whatever was acknowledged and has a lower number than what is heard now was heard before, or it was lost;
//! and a loss is to be announced before the next message. In a cluster publisher and subscriber may be at
//! different nodes, and what one tells the other may come late, in another order, or never; no client can
//! know. There nothing has to come, and after an announcement, which may mean another node, nothing is heard
//! twice. This file must not know clients.

use std::collections::BTreeSet;

use super::ledger::{Execution, Findings};

/// So many messages that were heard are remembered, the newest, to tell one that is heard twice.
const REMEMBERED: usize = 1024;

/// The book of a channel; all is numbered from 1.
#[derive(Debug)]
pub(super) struct Broadcast {
    next: u64,
    /// Up to here messages may be missing: there was no subscription yet, or a loss was announced.
    excused: u64,
    /// Published without an answer so far, or for good, and not heard.
    possible: BTreeSet<u64>,
    /// Acknowledged, and not heard.
    owed: BTreeSet<u64>,
    heard: BTreeSet<u64>,
    /// Whether messages are passed on from node to node.
    relayed: bool,
}

impl Default for Broadcast {
    fn default() -> Self {
        let (possible, owed, heard) = Default::default();
        Self { next: 0, excused: u64::MAX, possible, owed, heard, relayed: false }
    }
}

impl Broadcast {
    /// Of a cluster.
    pub(super) fn relayed() -> Self {
        Self { relayed: true, ..Self::default() }
    }

    /// The number of the next message.
    pub(super) fn issue(&mut self) -> u64 {
        self.next += 1;
        self.possible.insert(self.next);
        self.next
    }

    pub(super) fn handle_outcome(&mut self, message: u64, execution: Execution, findings: &mut Findings) {
        match execution {
            // It may have been heard before its publisher was told.
            Execution::Executed => {
                if self.possible.remove(&message) && message > self.excused && !self.relayed {
                    self.owed.insert(message);
                }
            }
            Execution::NotExecuted => {
                findings.duplicated += u64::from(!self.possible.remove(&message));
            }
            Execution::Unknown => {}
        }
    }

    /// From the next message on, all is to be heard, until [`ended`](Self::ended). What was published before
    /// may be missing: at the beginning of a subscription, and when a loss is announced.
    pub(super) fn announced(&mut self) {
        self.excused = self.next;
        self.owed.clear();
        if self.relayed {
            self.heard.clear();
        }
    }

    /// The subscription has ended, and said so.
    pub(super) fn ended(&mut self) {
        self.announced();
        self.excused = u64::MAX;
    }

    pub(super) fn heard(&mut self, message: u64, findings: &mut Findings) {
        if message > self.next {
            findings.mismatched += 1;
            return;
        }
        findings.duplicated += u64::from(!self.heard.insert(message));
        if self.heard.len() > REMEMBERED {
            self.heard.pop_first();
        }
        self.possible.remove(&message);
        let later = self.owed.split_off(&message);
        findings.unannounced += std::mem::replace(&mut self.owed, later).len() as u64;
        self.owed.remove(&message);
    }

    /// Whether all that is to be heard was heard.
    pub(super) fn is_complete(&self) -> bool {
        self.owed.is_empty()
    }

    /// Nothing is heard any more.
    pub(super) fn close(&mut self, findings: &mut Findings) {
        findings.unannounced += std::mem::take(&mut self.owed).len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A book in which messages of these fates were published to a subscriber.
    fn published(executions: &[Execution]) -> (Broadcast, Findings) {
        let (mut book, mut found) = (Broadcast::default(), Findings::default());
        book.announced();
        publish(&mut book, executions, &mut found);
        (book, found)
    }

    fn publish(book: &mut Broadcast, executions: &[Execution], found: &mut Findings) {
        for execution in executions {
            let message = book.issue();
            book.handle_outcome(message, *execution, found);
        }
    }

    fn unannounced(count: u64) -> Findings {
        Findings { unannounced: count, ..Findings::default() }
    }

    #[test]
    fn a_gap_that_is_not_announced_is_found() {
        let (mut book, mut found) = published(&[Execution::Executed; 5]);
        for message in [1, 4, 5] {
            book.heard(message, &mut found);
        }
        assert_eq!((found, book.is_complete()), (unannounced(2), true));
    }

    #[test]
    fn an_announcement_covers_what_was_published_before_it() {
        let (mut book, mut found) = published(&[Execution::Executed; 3]);
        book.heard(1, &mut found);
        let under_way = book.issue();
        book.announced();
        book.handle_outcome(under_way, Execution::Executed, &mut found);
        publish(&mut book, &[Execution::Executed; 2], &mut found);
        book.heard(3, &mut found);
        book.heard(6, &mut found);
        assert_eq!(found, unannounced(1), "5 came after it, and 2 and 4 did not");
    }

    #[test]
    fn what_is_not_known_to_be_published_may_come_whenever_it_likes() {
        let (mut book, mut found) =
            published(&[Execution::Executed, Execution::Unknown, Execution::Unknown, Execution::Executed]);
        for message in [1, 4, 2] {
            book.heard(message, &mut found);
        }
        book.close(&mut found);
        assert_eq!(found, Findings::default());
    }

    #[test]
    fn what_is_missing_in_the_end_is_lost() {
        let (mut book, mut found) = published(&[Execution::Executed; 3]);
        book.heard(1, &mut found);
        assert!(!book.is_complete());
        book.close(&mut found);
        assert_eq!(found, unannounced(2));
    }

    #[test]
    fn without_a_subscription_nothing_is_owed() {
        let (mut book, mut found) = (Broadcast::default(), Findings::default());
        publish(&mut book, &[Execution::Executed; 2], &mut found);
        book.announced();
        publish(&mut book, &[Execution::Executed], &mut found);
        book.ended();
        publish(&mut book, &[Execution::Executed], &mut found);
        assert!(book.is_complete());
        assert_eq!(found, Findings::default());
    }

    #[test]
    fn nodes_that_pass_messages_on_owe_nothing_and_invent_nothing() {
        let (mut book, mut found) = (Broadcast::relayed(), Findings::default());
        book.announced();
        publish(&mut book, &[Execution::Executed; 3], &mut found);
        book.heard(3, &mut found);
        book.heard(1, &mut found);
        assert_eq!((found, book.is_complete()), (Findings::default(), true));
        book.heard(1, &mut found);
        assert_eq!(found.duplicated, 1);
        book.announced();
        book.heard(3, &mut found);
        book.heard(4, &mut found);
        assert_eq!((found.duplicated, found.mismatched), (1, 1));
    }

    #[test]
    fn messages_that_were_not_sent_or_come_twice_are_found() {
        let (mut book, mut found) = published(&[Execution::Executed, Execution::NotExecuted]);
        book.heard(1, &mut found);
        book.heard(1, &mut found);
        book.heard(3, &mut found);
        assert_eq!(found, Findings { mismatched: 1, duplicated: 1, ..Findings::default() });
        let message = book.issue();
        book.heard(message, &mut found);
        book.handle_outcome(message, Execution::NotExecuted, &mut found);
        assert_eq!(found.duplicated, 2, "heard, though it was told that it was not sent");
    }
}
