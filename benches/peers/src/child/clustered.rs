//! One caller of a cluster: GETs one at a time, and pipelines over all slots. It knows neither nodes nor
//! slots.

use super::{Job, elsewhere, runtime};
use crate::Fallible;
use crate::clients::{AsyncPipe, BlockingPipe};
use crate::data::{self, KEYS, VALUE_LEN};
use crate::meter::{Laps, Measured};
use crate::workload::Kind;

/// Measures GETs one at a time, or pipelines, of a blocking client.
///
/// # Errors
/// Fails if the client does, or if a reply is wrong.
pub fn blocking<C: BlockingPipe>(job: &Job) -> Fallible<Measured> {
    let mut client = C::connect(&job.addr)?;
    let keys = keys(job.kind)?;
    let mut laps = Laps::new(job.budget);
    let mut turn = 0;
    while laps.next() {
        if matches!(job.kind, Kind::ClusterPipeline(_)) {
            data::check_many(&keys, &client.pipeline(&keys)?)?;
        } else {
            let key = &keys[turn % KEYS];
            data::check(key, &client.get(key)?, VALUE_LEN)?;
            turn += 1;
        }
    }
    Ok(laps.finish())
}

/// Measures pipelines of an async client.
///
/// # Errors
/// As [`blocking`].
pub fn pipelines<C: AsyncPipe>(job: &Job) -> Fallible<Measured> {
    let job = job.clone();
    let piping = async move {
        let mut client = C::connect(&job.addr).await?;
        let keys = keys(job.kind)?;
        let mut laps = Laps::new(job.budget);
        while laps.next() {
            data::check_many(&keys, &client.pipeline(&keys).await?)?;
        }
        Ok(laps.finish())
    };
    runtime(0)?.block_on(async { tokio::spawn(piping).await? })
}

fn keys(kind: Kind) -> Fallible<Vec<String>> {
    match kind {
        Kind::ClusterPipeline(gets) => Ok((0..gets).map(|i| data::name(i % KEYS)).collect()),
        Kind::Cluster { tasks: 1 } => Ok(data::keys()),
        kind => Err(elsewhere(kind)),
    }
}
