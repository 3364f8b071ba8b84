//! Who has been promised what on this host: entries that all its workers see, kept in files under locks that the kernel frees
//! with their process.
//!
//! What becomes of an entry is decided in `transition`, who goes first in `ticket`; `files` keeps them in a `book`, whose
//! writers' lives `owners` tells; what is on the books is a `page`.

mod book;
mod boot_time;
mod disk;
mod entry;
mod files;
mod held;
mod owners;
mod page;
mod place;
#[cfg(test)]
mod tests;
mod ticket;
mod transition;

pub use self::boot_time::BootTime;
pub use self::disk::LedgerError;
pub use self::entry::{Asked, BackendId, BackendKind, Class, Entry, EntryId, Owner, State, Work};
pub use self::files::{Ledger, Locked};
pub use self::held::Held;
pub use self::page::{BackendNote, Page};
pub use self::place::default_place;
pub use self::ticket::{Aging, Precedence, Ticket};
pub use self::transition::{Alarm, Event, Next, Outcome, Settling, after, lowers, replaces};
