//! Connections that are made for one PING: connect, authenticate, ask, close. It knows neither the client nor
//! what TLS is.

use super::{Job, elsewhere, runtime};
use crate::Fallible;
use crate::clients::{BlockingVisit, Door, Visit};
use crate::meter::{Laps, Measured};
use crate::workload::Kind;

/// Measures a blocking client.
///
/// # Errors
/// Fails if the client does.
pub fn blocking<C: BlockingVisit>(job: &Job) -> Fallible<Measured> {
    let client = C::prepare(&door(job)?)?;
    let mut laps = Laps::new(job.budget);
    while laps.next() {
        client.visit()?;
    }
    Ok(laps.finish())
}

/// Measures an async client.
///
/// # Errors
/// As [`blocking`].
pub fn on_tokio<C: Visit>(job: &Job) -> Fallible<Measured> {
    let (door, budget) = (door(job)?, job.budget);
    let visiting = async move {
        let client = C::prepare(&door)?;
        let mut laps = Laps::new(budget);
        while laps.next() {
            client.visit().await?;
        }
        Ok(laps.finish())
    };
    runtime(0)?.block_on(async { tokio::spawn(visiting).await? })
}

fn door(job: &Job) -> Fallible<Door> {
    let Kind::Connect(security) = job.kind else { return Err(elsewhere(job.kind)) };
    Door::new(&job.addr, security, job.ca.as_deref())
}
