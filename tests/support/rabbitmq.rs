//! A real RabbitMQ server of a test's own: temporary data, free ports (on the loopback interface, where nothing else is said), nothing
//! left behind.

use std::fmt;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::certificates::{Authority, Certificate};
use crate::place::Place;
use crate::ports;
use crate::reaper::Reaper;

/// Debian's start script proper. The one on the path insists on the user `rabbitmq`, and does not pass our settings on.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Talks to a running server.
const CTL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";
/// This variable names a program that brings another RabbitMQ along: it is called with one of these paths, or with `epmd`, and with
/// its arguments, and must become (`exec`) what stands at that path elsewhere, as we kill what we have started.
const ELSEWHERE: &str = "CALLSHEET_TEST_RABBITMQ";
/// Longest wait for a server to start, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A running RabbitMQ server. It ends with this value, and also when this process is killed.
pub struct RabbitMq {
    place: Place,
    folder: PathBuf,
    ports: Ports,
    epmd: Child,
    /// `None` while it is killed or stopped.
    server: Option<Child>,
    reaper: Reaper,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    epmd: u16,
    distribution: u16,
    /// For TLS, if it is spoken.
    tls: Option<u16>,
}

impl fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMq")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

impl RabbitMq {
    /// Starts a server and waits until it speaks AMQP.
    ///
    /// # Errors
    /// If it is not installed or does not start; with what it printed.
    pub async fn start() -> Result<Self> {
        Self::start_with(Place::here(), "", None).await
    }

