//! Ports for servers that must be told theirs before they start.

use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what systems give to whoever asks for any port (Linux: `net.ipv4.ip_local_port_range`, from 32,768 on; others from
/// 49,152 on). A server takes seconds until it listens, and a killed one leaves its port for a while: one of those would have
/// gone to somebody else meanwhile.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
/// How far apart processes begin to look.
const STRIDE: u32 = 61;

/// A port of 127.0.0.1 that nobody listens on, and another one at each call.
///
/// # Errors
/// If there is none.
pub fn free() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = std::process::id().wrapping_mul(STRIDE) % u32::from(COUNT);
    for _ in 0..COUNT {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = (begin + u32::from(next)) % u32::from(COUNT);
        let port = FIRST + u16::try_from(place).unwrap_or_default();
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        "all ports that tests take are in use",
    ))
}
