//! Takes requests, one after another.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::engine::Engine;
use crate::leashed::until_let_go;
use crate::protocol::{BackendState, Request};
use crate::settings::Settings;

/// Who has connected must ask within this time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Is a backend with these settings (as JSON), for as long as standard input is open: that ends with whoever has started it.
/// Says on standard output where it listens.
///
/// # Errors
/// If the settings are none, or the card cannot be used.
pub fn serve(settings: &str) -> io::Result<()> {
    let settings: Settings = serde_json::from_str(settings)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let engine = Engine::start(settings)?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;

    let leashed = Arc::clone(&engine);
    thread::spawn(move || {
        until_let_go();
        leashed.end(0);
    });
    for stream in listener.incoming() {
        let stream = stream?;
        // One that was killed before it asked wants nothing.
        let Ok(request) = read(&stream) else { continue };
        match request {
            Request::Die => {
                drop((stream, listener));
                engine.end(1);
            }
            // The others do not wait behind it.
            Request::Wait { job, limit } => {
                let engine = Arc::clone(&engine);
                thread::spawn(move || answer(&stream, &engine.wait(job.as_deref(), limit)));
            }
            request => answer(&stream, &engine.told(request)),
        }
    }
    Ok(())
}

fn read(stream: &TcpStream) -> io::Result<Request> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn answer(mut stream: &TcpStream, state: &BackendState) {
    let mut line = serde_json::to_vec(state).unwrap_or_default();
    line.push(b'\n');
    // Who has asked may have been killed.
    let _ = stream.write_all(&line);
}
