//! The probe over the real wrapper of NVIDIA's library, with a stand-in for the library.
// The stand-in finds its state beside itself, which it knows to do on Unix.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it like the test itself"
)]

mod absent;
mod faults;
mod figures;
mod hang;
mod identity;
mod support;