    /// The same, and on another port over TLS.
    ///
    /// # Errors
    /// If it is not installed or does not start; with what it printed.
    pub async fn start_with_tls(authority: &Authority, certificate: &Certificate) -> Result<Self> {
        let port = ports::free()?;
        let settings = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\n\
             ssl_options.cacertfile = {}\n\
             ssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n\
             ssl_options.verify = verify_none\n",
            authority.file().display(),
            certificate.file.display(),
            certificate.key.display()
        );
        Self::start_with(Place::here(), &settings, Some(port)).await
    }

    /// The same with the users and queues of a file of definitions, and without its usual user.
    ///
    /// # Errors
    /// If it is not installed or does not start; with what it printed.
    pub async fn start_with_definitions(file: &Path) -> Result<Self> {
        Self::start_at(Place::here(), file).await
    }

    /// The same on a host, at its address.
    ///
    /// # Errors
    /// If it is not installed or does not start; with what it printed.
    pub async fn start_at(place: Place, definitions: &Path) -> Result<Self> {
        let settings = format!("load_definitions = {}\n", definitions.display());
        Self::start_with(place, &settings, None).await
    }

    async fn start_with(place: Place, settings: &str, tls: Option<u16>) -> Result<Self> {
        ensure!(
            std::env::var_os(ELSEWHERE).is_some() || Path::new(SERVER).exists(),
            "RabbitMQ is not installed ({SERVER} is missing): run `cargo xtask test`, which installs it, or `apt-get install \
             rabbitmq-server`"
        );
        let folder = tempfile::Builder::new()
            .prefix("callsheet-rabbitmq-")
            .tempdir()?
            .keep();
        let mut reaper = Reaper::start(Some(&folder))?;
        let ports = Ports {
            amqp: ports::free()?,
            epmd: ports::free()?,
            distribution: ports::free()?,
            tls,
        };
        let listen = SocketAddr::from((place.address(), ports.amqp));
        write_settings(&folder, listen, settings)?;
        // Erlang's name server, started by us so that it is ours to end.
        let epmd = program(&place, "epmd")
            .args(["-address", "127.0.0.1", "-port", &ports.epmd.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting epmd, a part of Erlang")?;
        reaper.watch(&[epmd.id()])?;
        let mut rabbitmq = Self {
            place,
            folder,
            ports,
            epmd,
            server: None,
            reaper,
        };
        rabbitmq.start_again().await?;
        Ok(rabbitmq)
    }

    /// Where to connect, with user and password.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address())
    }

    /// Address and port it listens on.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.place.address(), self.ports.amqp))
    }

    /// Where to connect over TLS.
    ///
    /// # Panics
    /// If it was started without.
    pub fn tls_url(&self) -> String {
        let port = self.ports.tls.expect("it was started with TLS");
        format!("amqps://guest:guest@127.0.0.1:{port}/%2f")
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// Kills the server with SIGKILL. Its data stays.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
            server.wait()?;
        }
        self.reaper.watch(&[self.epmd.id()])
    }

    /// Kills the server, and starts it on the same port with nothing of what it had.
    ///
    /// # Errors
    /// If its data cannot be removed, or it does not start; with what it printed.
    pub async fn start_anew(&mut self) -> Result<()> {
        self.kill()?;
        fs::remove_dir_all(self.folder.join("data"))?;
        self.start_again().await
    }

    /// Stops the server in order. Its data stays.
    ///
    /// # Errors
    /// If it cannot be told to stop.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        let told = Command::new("kill")
            .args(["-TERM", &server.id().to_string()])
            .status()?;
        ensure!(told.success(), "the server could not be told to stop");
        tokio::task::spawn_blocking(move || server.wait()).await??;
        self.reaper.watch(&[self.epmd.id()])
    }

    /// Starts the server again, on the same port and with the same data, and waits until it speaks AMQP.
    ///
    /// # Errors
    /// If it does not start; with what it printed.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(self.server.is_none(), "the server runs already");
        let server = self
            .command()?
            .spawn()
            .context("starting rabbitmq-server")?;
        self.reaper.watch(&[self.epmd.id(), server.id()])?;
        self.server = Some(server);
        let deadline = Instant::now() + START_LIMIT;
        while !(speaks_amqp(self.address()).await && self.takes_tls().await) {
            let exit = self
                .server
                .as_mut()
                .map(Child::try_wait)
                .transpose()?
                .flatten();
            if exit.is_some() || Instant::now() > deadline {
                let printed = fs::read_to_string(self.folder.join("printed")).unwrap_or_default();
                bail!("RabbitMQ did not start (exit: {exit:?}); it printed:\n{printed}");
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Runs `rabbitmqctl` on the server and returns what it printed. It needs seconds.
    ///
    /// # Errors
    /// If it fails; with what it printed.
    pub async fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::from(self.with_environment(CTL));
        let output = command
            .args(["--quiet", "--node", &self.node()])
            .args(arguments)
            .output()
            .await?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "rabbitmqctl {arguments:?}: {printed}{complained}"
        );
        Ok(printed)
    }

    /// Whether it listens for TLS, too, if it is to.
    async fn takes_tls(&self) -> bool {
        match self.ports.tls {
            Some(port) => TcpStream::connect(("127.0.0.1", port)).await.is_ok(),
            None => true,
        }
    }

    fn node(&self) -> String {
        format!("callsheet-{}@localhost", self.ports.amqp)
    }

    /// One of RabbitMQ's scripts, told where everything is.
    fn with_environment(&self, script: &str) -> Command {
        let file = |name: &str| self.folder.join(name);
        let mut command = program(&self.place, script);
        command
            .env_clear()
            .env(
                "PATH",
                std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
            )
            .env("HOME", &self.folder)
            .env("LANG", "C.UTF-8")
            .env("RABBITMQ_CONF_ENV_FILE", file("empty"))
            .env("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", file("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", file("data"))
            .env("RABBITMQ_LOG_BASE", file("log"))
            // What Erlang writes when it dies goes with the rest.
            .env("ERL_CRASH_DUMP", file("erl_crash.dump"))
            .env("RABBITMQ_NODENAME", self.node())
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1");
        command
    }

    fn command(&self) -> Result<Command> {
        let printed = self.folder.join("printed");
        let printed = File::options().create(true).append(true).open(printed)?;
        let mut command = self.with_environment(SERVER);
        command
            // With it the start script becomes the server, so that our child is the server itself.
            .env("RABBITMQ_ALLOW_INPUT", "true")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
            )
            .arg("-noinput")
            .stdin(Stdio::null())
            .stdout(printed.try_clone()?)
            .stderr(printed);
        Ok(command)
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // The reaper kills both; what is left is to wait for them.
        self.reaper.let_go();
        let _ = self.epmd.wait();
        if let Some(mut server) = self.server.take() {
            let _ = server.wait();
        }
    }
}

/// One of RabbitMQ's or Erlang's programs, from wherever the tests are to take them.
fn program(place: &Place, path: &str) -> Command {
    let Some(elsewhere) = std::env::var_os(ELSEWHERE) else {
        return place.command(path);
    };
    let mut command = place.command(elsewhere);
    command.arg(path);
    command
}

fn write_settings(folder: &Path, listen: SocketAddr, more: &str) -> Result<()> {
    let settings = format!(
        "listeners.tcp.1 = {listen}\n\
         num_acceptors.tcp = 2\n\
         vm_memory_high_watermark.absolute = 512MiB\n\
         disk_free_limit.absolute = 50MB\n\
         raft.wal_max_size_bytes = 16777216\n\
         log.file.level = warning\n\
         {more}"
    );
    fs::write(folder.join("rabbitmq.conf"), settings)?;
    fs::write(folder.join("enabled_plugins"), "[].\n")?;
    fs::write(folder.join("empty"), "")?;
    Ok(())
}

/// Whether something at that address answers the AMQP protocol header with a method frame.
async fn speaks_amqp(address: SocketAddr) -> bool {
    let handshake = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        stream.read_u8().await
    };
    matches!(timeout(Duration::from_secs(2), handshake).await, Ok(Ok(1)))
}
