//! All metrics.

use super::Kind::{Counter, Gauge, Histogram};
use super::Metric;
use super::Teller::{Coordinator, Everyone, Worker};

/// Bounds of how long work takes, from a storyboard to an hour's render.
const WORK: &[f64] = &[
    0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 3_600.0,
];
/// Bounds of how long a model takes to load.
const LOAD: &[f64] = &[0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0];
/// Bounds of how long a job that was delivered waits for its room.
const WAIT: &[f64] = &[0.01, 0.1, 0.5, 1.0, 4.0, 15.0, 60.0, 300.0, 1_200.0];

const KIND_AND_PROFILE: &[&str] = &["kind", "profile"];
const DEVICE: &[&str] = &["device"];

/// Which program this is.
pub const BUILD_INFO: Metric = Metric {
    name: "callsheet_build_info",
    kind: Gauge,
    labels: &["program", "version"],
    teller: Everyone,
    help: "Always 1: which program this is, and its version.",
};

/// Whether the broker can be reached.
pub const BROKER_CONNECTED: Metric = Metric {
    name: "callsheet_broker_connected",
    kind: Gauge,
    labels: &[],
    teller: Everyone,
    help: "1 while there is a connection to the broker.",
};

/// Spans that a collector has.
pub const SPANS_EXPORTED: Metric = Metric {
    name: "callsheet_spans_exported_total",
    kind: Counter,
    labels: &[],
    teller: Everyone,
    help: "Spans that the collector has taken.",
};

/// Spans that were thrown away.
pub const SPANS_DROPPED: Metric = Metric {
    name: "callsheet_spans_dropped_total",
    kind: Counter,
    labels: &[],
    teller: Everyone,
    help: "Spans that were thrown away, since the collector was away or too slow.",
};

/// Metrics that were not taken.
pub const PUSHES_FAILED: Metric = Metric {
    name: "callsheet_metric_pushes_failed_total",
    kind: Counter,
    labels: &[],
    teller: Everyone,
    help: "Pushes of metrics that the collector did not take; the next one tells the same counters as they are then.",
};

/// Jobs that wait for a worker.
pub const JOBS_QUEUED: Metric = Metric {
    name: "callsheet_jobs_queued",
    kind: Gauge,
    labels: KIND_AND_PROFILE,
    teller: Coordinator,
    help: "Jobs that wait for a worker: the depth of the queue.",
};

/// Jobs that a worker has.
pub const JOBS_RUNNING: Metric = Metric {
    name: "callsheet_jobs_running",
    kind: Gauge,
    labels: KIND_AND_PROFILE,
    teller: Coordinator,
    help: "Jobs that a worker works on.",
};

/// How long the oldest job has waited.
pub const QUEUE_AGE: Metric = Metric {
    name: "callsheet_queue_age_seconds",
    kind: Gauge,
    labels: KIND_AND_PROFILE,
    teller: Coordinator,
    help: "How long the oldest job of the queue has waited.",
};

/// Attempts that have ended.
pub const ATTEMPTS: Metric = Metric {
    name: "callsheet_attempts_total",
    kind: Counter,
    labels: &["kind", "profile", "outcome", "failure"],
    teller: Coordinator,
    help: "Attempts that have ended: `outcome` is `succeeded`, `failed`, `released` or `lost`, `failure` the kind of a failure or `none`.",
};

/// Leases that ran out.
pub const LEASES_EXPIRED: Metric = Metric {
    name: "callsheet_leases_expired_total",
    kind: Counter,
    labels: KIND_AND_PROFILE,
    teller: Coordinator,
    help: "Runs that were given up because nobody heard of them for longer than their lease.",
};

/// Attempts that must still be published.
pub const OUTBOX_SIZE: Metric = Metric {
    name: "callsheet_outbox_attempts",
    kind: Gauge,
    labels: &[],
    teller: Coordinator,
    help: "Attempts that the broker has not confirmed yet.",
};

