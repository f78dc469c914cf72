//! GETs through a client-side cache: of keys that it has, and of keys that it has not. It knows nothing of
//! how a cache is kept.

use super::{Job, elsewhere, runtime};
use crate::Fallible;
use crate::clients::{BlockingCached, Cached};
use crate::data::{self, KEYS, VALUE_LEN};
use crate::meter::{Laps, Measured};
use crate::workload::{HITS, Kind};

/// So few keys find room in a cache that is to miss: going round [`KEYS`] meets none that is still there, or,
/// where a cache keeps the frequent ones and not the last ones, hardly any.
pub const TIGHT: usize = 8;

/// Measures the cache of a blocking client.
///
/// # Errors
/// Fails if the client does, or if a reply is wrong.
pub fn blocking<C: BlockingCached>(job: &Job) -> Fallible<Measured> {
    let plan = Plan::of(job.kind)?;
    let mut cache = C::connect(&job.addr, plan.room)?;
    let mut laps = Laps::new(job.budget);
    let mut turn = 0;
    while laps.next() {
        for _ in 0..plan.gets {
            let key = &plan.keys[turn % plan.keys.len()];
            data::check(key, &cache.get(key)?, VALUE_LEN)?;
            turn += 1;
        }
    }
    Ok(laps.finish())
}

/// Measures the cache of an async client.
///
/// # Errors
/// As [`blocking`].
pub fn on_tokio<C: Cached>(job: &Job) -> Fallible<Measured> {
    let job = job.clone();
    let reading = async move {
        let plan = Plan::of(job.kind)?;
        let mut cache = C::connect(&job.addr, plan.room).await?;
        let mut laps = Laps::new(job.budget);
        let mut turn = 0;
        while laps.next() {
            for _ in 0..plan.gets {
                let key = &plan.keys[turn % plan.keys.len()];
                data::check(key, &cache.get(key).await?, VALUE_LEN)?;
                turn += 1;
            }
        }
        Ok(laps.finish())
    };
    runtime(0)?.block_on(async { tokio::spawn(reading).await? })
}

struct Plan {
    keys: Vec<String>,
    /// How many keys the cache may keep, if not as many as it does by default.
    room: Option<usize>,
    /// How many GETs are a call.
    gets: usize,
}

impl Plan {
    fn of(kind: Kind) -> Fallible<Self> {
        match kind {
            Kind::CacheHit => Ok(Self { keys: (0..HITS).map(data::name).collect(), room: None, gets: HITS }),
            Kind::CacheMiss => Ok(Self { keys: data::keys(), room: Some(TIGHT), gets: 1 }),
            kind => Err(elsewhere(kind)),
        }
    }
}

const _: () = assert!(TIGHT < KEYS && HITS < KEYS);
