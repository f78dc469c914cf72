//! The limit of exclusive leases: a task for each connection, which is never without work and waits for no
//! other. As a connection serves one call at a time, no pool can be faster.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::BUFFER_LEN;
use super::plan::Plan;
use crate::Fallible;
use crate::child::{Job, runtime};
use crate::meter::{Measured, Stage, Tally};
use crate::workload::{Kind, LEASES};

/// Measures the limit on tokio.
///
/// # Errors
/// Fails if a connection does, or if the replies have another length than they must.
pub fn on_tokio(job: &Job) -> Fallible<Measured> {
    let stage = Arc::new(Stage::new());
    runtime(job.kind.workers())?.block_on(async {
        let spawn = |index| {
            let tally = Tally::new(job.budget, index, LEASES);
            tokio::spawn(one_connection(job.addr.clone(), Arc::clone(&stage), tally))
        };
        let loops: Vec<_> = (0..LEASES).map(spawn).collect();
        let mut measured = stage.conduct(job.budget).await;
        for one in loops {
            measured.calls += one.await??;
        }
        Ok(measured)
    })
}

async fn one_connection(addr: String, stage: Arc<Stage>, mut tally: Tally) -> Fallible<u64> {
    let plan = Plan::new(Kind::Get)?;
    let mut server = TcpStream::connect(addr).await?;
    server.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_LEN];
    let mut gets = plan.calls.iter().flatten().cycle();
    while tally.next(&stage) {
        let exchange = gets.next().expect("a cycle over at least one call");
        server.write_all(&exchange.request).await?;
        let mut left = exchange.reply_len;
        while left > 0 {
            left = exchange.account(left, server.read(&mut buffer).await?, buffer[0])?;
        }
    }
    Ok(tally.calls)
}
