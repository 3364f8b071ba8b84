//! What one loaded copy of the double remembers between calls: whether it was initialised, the handles it gave out, and the
//! state as it was last read.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::install::{STATE_VARIABLE, state_beside};
use crate::state::{Answer, Device, State, code};
use crate::whereabouts;

/// How often a call that is slow looks whether it still shall be: a hang ends when the file says so.
const GLANCE: Duration = Duration::from_millis(10);

static LIBRARY: Mutex<Library> = Mutex::new(Library {
    uses: 0,
    handles: Vec::new(),
    text: Vec::new(),
    state: None,
});

struct Library {
    /// Initialisations that were not shut down.
    uses: u32,
    /// The names of devices that were asked for; a handle is a place in this list, counted from 1.
    handles: Vec<String>,
    /// The file as it was last read: parsing it takes longer than reading it.
    text: Vec<u8>,
    state: Option<Arc<State>>,
}

impl Library {
    /// What the file says now. Without a file there is no driver.
    fn state(&mut self) -> Result<Arc<State>, u32> {
        let text = state_file()
            .and_then(|path| std::fs::read(path).ok())
            .ok_or(code::DRIVER_NOT_LOADED)?;
        match &self.state {
            Some(state) if text == self.text => Ok(Arc::clone(state)),
            _ => {
                let state = serde_json::from_slice(&text).map_err(|_| code::UNKNOWN)?;
                let state = Arc::new(state);
                self.text = text;
                self.state = Some(Arc::clone(&state));
                Ok(state)
            }
        }
    }
}

fn library() -> MutexGuard<'static, Library> {
    LIBRARY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn state_file() -> Option<PathBuf> {
    match std::env::var_os(STATE_VARIABLE) {
        Some(named) => Some(named.into()),
        None => whereabouts::own_path().map(|library| state_beside(&library)),
    }
}

/// One more user, if the file lets it in.
pub(crate) fn enter(symbol: &str) -> u32 {
    let read = || library().state();
    match settle(|| read().map(|state| (general(&state, symbol), ()))) {
        Ok(()) => {
            library().uses += 1;
            code::SUCCESS
        }
        Err(code) => code,
    }
}

/// One user less.
pub(crate) fn leave() -> u32 {
    let mut library = library();
    match library.uses.checked_sub(1) {
        Some(uses) => {
            library.uses = uses;
            code::SUCCESS
        }
        None => code::UNINITIALIZED,
    }
}

/// The state, for a call to no device in particular, once the call has gone as the file says.
pub(crate) fn ask(symbol: &str) -> Result<Arc<State>, u32> {
    settle(|| {
        let state = initialised()?;
        Ok((general(&state, symbol), state))
    })
}

/// The device of that handle, once the call has gone as the file says.
pub(crate) fn ask_device(handle: usize, symbol: &str) -> Result<(Arc<State>, Device), u32> {
    settle(|| {
        let state = initialised()?;
        let uuid = handle
            .checked_sub(1)
            .and_then(|place| library().handles.get(place).cloned())
            .ok_or(code::INVALID_ARGUMENT)?;
        // What was there and is not any more has fallen off the bus.
        let device = state.device(&uuid).cloned().ok_or(code::GPU_IS_LOST)?;
        Ok((device.answer(symbol), (state, device)))
    })
}

/// The handle of a device.
pub(crate) fn handle_of(uuid: &str) -> usize {
    let mut library = library();
    let known = library.handles.iter().position(|known| known == uuid);
    let place = known.unwrap_or_else(|| {
        library.handles.push(uuid.to_owned());
        library.handles.len() - 1
    });
    place + 1
}

fn initialised() -> Result<Arc<State>, u32> {
    let mut library = library();
    match library.uses {
        0 => Err(code::UNINITIALIZED),
        _ => library.state(),
    }
}

fn general(state: &State, symbol: &str) -> Answer {
    state.answers.get(symbol).copied().unwrap_or_default()
}

/// Lets a call take the time that it shall take, with nothing locked, and fail if it shall fail.
fn settle<T>(look: impl Fn() -> Result<(Answer, T), u32>) -> Result<T, u32> {
    let began = Instant::now();
    loop {
        let (answer, seen) = look()?;
        let left = Duration::from_millis(answer.delay_ms).saturating_sub(began.elapsed());
        if !left.is_zero() {
            sleep(left.min(GLANCE));
            continue;
        }
        return match answer.code {
            code::SUCCESS => Ok(seen),
            code => Err(code),
        };
    }
}
