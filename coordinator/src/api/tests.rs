//! Requests to the whole router, and what they are answered.

mod bad_requests;
mod support;
