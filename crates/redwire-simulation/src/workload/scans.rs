//! All fields of a hash, or all keys of a cluster, page by page.
//!
//! This file must not know what is right.

use std::time::Duration;

use redwire::ScanOptions;

use super::Worker;
use crate::history::Scanned;
use crate::scenario::Topology;

/// How many fields the hash has, from the beginning on.
pub(crate) const FIELDS: usize = 60;

/// How keys begin that are there from the beginning on, at all nodes of a cluster.
const FIXED: &str = "fixed";

/// As many of them as the hash has fields.
pub(crate) fn fixed_key(number: usize) -> String {
    format!("{FIXED}{number}")
}

impl Worker {
    pub(super) async fn scans(&mut self) {
        while !self.is_over() {
            let task = self.task.id;
            self.world.note(|| format!("task {task} scans"));
            let begun = self.world.now();
            let client = self.client.clone();
            let (mut fields, mut failures) = (Vec::new(), 0);
            if self.scenario.topology == Topology::Cluster && self.random.bool() {
                let mut scan = client.scan::<String>(ScanOptions::new().count(10));
                while let Some(item) = scan.next().await {
                    match item {
                        Ok(key) => fields.extend(key.strip_prefix(FIXED).map(|n| format!("field{n}"))),
                        Err(_) if failures < 3 => failures += 1,
                        Err(_) => break,
                    }
                }
            } else {
                let mut scan = client.hscan::<(String, String)>("hash", ScanOptions::new().count(10));
                while let Some(item) = scan.next().await {
                    match item {
                        Ok((field, _)) => fields.push(field),
                        Err(_) if failures < 3 => failures += 1,
                        Err(_) => break,
                    }
                }
            }
            self.world.with(|state, now| {
                state.history.note(now, || format!("task {task} has scanned {}", fields.len()));
                state.history.scans.push(Scanned { task, begun, ended_at: now, failures, fields });
            });
            self.rest().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
