//! The names of log and span fields, so that one thing has one name in all programs.
//!
//! They are written in braces: `tracing::info!({ fields::JOB_ID } = %job, "granted")`. Units are part of the name.

/// A job's id.
pub const JOB_ID: &str = "job.id";
/// A job's kind.
pub const JOB_KIND: &str = "job.kind";
/// Number of an attempt.
pub const ATTEMPT: &str = "attempt";
/// Number of a take.
pub const TAKE: &str = "take";
/// A run's id.
pub const RUN_ID: &str = "run.id";
/// Name of a profile.
pub const PROFILE: &str = "profile";
/// Name of a worker.
pub const WORKER_ID: &str = "worker.id";
/// Name of a backend.
pub const BACKEND: &str = "backend";
/// Class of a failure.
pub const FAILURE_KIND: &str = "failure.kind";
/// Why something was decided or done.
pub const REASON: &str = "reason";
/// An error with all its sources.
pub const ERROR: &str = "error";
/// How long something waited, in milliseconds.
pub const WAIT_MS: &str = "wait_ms";
/// How long something took, in milliseconds.
pub const TOOK_MS: &str = "took_ms";
/// How many there are.
pub const COUNT: &str = "count";

/// The trace that something is part of: a film's, which is called like the film unless its submission was part of another.
pub const TRACE_ID: &str = "trace.id";
/// A film's id.
pub const FILM_ID: &str = "film.id";
/// How something ended, in a word.
pub const OUTCOME: &str = "outcome";
/// A card's UUID.
pub const DEVICE: &str = "gpu.uuid";

// The broker's names are those of OpenTelemetry's messaging conventions, which may still change: they stand here alone.

/// Name of a queue or exchange.
pub const DESTINATION: &str = "messaging.destination.name";
/// Id of a message.
pub const MESSAGE_ID: &str = "messaging.message.id";
