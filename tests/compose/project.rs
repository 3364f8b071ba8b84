//! The compose file under a name, and on ports or an address of its own.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use support::docker::{docker, printed};
use support::ports;
use support::wait::try_until;

use crate::parts::Parts;
use crate::secrets::Secrets;

/// The engine asks each container at least every 15 s.
const HEALTHY_WITHIN: Duration = Duration::from_secs(40);

/// A running, or stopped, installation. What is left of it goes with this value.
pub(crate) struct Project {
    compose: Vec<String>,
    name: String,
    image: String,
    environment: Vec<(&'static str, String)>,
    address: Ipv4Addr,
    http_port: u16,
    amqp_port: u16,
    prometheus_port: u16,
}

impl Project {
    /// With those profiles on a host of that name. Its ports are nobody else's.
    pub(crate) fn new(
        parts: &Parts,
        profiles: &str,
        host: &str,
        secrets: &Secrets,
    ) -> Result<Self> {
        let [http_port, amqp_port, management_port, prometheus_port] = [
            ports::free()?,
            ports::free()?,
            ports::free()?,
            ports::free()?,
        ];
        let project = Self {
            compose: parts.compose.split(' ').map(ToOwned::to_owned).collect(),
            name: format!("callsheet-test-{}-{host}", std::process::id()),
            image: parts.image.clone(),
            environment: Vec::from([
                ("COMPOSE_PROFILES", profiles.to_owned()),
                ("CALLSHEET_IMAGE", parts.image.clone()),
                ("RABBITMQ_IMAGE", parts.rabbitmq.clone()),
                ("PROMETHEUS_IMAGE", parts.prometheus.clone()),
                ("COLLECTOR_IMAGE", parts.collector.clone()),
                ("CALLSHEET_HOST", host.to_owned()),
            ]),
            address: Ipv4Addr::LOCALHOST,
            http_port,
            amqp_port,
            prometheus_port,
        };
        let project = project.with("CALLSHEET_SECRETS", secrets.path().to_string_lossy());
        let project = project.with("CALLSHEET_HTTP_PORT", http_port.to_string());
        let project = project.with("CALLSHEET_AMQP_PORT", amqp_port.to_string());
        let project = project.with("CALLSHEET_MANAGEMENT_PORT", management_port.to_string());
        Ok(project.with("CALLSHEET_PROMETHEUS_PORT", prometheus_port.to_string()))
    }

    /// The same, with this in its `.env`.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.into()));
        self
    }

    /// The same with the first host, be it this one, at that address and on the usual ports: workers in their host's network know no
    /// others.
    #[must_use]
    pub(crate) fn at(mut self, address: Ipv4Addr) -> Self {
        self.address = address;
        (self.http_port, self.amqp_port) = (7420, 5672);
        for usual in ["CALLSHEET_HTTP_PORT", "CALLSHEET_AMQP_PORT"] {
            self.environment.retain(|(name, _)| *name != usual);
        }
        self.with("CALLSHEET_PUBLISH", address.to_string())
            .with("CALLSHEET_FIRST_HOST", address.to_string())
    }

    /// The same with another compose file on top of those that it has.
    #[must_use]
    pub(crate) fn on_top(self, file: &str) -> Self {
        let mut known = self.environment.iter();
        let files = known.find(|(name, _)| *name == "COMPOSE_FILE");
        let files = files.map_or("docker-compose.yml", |(_, files)| files);
        let files = format!("{files}:{file}");
        self.with("COMPOSE_FILE", files)
    }

