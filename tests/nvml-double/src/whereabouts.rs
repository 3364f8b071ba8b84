//! Where the file lies from which this library was loaded.
#![cfg_attr(
    unix,
    expect(
        unsafe_code,
        reason = "only the loader of the system knows, and it speaks C"
    )
)]

use std::path::PathBuf;

/// The path of this library, where it can be told.
#[cfg(unix)]
pub(crate) fn own_path() -> Option<PathBuf> {
    use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
    use std::os::unix::ffi::OsStrExt;
    use std::ptr::null;

    #[repr(C)]
    struct Place {
        file: *const c_char,
        base: *const c_void,
        symbol: *const c_char,
        address: *const c_void,
    }

    unsafe extern "C" {
        fn dladdr(address: *const c_void, place: *mut Place) -> c_int;
    }

    static HERE: u8 = 0;
    let mut place = Place {
        file: null(),
        base: null(),
        symbol: null(),
        address: null(),
    };
    // SAFETY: it reads the loader's tables and writes `place`, which has the layout of its `Dl_info`.
    let found = unsafe { dladdr((&raw const HERE).cast(), &raw mut place) };
    if found == 0 || place.file.is_null() {
        return None;
    }
    // SAFETY: the loader keeps the name as long as the library is loaded, and we are in it.
    let file = unsafe { CStr::from_ptr(place.file) };
    Some(OsStr::from_bytes(file.to_bytes()).into())
}

/// Elsewhere the file must be named.
#[cfg(not(unix))]
pub(crate) fn own_path() -> Option<PathBuf> {
    None
}
