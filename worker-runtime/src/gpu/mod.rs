//! The gate: whether a job fits the card now, by this machine's own readings and what its workers have promised.

pub mod admit;
pub mod footprint;
pub mod gate;
pub mod ledger;
pub mod probe;
pub mod reading;
