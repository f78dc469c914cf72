//! redis-rs and connections for one PING, from a `Client` that is kept. It makes the configuration of
//! TLS anew for each, and so resumes no session.

use super::lib::{Client, cmd};
use super::{calls, certificates};
use crate::Fallible;
use crate::clients::{BlockingVisit, Door, Visit};
use crate::workload::Security;

/// A client, which is not connected.
pub struct Visits(Client);

fn client(door: &Door) -> Fallible<Client> {
    let info = calls::info(&door.url())?;
    Ok(match door.security {
        Security::Plain => Client::open(info)?,
        _ => Client::build_with_tls(info, certificates(&door.ca))?,
    })
}

fn answered(pong: &str) -> Fallible<()> {
    if pong == "PONG" { Ok(()) } else { Err(format!("PING answered {pong:?}").into()) }
}

impl Visit for Visits {
    fn prepare(door: &Door) -> Fallible<Self> {
        Ok(Self(client(door)?))
    }

    async fn visit(&self) -> Fallible<()> {
        let mut connection = self.0.get_multiplexed_async_connection_with_config(&calls::config()).await?;
        answered(&cmd("PING").query_async::<String>(&mut connection).await?)
    }
}

impl BlockingVisit for Visits {
    fn prepare(door: &Door) -> Fallible<Self> {
        Ok(Self(client(door)?))
    }

    fn visit(&self) -> Fallible<()> {
        let mut connection = self.0.get_connection()?;
        answered(&cmd("PING").query::<String>(&mut connection)?)
    }
}
