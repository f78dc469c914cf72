//! New credentials on a connection that lives: an `AUTH` takes its place among the requests, so no caller
//! waits for it and no call fails. It must not know where credentials come from.

use std::sync::Arc;

use redwire_core::{ErrorKind, Result};

use super::SharingShared;
use crate::nonblocking::wire::Wire;
use crate::shared::clock;
use crate::shared::credentials::{self, Credentials, VersionedCredentials};
use crate::shared::events::EventKind;

/// There are new credentials. A connection that is made from now on asks for them by itself.
pub(super) fn handle_change(shared: &Arc<SharingShared>) {
    let state = shared.lock();
    let runtime = state.runtime.clone().filter(|_| state.writer.is_some() && !state.is_inherited());
    drop(state);
    if let Some(runtime) = runtime {
        runtime.spawn(reauthenticate(Arc::clone(shared)));
    }
}

/// Presents the credentials, until they are the newest. Several changes may do so at the same time, and
/// one that asked earlier be answered later: so each looks again once it is done.
async fn reauthenticate(shared: Arc<SharingShared>) {
    let config = shared.target.config();
    loop {
        let pass = match VersionedCredentials::fetch(config).await {
            Ok(pass) => pass,
            Err(error) => return shared.target.tell(EventKind::Refused(shared.target.locate(error))),
        };
        let Some(credentials) = pass.credentials else { return };
        match present(&shared, &credentials).await {
            Ok(()) => {}
            // The next connection, if there is to be one, asks for itself.
            Err(error) if matches!(error.kind(), ErrorKind::Connection(_) | ErrorKind::Closed) => return,
            Err(error) => shared.target.tell(EventKind::Refused(shared.target.locate(error))),
        }
        if pass.version == credentials::version(config) {
            return;
        }
    }
}

/// Presents `credentials`, once the server has taken the newest ones on a connection of its own. Redis 8.0
/// and Valkey 8.1 do not answer an `AUTH` that they refuse while replies before it wait to be sent: on the
/// shared connection, each reply after it would go to the wrong caller.
async fn present(shared: &Arc<SharingShared>, credentials: &Credentials) -> Result<()> {
    if let Err(error) = Wire::connect(&shared.target, None, None).await
        && matches!(error.kind(), ErrorKind::Authentication(_))
    {
        return Err(error);
    }
    // What else failed there says nothing about credentials.
    let deadline = shared.target.config().timeout().and_then(|limit| clock::now().checked_add(limit));
    let auth = credentials.auth();
    let answer = shared.exchange(&auth, deadline).await;
    answer.and_then(|mut replies| replies.read::<()>()).map_err(|error| auth.judge(error))
}
