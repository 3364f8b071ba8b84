//! Everything a worker is, except the work: taking attempts, asking for the grant, reports, leases, drain.

pub mod backend;
