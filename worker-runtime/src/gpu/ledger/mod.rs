//! Who has been promised what on this host: entries that all its workers see, kept in files under locks that the kernel frees
//! with their process.
//!
//! What becomes of an entry is decided in `transition`, who goes first in `ticket`; `files` keeps them.

mod boot_time;
mod entry;
mod files;
mod held;
mod place;
#[cfg(test)]
mod tests;
mod ticket;
mod transition;

pub use self::boot_time::BootTime;
pub use self::entry::{Asked, BackendId, BackendKind, Class, Entry, EntryId, Owner, State, Work};
pub use self::files::{BackendNote, Ledger, LedgerError, Locked, Page};
pub use self::held::Held;
pub use self::place::default_place;
pub use self::ticket::{Aging, Precedence, Ticket};
pub use self::transition::{
    Alarm, Event, Next, Outcome, SETTLES_UNSEEN_WITHIN, SETTLES_WITHIN, after, lowers, replaces,
};