/// How long the oldest of them is due.
pub const OUTBOX_AGE: Metric = Metric {
    name: "callsheet_outbox_age_seconds",
    kind: Gauge,
    labels: &[],
    teller: Coordinator,
    help: "How long the oldest of them is due; 0 if there is none.",
};

/// Films that were accepted.
pub const FILMS_ACCEPTED: Metric = Metric {
    name: "callsheet_films_accepted_total",
    kind: Counter,
    labels: &[],
    teller: Coordinator,
    help: "Films that were accepted.",
};

/// Films that have ended.
pub const FILMS_ENDED: Metric = Metric {
    name: "callsheet_films_ended_total",
    kind: Counter,
    labels: &["outcome"],
    teller: Coordinator,
    help: "Films that have ended: `completed`, `failed` or `cancelled`. One that is retried ends again.",
};

/// Films by state.
pub const FILMS: Metric = Metric {
    name: "callsheet_films",
    kind: Gauge,
    labels: &["state"],
    teller: Coordinator,
    help: "Films in the store: `running`, `completed`, `failed` or `cancelled`. Counted once a minute at most.",
};

/// Workers that are there.
pub const WORKERS_ONLINE: Metric = Metric {
    name: "callsheet_workers_online",
    kind: Gauge,
    labels: &[],
    teller: Coordinator,
    help: "Workers that were heard of lately.",
};

/// Workers that serve a profile.
pub const WORKERS_SERVING: Metric = Metric {
    name: "callsheet_workers_serving",
    kind: Gauge,
    labels: KIND_AND_PROFILE,
    teller: Coordinator,
    help: "Workers that would take such jobs now, for each kind and profile that has jobs waiting.",
};

/// Whether the store can be written.
pub const STORE_WRITABLE: Metric = Metric {
    name: "callsheet_store_writable",
    kind: Gauge,
    labels: &[],
    teller: Coordinator,
    help: "0 while nothing can be stored, as with a full disk.",
};

/// What the gate said.
pub const VERDICTS: Metric = Metric {
    name: "callsheet_admission_verdicts_total",
    kind: Counter,
    labels: &["profile", "verdict", "reason"],
    teller: Worker,
    help: "What the gate said of jobs that were delivered: `admit`, `wait`, `evict` or `never`, and why. The same word about the same job counts once.",
};

/// How long jobs waited for their room.
pub const ADMISSION_WAIT: Metric = Metric {
    name: "callsheet_admission_wait_seconds",
    kind: Histogram(WAIT),
    labels: &["profile", "outcome"],
    teller: Worker,
    help: "How long a job that was delivered waited for its room on the card or the host: `admitted`, or `handed_back` in the end.",
};

/// Models that were asked to leave.
pub const EVICTIONS: Metric = Metric {
    name: "callsheet_evictions_total",
    kind: Counter,
    labels: &["profile", "outcome"],
    teller: Worker,
    help: "How often others were asked to leave the card for a job of the profile: `enough`, or `too_little` came free.",
};

/// Models that were loaded.
pub const MODEL_LOADS: Metric = Metric {
    name: "callsheet_model_loads_total",
    kind: Counter,
    labels: &["profile", "device"],
    teller: Worker,
    help: "Jobs that began with their model not loaded.",
};

/// How long they took to load.
pub const LOAD_SECONDS: Metric = Metric {
    name: "callsheet_model_load_seconds",
    kind: Histogram(LOAD),
    labels: &["profile", "device"],
    teller: Worker,
    help: "How long models took to load: what a job took longer than usual with its model not loaded.",
};

/// How long runs took.
pub const RUN_SECONDS: Metric = Metric {
    name: "callsheet_run_seconds",
    kind: Histogram(WORK),
    labels: &["kind", "profile", "device", "outcome"],
    teller: Worker,
    help: "How long runs took from their grant, loading included: `succeeded`, `failed` or `released`; `device` is `none` for work without a card.",
};

