//! The SCAN family as an iterator.

use redwire_core::{Reply, Result};

use super::client::Client;
use crate::scanning::{Page, Scanning};

/// The items of a collection, fetched a page at a time; made by [`Client::scan`] and its kin.
///
/// Every item that is there from beginning to end is given at least once; one may come twice. After an error the next
/// call asks for the same page again.
#[derive(Debug)]
#[must_use = "an iterator does nothing until it is asked for items"]
pub struct Scan<'c, T> {
    client: &'c Client,
    scanning: Scanning<T>,
}

impl<'c, T> Scan<'c, T> {
    pub(crate) fn new(client: &'c Client, scanning: Scanning<T>) -> Self {
        Self { client, scanning }
    }
}

impl<T: Reply> Iterator for Scan<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        loop {
            match self.scanning.poll_item() {
                Page::Item(item) => return Some(Ok(item)),
                Page::Done | Page::FetchAt(..) | Page::Ask(_) => return None,
                Page::Fetch(cmd) => match self.client.execute(cmd) {
                    Ok(page) => self.scanning.handle_page(page),
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }
}
