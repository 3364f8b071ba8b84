//! Requests to the whole router over a coordinator at work, and what they are answered.

mod access;
mod artifacts;
mod bad_requests;
mod changes;
mod events;
mod films;
mod health;
mod made;
mod metrics;
mod previews;
mod serving;
mod studio;
mod support;
mod workers;
