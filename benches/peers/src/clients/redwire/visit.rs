//! redwire and connections for one PING: a client each time, from a configuration that was read once. Only
//! connections of one client resume each other's TLS sessions, so where sessions are to be resumed it is one
//! pool, each of whose connections is thrown away after its call.

use std::time::Duration;

use ::redwire as lib;
use lib::config::Config;
use lib::prelude::*;

use crate::Fallible;
use crate::clients::{BlockingVisit, Door, Visit};
use crate::workload::Security;

/// Where connections come from.
pub enum Source<P> {
    /// A client of its own for each.
    Client(Box<Config>),
    /// A pool for all.
    Pool(P),
}

/// Async.
pub struct Async(Source<lib::Pool>);

/// Blocking.
pub struct Blocking(Source<lib::blocking::Pool>);

/// Longer than a close takes.
const A_WHILE: Duration = Duration::from_secs(1);

fn config(door: &Door) -> Fallible<Config> {
    let mut builder = Config::builder().url(&door.url());
    if door.security != Security::Plain {
        builder = builder.tls_ca_bytes(&door.ca);
    }
    Ok(builder.build()?)
}

impl Visit for Async {
    fn prepare(door: &Door) -> Fallible<Self> {
        let config = config(door)?;
        Ok(Self(match door.security {
            Security::Resumed => Source::Pool(lib::Pool::lazy(config)?),
            _ => Source::Client(Box::new(config)),
        }))
    }

    async fn visit(&self) -> Fallible<()> {
        match &self.0 {
            Source::Client(config) => {
                let client = lib::Client::open(Config::clone(config)).await?;
                client.ping().await?;
                client.close(A_WHILE).await;
            }
            Source::Pool(pool) => {
                let mut lease = pool.get().await?;
                lease.ping().await?;
                lease.discard();
            }
        }
        Ok(())
    }
}

impl BlockingVisit for Blocking {
    fn prepare(door: &Door) -> Fallible<Self> {
        let config = config(door)?;
        Ok(Self(match door.security {
            Security::Resumed => Source::Pool(lib::blocking::Pool::lazy(config)?),
            _ => Source::Client(Box::new(config)),
        }))
    }

    fn visit(&self) -> Fallible<()> {
        match &self.0 {
            Source::Client(config) => {
                let client = lib::blocking::Client::open(Config::clone(config))?;
                client.ping()?;
                client.close(A_WHILE);
            }
            Source::Pool(pool) => {
                let mut lease = pool.get()?;
                lease.ping()?;
                lease.discard();
            }
        }
        Ok(())
    }
}
