//! How a user ends what goes on.

use tokio::signal::unix::{SignalKind, signal};

/// Ends at Ctrl-C, or when the program is told to end (SIGTERM), from the first poll on.
pub(crate) async fn interrupted() {
    let told_to_end = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = told_to_end => {}
    }
}
