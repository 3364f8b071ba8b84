//! The compose file under a name and on ports of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::secrets::Secrets;
use crate::tls::Tls;

const PROFILE: &str = "builtins";

/// A running, or stopped, installation. What is left of it goes with this value.
pub(crate) struct Project {
    compose: Vec<String>,
    name: String,
    image: String,
    environment: Vec<(&'static str, String)>,
    http_port: u16,
    amqp_port: u16,
}

impl Project {
    pub(crate) fn new(
        compose: &str,
        image: &str,
        rabbitmq: &str,
        secrets: &Secrets,
        tls: Option<&Tls>,
    ) -> Result<Self> {
        let [http_port, amqp_port, management_port, amqps_port] = free_ports()?;
        let secrets = secrets.path().to_string_lossy().into_owned();
        let with_tls = tls.map(|tls| {
            let files = "docker-compose.yml:deploy/compose.tls.yml".to_owned();
            let folder = tls.path().to_string_lossy().into_owned();
            [
                ("COMPOSE_FILE", files),
                ("CALLSHEET_TLS", folder),
                ("CALLSHEET_AMQPS_PORT", amqps_port.to_string()),
            ]
        });
        Ok(Self {
            compose: compose.split(' ').map(ToOwned::to_owned).collect(),
            name: format!("callsheet-test-{}", std::process::id()),
            image: image.to_owned(),
            environment: Vec::from([
                ("COMPOSE_PROFILES", PROFILE.to_owned()),
                ("CALLSHEET_IMAGE", image.to_owned()),
                ("RABBITMQ_IMAGE", rabbitmq.to_owned()),
                ("CALLSHEET_SECRETS", secrets),
                ("CALLSHEET_HOST", "studio-1".to_owned()),
                ("CALLSHEET_HTTP_PORT", http_port.to_string()),
                ("CALLSHEET_AMQP_PORT", amqp_port.to_string()),
                ("CALLSHEET_MANAGEMENT_PORT", management_port.to_string()),
            ])
            .into_iter()
            .chain(with_tls.into_iter().flatten())
            .collect(),
            http_port,
            amqp_port,
        })
    }

    pub(crate) fn http_port(&self) -> u16 {
        self.http_port
    }

    pub(crate) fn amqp_port(&self) -> u16 {
        self.amqp_port
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
        let label = format!("label=com.docker.compose.project={}", self.name);
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
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn docker(arguments: &[&str]) -> Result<String> {
    printed(Command::new("docker").args(arguments))
}

fn printed(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .with_context(|| format!("running {command:?}"))?;
    let complaint = String::from_utf8_lossy(&stderr);
    ensure!(status.success(), "{command:?} failed: {complaint}");
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Ports that nobody listens on, all of them different.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut listeners = Vec::new();
    for _ in 0..N {
        listeners.push(TcpListener::bind("127.0.0.1:0")?);
    }
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
