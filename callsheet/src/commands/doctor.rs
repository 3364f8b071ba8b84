//! `callsheet doctor`

use std::path::{Path, PathBuf};

use clap::Args;
use url::Url;
use video_worker::workflows::Library;

use super::workflows::check::look_at;
use crate::cli::Coordinator;
use crate::doctor::{self, Check, Host, Verdict};
use crate::error::CommandError;
use crate::settings::Settings;
use crate::{Context, term};

/// Look at everything that films need here, and say what is missing and what to do
///
/// Looked at are the settings of all programs, the coordinator with its certificate and its database, the broker with what is declared
/// there and what its user may do, the token of commands, room on the disks, the clocks, the store of files, ffmpeg, the card, and each
/// server with its models and workflows. On a host of workers alone (artifacts.url names its coordinator) it is that coordinator that is
/// asked, and a worker's folder that is looked at. What a service gets from its environment, give to this command, too. The exit code is
/// 0 if nothing is wrong, 1 if something is.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// A ComfyUI server to look at; may be given several times [default: the one in the settings]
    #[arg(long, value_name = "URL")]
    comfyui: Vec<String>,
    /// What this machine is [default: `worker` where artifacts.url names a coordinator, `all` elsewhere]
    #[arg(long, value_name = "ROLE")]
    role: Option<Host>,
    /// The data folder to look at, as its program was given it [default: the coordinator's, or the worker's, in the settings]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) coordinator: Coordinator,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Looks.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        let checks = self.checks(context).await?;
        if self.json {
            term::say_json(&checks);
        } else {
            let width = checks
                .iter()
                .map(|check| check.what.chars().count())
                .max()
                .unwrap_or(0);
            for check in &checks {
                term::say(&check.text(width));
            }
        }
        match checks
            .iter()
            .filter(|check| check.verdict == Verdict::Bad)
            .count()
        {
            0 => Ok(()),
            bad => Err(CommandError::Unwell {
                bad,
                all: checks.len(),
            }),
        }
    }

    /// Everything, in the order in which it is told.
    async fn checks(&self, context: &Context) -> Result<Vec<Check>, CommandError> {
        let urls = context.comfyui(&self.comfyui)?;
        let settings = &context.settings;
        let file = context.config.as_deref();
        let artifacts = Settings::artifacts(file);
        let url = artifacts.as_ref().ok().map(|it| it.url.as_str());
        let elsewhere = url
            .filter(|url| doctor::is_with_a_coordinator(url))
            .map(str::to_owned);
        let host = self.role.unwrap_or(Host::usual(elsewhere.is_some()));
        let folder_of_files = url.and_then(doctor::folder_of);
        let named = settings.client.coordinator.clone();
        // Where commands of this machine would show their token: the coordinator that it depends on, if they name none.
        let (for_token, token) = match (&named, &elsewhere) {
            (None, Some(elsewhere)) => (elsewhere.clone(), settings.given_token()),
            _ => (settings.coordinator_url(), settings.token()),
        };
        let (coordinator, named_by) = match elsewhere.filter(|_| !host.has_coordinator()) {
            Some(elsewhere) => (elsewhere, Some("artifacts.url")),
            None => (
                settings.coordinator_url(),
                named.map(|_| "client.coordinator"),
            ),
        };
        let (data_dir, key) = self.folder(context, host);
        let of_workers = async {
            match host.has_workers() {
                true => self.of_workers(context, urls).await,
                false => Vec::new(),
            }
        };
        let of_coordinator = async {
            match host.has_coordinator() {
                true => tokio::join!(doctor::certificate(&settings.coordinator.tls), async {
                    Some(doctor::store(&data_dir).await)
                }),
                false => (None, None),
            }
        };
        let (coordinator, token, (certificate, store), broker, artifacts, ffmpeg, of_workers) = tokio::join!(
            doctor::coordinator(&coordinator, named_by),
            doctor::token(&for_token, token),
            of_coordinator,
            doctor::broker(Settings::broker_url(file), host),
            doctor::artifacts(artifacts),
            doctor::ffmpeg(&settings.ffmpeg),
            of_workers,
        );
        let data = doctor::data_dir(&data_dir, key);
        // Of a folder that is none, and of a place elsewhere, there is no room to tell of.
        let usable = |check: &Check, folder| Some(folder).filter(|_| check.verdict != Verdict::Bad);
        let mut disks: Vec<_> = usable(&data, data_dir).into_iter().collect();
        disks.extend(folder_of_files.and_then(|folder| usable(&artifacts, folder)));
        let mut checks = vec![doctor::settings(file, context.unusable.as_ref(), host)];
        checks.extend(coordinator);
        checks.extend(token);
        checks.extend(certificate);
        checks.push(data);
        checks.extend(store);
        checks.push(doctor::disk(&disks));
        checks.extend(broker);
        checks.extend([artifacts, ffmpeg]);
        checks.extend(of_workers);
        Ok(checks)
    }

    /// The card, and the servers with their models and workflows.
    async fn of_workers(&self, context: &Context, urls: Vec<Url>) -> Vec<Check> {
        let settings = &context.settings;
        // Without a server nobody misses it.
        let is_wanted = |folder: &&Path| !urls.is_empty() || folder.is_dir();
        let folder = settings.comfyui.folder().filter(is_wanted);
        let library = Library::load(folder);
        let (card, models, servers) = tokio::join!(
            doctor::card(&settings.gpu),
            doctor::models(&settings.llm),
            look_at(urls),
        );
        let mut checks = vec![card, doctor::ledger(&settings.gpu)];
        checks.extend(models);
        checks.push(doctor::workflows(folder, &library));
        let server = |server| doctor::comfyui(server, library.as_ref().ok());
        checks.extend(servers.iter().map(server));
        if servers.is_empty() {
            checks.push(doctor::no_comfyui());
        }
        checks
    }

    /// The data folder of such a host, and the key that names it.
    fn folder(&self, context: &Context, host: Host) -> (PathBuf, &'static str) {
        let (usual, key) = match host.has_coordinator() {
            true => (None, "coordinator.data_dir"),
            // Settings that cannot be read are told of already.
            false => (
                Settings::worker_data_dir(context.config.as_deref()).ok(),
                "worker.data_dir",
            ),
        };
        let folder = self.data_dir.clone().or(usual);
        let folder = folder.unwrap_or_else(|| context.settings.coordinator.data_dir.clone());
        (folder, key)
    }
}
