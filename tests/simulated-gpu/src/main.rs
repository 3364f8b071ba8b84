//! One simulated backend: `simulated-backend SETTINGS`, with the settings as JSON. Made to be started by
//! [`simulated_gpu::Process`].

use std::io;

fn main() -> io::Result<()> {
    let settings = std::env::args().nth(1).unwrap_or_default();
    simulated_gpu::serve(&settings)
}