    /// Where its coordinator answers, as `127.0.0.1:7420`.
    pub(crate) fn http(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, self.http_port)
    }

    /// Where its RabbitMQ answers.
    pub(crate) fn amqp(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, self.amqp_port)
    }

    /// Where its Prometheus answers.
    pub(crate) fn prometheus(&self) -> String {
        format!("http://127.0.0.1:{}", self.prometheus_port)
    }

    pub(crate) fn up(&self, arguments: &[&str]) -> Result<()> {
        // What is missing is made before this: nothing is to be built here by another way.
        let up = ["up", "--detach", "--no-build"];
        self.compose(&[&up, arguments].concat()).map(drop)
    }

    /// Stops and removes everything, with its data.
    pub(crate) fn down(&self) -> Result<()> {
        self.compose(&["down", "--volumes", "--remove-orphans", "--timeout", "20"])
            .map(drop)
    }

    pub(crate) fn logs(&self) -> Result<String> {
        self.compose(&["logs", "--no-color"])
    }

    /// What the first container of a service has printed.
    pub(crate) fn printed(&self, service: &str) -> Result<String> {
        docker(&["logs", &self.container(service)?])
    }

    /// Why a service does not start by that file alone; nothing if it does.
    pub(crate) fn does_not_start(&self, file: &str, service: &str) -> Option<String> {
        let up = ["--file", file, "up", "--detach", "--no-build", "--no-deps"];
        let started = self.compose(&[&up[..], &[service]].concat());
        started.err().map(|error| error.to_string())
    }

    /// Waits until the engine calls all its containers healthy that can be.
    pub(crate) async fn all_are_healthy(&self) -> Result<()> {
        let label = self.label();
        try_until("all containers to be healthy", HEALTHY_WITHIN, async || {
            for other in ["starting", "unhealthy"] {
                let health = format!("health={other}");
                let format = ["--format", "{{.Names}}"];
                let list = ["ps", "--all", "--filter", &label, "--filter", &health];
                let listed = docker(&[&list[..], &format].concat())?;
                ensure!(listed.is_empty(), "{other}: {listed}");
            }
            Ok(())
        })
        .await
    }

    fn label(&self) -> String {
        format!("label=com.docker.compose.project={}", self.name)
    }

    /// What a shell in the first container of a service prints.
    pub(crate) fn exec(&self, service: &str, script: &str) -> Result<String> {
        let container = self.container(service)?;
        docker(&["exec", &container, "sh", "-c", script])
    }

    /// Kills a container by command, and waits until it is gone.
    pub(crate) fn kill(&self, container: &str) -> Result<()> {
        docker(&["kill", container])?;
        docker(&["wait", container]).map(drop)
    }

    pub(crate) fn start(&self, container: &str) -> Result<()> {
        docker(&["start", container]).map(drop)
    }

    /// Kills the process of a container, which the engine takes for a crash.
    pub(crate) fn crash(&self, container: &str) -> Result<()> {
        let pid = docker(&["inspect", "--format", "{{.State.Pid}}", container])?;
        // From a container that sees all processes: whoever may speak to the engine need not be root.
        let kill = format!("kill -KILL {}", pid.trim());
        let root = ["run", "--rm", "--pid", "host", "--user", "0"];
        let words = [self.image.as_str(), "sh", "-c", &kill];
        docker(&[&root[..], &words].concat()).map(drop)
    }

    /// Containers, networks and volumes of this project.
    pub(crate) fn left_over(&self) -> Result<String> {
        let label = self.label();
        let listed = [
            docker(&["ps", "--all", "--quiet", "--filter", &label])?,
            docker(&["network", "ls", "--quiet", "--filter", &label])?,
            docker(&["volume", "ls", "--quiet", "--filter", &label])?,
        ];
        Ok(listed.concat())
    }

    /// The first container of a service.
    pub(crate) fn container(&self, service: &str) -> Result<String> {
        let listed = self.compose(&["ps", "--quiet", service])?;
        let first = listed.lines().next().unwrap_or_default();
        ensure!(!first.is_empty(), "there is no container of {service}");
        Ok(first.to_owned())
    }

    fn compose(&self, arguments: &[&str]) -> Result<String> {
        let (program, words) = self.compose.split_first().context("a command")?;
        let mut command = Command::new(program);
        command
            .args(words)
            // Not the one of whoever runs this.
            .args(["--project-name", &self.name, "--env-file", ".env.example"])
            // Files of a test's own lie elsewhere, and speak of the folders here.
            .args(["--project-directory", "."])
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(root());
        printed(&mut command)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // Nothing is there any more if all went well.
        drop(self.down());
    }
}

/// Where the compose file is.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// An address of this machine for the host of that number, which nothing else listens on by chance: one that every program has
/// answers on 127.0.0.1.
pub(crate) fn address_of(host: u8) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | (high & 63), low, host)
}
