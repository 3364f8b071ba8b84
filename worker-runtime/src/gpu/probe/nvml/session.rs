//! One session with the library for the life of the process, and a new one when a device or the driver asks for it.
//!
//! One, because to open it costs milliseconds, and because the driver unloads itself when its last user leaves. A new one,
//! because a device that was reset and a driver that was replaced are seen by a new session only.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use crate::gpu::probe::Fault;

/// A session with the library.
#[derive(Debug)]
pub(super) struct Session {
    library: Option<PathBuf>,
    /// Pause between two tries for the sake of a device.
    renew_after: Duration,
    /// Pause between two tries where the driver is absent or of another version.
    reopen_after: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    open: Result<Arc<Nvml>, Fault>,
    /// Before this moment no new session is opened.
    not_before: Option<Instant>,
}

impl Session {
    /// A session that is opened when it is first needed.
    pub(super) fn new(
        library: Option<PathBuf>,
        renew_after: Duration,
        reopen_after: Duration,
    ) -> Self {
        Self {
            library,
            renew_after,
            reopen_after,
            state: Mutex::new(State {
                open: Err(Fault::NoDriver("it was not looked for yet".to_owned())),
                not_before: None,
            }),
        }
    }

    /// Calls the library; once more in a new session, if that may help and was not just tried.
    pub(super) fn call<T>(&self, call: impl Fn(&Nvml) -> Result<T, NvmlError>) -> Result<T, Fault> {
        let nvml = self.current()?;
        let fault = match call(&nvml) {
            Ok(told) => return Ok(told),
            Err(error) => Fault::from(error),
        };
        match self.renewed(nvml, &fault) {
            Some(nvml) => call(&*nvml?).map_err(Fault::from),
            None => Err(fault),
        }
    }

    /// The session, opened if it is not and may be tried.
    fn current(&self) -> Result<Arc<Nvml>, Fault> {
        let mut state = self.lock();
        match &state.open {
            Ok(nvml) => Ok(Arc::clone(nvml)),
            Err(fault) if state.must_wait() => Err(fault.clone()),
            Err(_) => self.open(&mut state),
        }
    }

    /// A session that is newer than `old`, with which something failed; none if it would not help or is too early.
    fn renewed(&self, old: Arc<Nvml>, fault: &Fault) -> Option<Result<Arc<Nvml>, Fault>> {
        if !fault.may_be_mended() {
            return None;
        }
        let mut state = self.lock();
        match &state.open {
            // Somebody else was quicker.
            Ok(nvml) if !Arc::ptr_eq(nvml, &old) => return Some(Ok(Arc::clone(nvml))),
            Ok(_) if state.must_wait() => return None,
            Err(fault) if state.must_wait() => return Some(Err(fault.clone())),
            Ok(_) | Err(_) => {}
        }
        // The old one must be gone before, or the loader gives us the same library again. A call that hangs elsewhere keeps
        // it; then this try is in vain, and a later one is not.
        state.open = Err(fault.clone());
        drop(old);
        let opened = self.open(&mut state);
        if opened.is_ok() {
            state.not_before = Some(Instant::now() + self.renew_after);
        }
        Some(opened)
    }

    fn open(&self, state: &mut State) -> Result<Arc<Nvml>, Fault> {
        let mut builder = Nvml::builder();
        if let Some(library) = &self.library {
            builder.lib_path(library.as_os_str());
        }
        let opened = builder.init().map(Arc::new).map_err(|error| match error {
            // A library that cannot be opened as NVML's is none.
            NvmlError::FailedToLoadSymbol(what) => Fault::NoDriver(what),
            error => Fault::from(error),
        });
        state.not_before = match &opened {
            Ok(_) => None,
            Err(Fault::Lost | Fault::ResetRequired | Fault::NotFound) => {
                Some(Instant::now() + self.renew_after)
            }
            Err(_) => Some(Instant::now() + self.reopen_after),
        };
        state.open.clone_from(&opened);
        opened
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn must_wait(&self) -> bool {
        self.not_before.is_some_and(|at| Instant::now() < at)
    }
}
