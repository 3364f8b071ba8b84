//! Workflows: what ComfyUI is asked to do, as data. Each is a graph in API format (`NAME.json`) beside a manifest
//! (`NAME.toml`) that says what it makes, which inputs take the job's parameters, and what it needs.
//!
//! Everything here but [`Library::load`] is pure: a job names a workflow and parameters, [`Workflow::fill`] puts the parameters
//! into the known graph, [`check`] compares that graph with what a server says it has. No graph ever comes out of a message:
//! a [`Filled`] can only be made from a [`Workflow`], and a workflow only from the two files. What people need to know to write
//! their own stands in `docs/workflows.md`.

mod binding;
mod check;
mod error;
mod fill;
mod finding;
mod graph;
mod job;
mod library;
mod manifest;
mod object_info;
mod parameters;
mod rules;
mod shipped;
mod workflow;

pub use self::binding::{Binding, Bindings, Field, Places};
pub use self::check::{check, localise};
pub use self::error::{LibraryError, WorkflowError};
pub use self::fill::{Adjustment, FillError, Filled};
pub use self::finding::{Finding, Report};
pub use self::graph::{Graph, Link, Node};
pub use self::library::{Library, Origin, shipped_files};
pub use self::manifest::{
    ClipRule, Limits, Manifest, Memory, ModelFile, Output, QualitySettings, SizeRule, WorkflowKind,
};
pub use self::object_info::{InvalidObjectInfo, ObjectInfo};
pub use self::parameters::{ClipLength, Parameters};
pub use self::workflow::{Workflow, WorkflowHash};
