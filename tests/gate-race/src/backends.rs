//! Backends as workers name them.

use std::net::SocketAddr;

use simulated_gpu::Client;
use worker_runtime::gpu::ledger::BackendId;

const SORT: &str = "simulated@";

/// The name of the backend at that address.
pub(crate) fn name_of(address: SocketAddr) -> BackendId {
    BackendId(format!("{SORT}{address}"))
}

/// The backend of that name.
pub(crate) fn named(backend: &BackendId) -> Option<Client> {
    let address = backend.0.strip_prefix(SORT)?.parse().ok()?;
    Some(Client::at(address))
}
