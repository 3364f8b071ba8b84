//! A network between a program and a server that a test can silence and cut.

use std::future::pending;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Passes on what comes to its address. It ends with this value.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    lines: watch::Sender<Vec<Line>>,
    _ends: DropGuard,
}

/// A connection that the program has open.
#[derive(Debug, Clone)]
struct Line {
    number: usize,
    silent: CancellationToken,
    cut: CancellationToken,
}

impl Relay {
    /// One to that server.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let lines = watch::Sender::new(Vec::new());
        let ends = CancellationToken::new();
        let accepting = accept(listener, server, lines.clone(), ends.clone());
        let until = ends.clone();
        tokio::spawn(async move { until.run_until_cancelled(accepting).await });
        Ok(Self {
            address,
            lines,
            _ends: ends.drop_guard(),
        })
    }

    /// Where the program finds the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing arrives on the connections that are there, and nobody is told; those that come are carried.
    pub fn silence(&self) {
        self.lines.borrow().iter().for_each(|it| it.silent.cancel());
    }

    /// Cuts the oldest connection, of which the program is told.
    pub fn cut(&self) {
        if let Some(first) = self.lines.borrow().first() {
            first.cut.cancel();
        }
    }

    /// The connections that the program has open, numbered as it made them.
    pub fn open(&self) -> Vec<usize> {
        self.lines.borrow().iter().map(|it| it.number).collect()
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    lines: watch::Sender<Vec<Line>>,
    ends: CancellationToken,
) {
    for number in 0.. {
        let Ok((program, _)) = listener.accept().await else {
            return;
        };
        let line = Line {
            number,
            silent: CancellationToken::new(),
            cut: ends.child_token(),
        };
        lines.send_modify(|lines| lines.push(line.clone()));
        let lines = lines.clone();
        tokio::spawn(async move {
            let carried = carry(program, server, &line.silent);
            line.cut.run_until_cancelled(carried).await;
            lines.send_modify(|lines| lines.retain(|it| it.number != number));
        });
    }
}

/// Ends when the program has closed its end, or the server its own and that may be known.
async fn carry(program: TcpStream, server: SocketAddr, silent: &CancellationToken) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_program, mut to_program) = program.into_split();
    let (from_server, mut to_server) = server.into_split();
    tokio::select! {
        () = pass(from_program, &mut to_server, silent) => {}
        () = async {
            pass(from_server, &mut to_program, silent).await;
            if silent.is_cancelled() {
                pending::<()>().await;
            }
        } => {}
    }
}

/// Passes bytes on until the sender closes; throws them away when there is silence.
async fn pass(mut from: OwnedReadHalf, to: &mut OwnedWriteHalf, silent: &CancellationToken) {
    let mut bytes = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if !silent.is_cancelled() && to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
}
