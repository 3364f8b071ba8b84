//! A simulated backend as a process of its own: `backend-double SETTINGS`. See the crate `simulated-gpu`.

use std::io;

fn main() -> io::Result<()> {
    let settings = std::env::args().nth(1).unwrap_or_default();
    simulated_gpu::serve(&settings)
}
