//! From the command line to a client of either driver.

use redwire::config::{Config, Deployment, Verification};
use redwire::{Cmd, Reply, Result};

use crate::args::Global;
use crate::output::Failure;

/// The configuration that the command line asks for, of one of its URLs. What the URL says wins.
pub(crate) fn config(global: &Global, url: &str) -> Result<Config> {
    let mut builder = Config::builder().url(url).client_name("redwire-cli");
    if let Some(user) = &global.user {
        builder = builder.username(user);
    }
    if let Some(password) = &global.password {
        builder = builder.password(password.as_str());
    }
    if let Some(db) = global.db {
        builder = builder.db(db);
    }
    if let Some(timeout) = global.timeout {
        builder = builder.timeout(timeout);
    }
    if global.tls {
        builder = builder.tls(true);
    }
    if let Some(file) = &global.tls_ca_file {
        builder = builder.tls_ca_file(file);
    }
    if let Some(file) = &global.tls_cert_file {
        builder = builder.tls_cert_file(file);
    }
    if let Some(file) = &global.tls_key_file {
        builder = builder.tls_key_file(file);
    }
    if let Some(name) = &global.tls_server_name {
        builder = builder.tls_server_name(name);
    }
    if global.tls_insecure {
        builder = builder.tls_verification(Verification::None);
    }
    Ok(builder.build()?)
}

/// The server that the command line names, for what concerns one.
///
/// # Errors
/// It names several.
pub(crate) fn only_url(global: &Global) -> Result<&str, Failure> {
    match &*global.url {
        [] => Ok("redis://127.0.0.1:6379"),
        [url] => Ok(url),
        several => {
            let advice =
                "a cluster's are redis+cluster://HOST:PORT,HOST:PORT, a service's redis+sentinel://…";
            let why =
                format!("this command takes one server, and got {}; the nodes of {advice}", several.len());
            Err(Failure::new("--url", why))
        }
    }
}

/// Where a configuration leads, in short: `host:port`, or the path of a socket.
pub(crate) fn place(config: &Config) -> String {
    match config.deployment() {
        Deployment::Single(endpoint) => endpoint.to_string(),
        Deployment::Sentinel { service, .. } => service.clone(),
        Deployment::Cluster { nodes } => nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        other => format!("{other:?}"),
    }
}

/// The servers to try, one after another, where one is as good as another: of a cluster, each node that the
/// URL names.
pub(crate) fn servers(config: &Config) -> Vec<Config> {
    match config.deployment() {
        Deployment::Cluster { nodes } => nodes.iter().map(|node| config.for_node(node.clone())).collect(),
        _ => vec![config.clone()],
    }
}

/// A client of either driver, for tasks.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    Tokio(redwire::Client),
    Blocking(redwire::blocking::Client),
}

impl Client {
    pub(crate) fn config(&self) -> &Config {
        match self {
            Self::Tokio(client) => client.config(),
            Self::Blocking(client) => client.config(),
        }
    }

    /// A client that connects when it is first used.
    pub(crate) async fn lazy(config: Config, blocking: bool) -> Result<Self> {
        if !blocking {
            return redwire::Client::lazy(config).map(Self::Tokio);
        }
        apart(move || redwire::blocking::Client::lazy(config)).await.map(Self::Blocking)
    }

    /// A client that is connected; of a cluster, one that knows the map.
    pub(crate) async fn open(config: Config, blocking: bool) -> Result<Self> {
        if !blocking {
            return redwire::Client::open(config).await.map(Self::Tokio);
        }
        apart(move || redwire::blocking::Client::open(config)).await.map(Self::Blocking)
    }

    pub(crate) async fn execute<R: Reply + Send + 'static>(&self, cmd: Cmd<R>) -> Result<R> {
        match self {
            Self::Tokio(client) => client.execute(cmd).await,
            Self::Blocking(client) => {
                let client = client.clone();
                apart(move || client.execute(cmd)).await
            }
        }
    }
}

/// Runs what blocks on a thread where that is allowed.
pub(crate) async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
    }
}