/// Work that was found again.
pub const ADOPTIONS: Metric = Metric {
    name: "callsheet_adoptions_total",
    kind: Counter,
    labels: &["profile", "what"],
    teller: Worker,
    help: "Runs that did no work anew: an earlier `result` of this worker, or an earlier `render` of its backend, was found again.",
};

/// All memory of a card.
pub const CARD_TOTAL: Metric = Metric {
    name: "callsheet_card_memory_bytes",
    kind: Gauge,
    labels: DEVICE,
    teller: Worker,
    help: "All memory of the card.",
};

/// Free memory of a card.
pub const CARD_FREE: Metric = Metric {
    name: "callsheet_card_free_bytes",
    kind: Gauge,
    labels: DEVICE,
    teller: Worker,
    help: "Memory of the card that is free.",
};

/// What our backends hold.
pub const CARD_OURS: Metric = Metric {
    name: "callsheet_card_ours_bytes",
    kind: Gauge,
    labels: DEVICE,
    teller: Worker,
    help: "Memory of the card that our backends hold.",
};

/// What others hold.
pub const CARD_FOREIGN: Metric = Metric {
    name: "callsheet_card_foreign_bytes",
    kind: Gauge,
    labels: DEVICE,
    teller: Worker,
    help: "Memory of the card that processes hold which are none of ours.",
};

/// What was promised.
pub const CARD_PROMISED: Metric = Metric {
    name: "callsheet_card_promised_bytes",
    kind: Gauge,
    labels: DEVICE,
    teller: Worker,
    help: "Memory of the card that was promised to jobs and is not taken yet.",
};

/// How old the reading is.
pub const CARD_AGE: Metric = Metric {
    name: "callsheet_card_reading_age_seconds",
    kind: Gauge,
    labels: DEVICE,
    teller: Worker,
    help: "How old these figures of the card were when they were looked at last.",
};

/// Room for attempts.
pub const SLOTS: Metric = Metric {
    name: "callsheet_slots",
    kind: Gauge,
    labels: &[],
    teller: Worker,
    help: "Attempts that the worker may run at once.",
};

/// Room that is free.
pub const SLOTS_FREE: Metric = Metric {
    name: "callsheet_slots_free",
    kind: Gauge,
    labels: &[],
    teller: Worker,
    help: "How many of them are free.",
};

/// Whether work is taken.
pub const PROFILE_OPEN: Metric = Metric {
    name: "callsheet_profile_open",
    kind: Gauge,
    labels: KIND_AND_PROFILE,
    teller: Worker,
    help: "1 while the worker would take such a job, 0 while something is in the way (`callsheet workers` says what).",
};

/// Reports that are not delivered.
pub const REPORTS_PENDING: Metric = Metric {
    name: "callsheet_reports_pending",
    kind: Gauge,
    labels: &[],
    teller: Worker,
    help: "Reports of runs that the broker has not confirmed yet.",
};

/// All of them, in the order of the documentation.
pub const ALL: &[&Metric] = &[
    &BUILD_INFO,
    &BROKER_CONNECTED,
    &SPANS_EXPORTED,
    &SPANS_DROPPED,
    &PUSHES_FAILED,
    &JOBS_QUEUED,
    &JOBS_RUNNING,
    &QUEUE_AGE,
    &ATTEMPTS,
    &LEASES_EXPIRED,
    &OUTBOX_SIZE,
    &OUTBOX_AGE,
    &FILMS_ACCEPTED,
    &FILMS_ENDED,
    &FILMS,
    &WORKERS_ONLINE,
    &WORKERS_SERVING,
    &STORE_WRITABLE,
    &VERDICTS,
    &ADMISSION_WAIT,
    &EVICTIONS,
    &MODEL_LOADS,
    &LOAD_SECONDS,
    &RUN_SECONDS,
    &ADOPTIONS,
    &CARD_TOTAL,
    &CARD_FREE,
    &CARD_OURS,
    &CARD_FOREIGN,
    &CARD_PROMISED,
    &CARD_AGE,
    &SLOTS,
    &SLOTS_FREE,
    &PROFILE_OPEN,
    &REPORTS_PENDING,
];
