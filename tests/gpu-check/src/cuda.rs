//! Takes memory of a card through CUDA's driver library, which is loaded when it is needed and so need not be there.
#![expect(
    clippy::print_stdout,
    reason = "whoever started it waits for what it says"
)]

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::null_mut;
use std::thread::park;

use anyhow::{Result, ensure};
use libloading::{Library, Symbol};

/// What it says when it has what it shall hold begins with this.
pub(crate) const HELD: &str = "held ";

/// Takes that much of the first card that may be seen, says so, and holds it until it is killed.
#[expect(
    unsafe_code,
    reason = "CUDA is a library of C that is loaded when we run"
)]
pub(crate) fn hold(mib: u64) -> Result<()> {
    let name = match cfg!(windows) {
        true => "nvcuda.dll",
        false => "libcuda.so.1",
    };
    // SAFETY: the types of the functions are those of cuda.h, whose ABI does not change under these names; what they fill
    // lives longer than the calls; and the library is never unloaded, as this process is killed.
    unsafe {
        let cuda = Library::new(name)?;
        let init: Symbol<'_, unsafe extern "C" fn(c_uint) -> c_int> = cuda.get(b"cuInit")?;
        let get: Symbol<'_, unsafe extern "C" fn(*mut c_int, c_int) -> c_int> =
            cuda.get(b"cuDeviceGet")?;
        let retain: Symbol<'_, unsafe extern "C" fn(*mut *mut c_void, c_int) -> c_int> =
            cuda.get(b"cuDevicePrimaryCtxRetain")?;
        let enter: Symbol<'_, unsafe extern "C" fn(*mut c_void) -> c_int> =
            cuda.get(b"cuCtxSetCurrent")?;
        let allocate: Symbol<'_, unsafe extern "C" fn(*mut u64, usize) -> c_int> =
            cuda.get(b"cuMemAlloc_v2")?;

        let (mut device, mut context, mut memory) = (0, null_mut(), 0);
        succeeds("cuInit", init(0))?;
        succeeds("cuDeviceGet", get(&raw mut device, 0))?;
        succeeds("cuDevicePrimaryCtxRetain", retain(&raw mut context, device))?;
        succeeds("cuCtxSetCurrent", enter(context))?;
        let bytes = usize::try_from(mib << 20)?;
        succeeds("cuMemAlloc", allocate(&raw mut memory, bytes))?;
        println!("{HELD}{mib} MiB");
        loop {
            park();
        }
    }
}

fn succeeds(call: &str, code: c_int) -> Result<()> {
    ensure!(code == 0, "{call} fails with code {code}");
    Ok(())
}
