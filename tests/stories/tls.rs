//! Films made over TLS alone: amqps to the broker, https to the coordinator, with certificates by an authority that only those
//! know who were told of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use shared::api::{FilmStatus, FilmView, SubmitAnswer};
use shared::artifact::Sha256;
use support::certificates::Authority;
use support::programs::{Program, path};
use support::rabbitmq::RabbitMq;
use support::wait::until;
use tempfile::TempDir;

use crate::SMALL;

const OPERATE: &str = "operate-0123456789abcdef0123";
const WORKER: &str = "worker-0123456789abcdef0123";
/// What each program says of a certificate that it does not know, and what to do then.
const UNKNOWN: [&str; 2] = ["authority that this machine does not know", "SSL_CERT_FILE"];

/// What all programs here share.
struct Studio {
    rabbitmq: RabbitMq,
    known: Authority,
    stranger: Authority,
    folder: TempDir,
}

impl Studio {
    async fn open() -> Result<Self> {
        let folder = TempDir::new()?;
        let known = Authority::make(folder.path(), "known")?;
        let stranger = Authority::make(folder.path(), "stranger")?;
        let certificate = known.certify("broker", "IP:127.0.0.1")?;
        let rabbitmq = RabbitMq::start_with_tls(&known, &certificate).await?;
        Ok(Self {
            rabbitmq,
            known,
            stranger,
            folder,
        })
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The arguments of a program with these settings.
    fn arguments(&self, label: &str, sections: &str) -> Result<Vec<String>> {
        let config = self.at(&format!("{label}.toml"));
        let broker = self.rabbitmq.tls_url();
        std::fs::write(&config, format!("[broker]\nurl = '{broker}'\n{sections}"))?;
        let data = self.at(label);
        let mut words = ["--config", &config, "--data-dir", &data]
            .map(str::to_owned)
            .to_vec();
        if label != "coordinator" {
            words.extend(["--name".to_owned(), label.to_owned()]);
        }
        Ok(words)
    }

    /// Starts a program that trusts those whom the authority certifies.
    fn start(&self, program: &'static str, label: &str, sections: &str) -> Result<Program> {
        let arguments = self.arguments(label, sections)?;
        let trust = [trusting(&self.known)];
        Program::start_in(trust, program, label, arguments, self.folder.path())
    }

    /// Runs a program to its end that trusts those whom that authority certifies: its exit code, and what it printed.
    fn run<S: AsRef<str>>(
        &self,
        trusted: &Authority,
        program: &str,
        words: &[S],
    ) -> Result<(Option<i32>, String)> {
        let output = Command::new(path(program)?)
            .args(words.iter().map(AsRef::as_ref))
            .current_dir(self.folder.path())
            .envs([trusting(trusted)])
            .env("CALLSHEET_TOKEN", OPERATE)
            .stdin(Stdio::null())
            .output()?;
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        Ok((output.status.code(), printed))
    }

    /// Makes a small film, and gives it.
    fn make_film(&self, url: &str) -> Result<FilmView> {
        let at = ["--coordinator", url];
        let submit = [&["submit", "A storm", "--json"][..], &at, &SMALL].concat();
        let (code, said) = self.run(&self.known, "callsheet", &submit)?;
        ensure!(code == Some(0), "{said}");
        let SubmitAnswer::Accepted { film } = first_of(&said)? else {
            anyhow::bail!("refused: {said}")
        };
        let film = film.to_string();
        let fetch = [&["film", "--resume", &film, "--out", "film.mp4"][..], &at].concat();
        let (code, said) = self.run(&self.known, "callsheet", &fetch)?;
        ensure!(code == Some(0), "{said}");
        let show = [&["show", &film, "--json"][..], &at].concat();
        let (code, said) = self.run(&self.known, "callsheet", &show)?;
        ensure!(code == Some(0), "{said}");
        first_of(&said)
    }
}

/// What was printed as JSON, before whatever else was said.
fn first_of<T: DeserializeOwned>(said: &str) -> Result<T> {
    let mut values = serde_json::Deserializer::from_str(said).into_iter();
    Ok(values.next().context("no JSON")??)
}

/// The variable by which a program is told whom to trust.
fn trusting(authority: &Authority) -> (String, String) {
    let file = authority.file().display().to_string();
    ("SSL_CERT_FILE".to_owned(), file)
}

fn sections(folder: &Path, certificate: &Path, key: &Path) -> (String, PathBuf) {
    let kept = folder.join("kept");
    let sections = format!(
        "[artifacts]\nurl = '{}'\n[coordinator]\nlisten = '127.0.0.1:0'\n[coordinator.tls]\ncertificate_file = '{}'\n\
         key_file = '{}'\n[access]\noperate_token = '{OPERATE}'\nworker_token = '{WORKER}'\n",
        kept.display(),
        certificate.display(),
        key.display()
    );
    (sections, kept)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_is_made_over_tls_by_those_who_know_the_authority() -> Result<()> {
    let mut studio = Studio::open().await?;
    let folder = studio.folder.path().to_owned();
    let certificate = studio.known.certify("coordinator", "IP:127.0.0.1")?;
    let (settings, kept) = sections(&folder, &certificate.file, &certificate.key);

    // A program that does not know the broker's authority shows it no password.
    let arguments = studio.arguments("coordinator", &settings)?;
    let (code, said) = studio.run(&studio.stranger, "coordinator", &arguments)?;
    ensure!(code == Some(1), "{code:?}: {said}");
    for part in UNKNOWN.into_iter().chain(["the broker at 127.0.0.1"]) {
        ensure!(said.contains(part), "{part} is not in: {said}");
    }

    let coordinator = studio.start("coordinator", "coordinator", &settings)?;
    let url = until("the coordinator", Duration::from_secs(60), async || {
        let printed = coordinator.printed();
        let (_, after) = printed.split_once("listening on ").context("not yet")?;
        let url: String = after.chars().take_while(|c| !c.is_control()).collect();
        Ok::<_, anyhow::Error>(url.trim().to_owned())
    })
    .await;
    ensure!(url.starts_with("https://127.0.0.1:"), "{url}");

    // Nor does one that does not know the coordinator's.
    let worker = format!("[artifacts]\nurl = '{url}'\ntoken = '{WORKER}'\n");
    let arguments = studio.arguments("painter", &worker)?;
    let (code, said) = studio.run(&studio.stranger, "video-worker", &arguments)?;
    ensure!(code == Some(1), "{code:?}: {said}");
    for part in UNKNOWN.into_iter().chain(["the artifact store at https"]) {
        ensure!(said.contains(part), "{part} is not in: {said}");
    }
    let list = |url: &str| {
        [
            "list".to_owned(),
            "--coordinator".to_owned(),
            url.to_owned(),
        ]
    };
    let (code, said) = studio.run(&studio.stranger, "callsheet", &list(&url))?;
    ensure!(code == Some(2), "{code:?}: {said}");
    for part in UNKNOWN.into_iter().chain(["the coordinator at https"]) {
        ensure!(said.contains(part), "{part} is not in: {said}");
    }
    // What is written wrong is told as what it is.
    for (wrong, told) in [
        (url.replace("https", "http"), "write https://"),
        (url.replace("127.0.0.1", "localhost"), "not for localhost"),
        (
            format!("https://127.0.0.1:{}", studio.rabbitmq.port()),
            "speaks no TLS",
        ),
    ] {
        let (code, said) = studio.run(&studio.known, "callsheet", &list(&wrong))?;
        ensure!(
            code == Some(2) && said.contains(told),
            "{wrong}: {code:?}: {said}"
        );
    }
    // Health checks on the machine itself need no authority.
    let probe = ["probe".to_owned(), format!("{url}/readyz")];
    until("it to be ready", Duration::from_secs(60), async || {
        let (code, said) = studio.run(&studio.stranger, "callsheet", &probe)?;
        ensure!(code == Some(0), "{said}");
        Ok(())
    })
    .await;

    let writer = studio.start("llm-worker", "writer", &worker)?;
    let painter = studio.start("video-worker", "painter", &worker)?;
    let film = studio.make_film(&url)?;
    ensure!(film.summary.status == FilmStatus::Completed, "{film:?}");
    let made = film.film.context("a film")?;
    let fetched = std::fs::read(folder.join("film.mp4"))?;
    ensure!(Sha256::of(&fetched) == made.sha256, "another film came");
    ensure!(
        kept.read_dir()?.count() >= 6,
        "the coordinator keeps all files"
    );

    // A broker that comes back is found again; a certificate that is renewed is shown without a restart.
    studio.rabbitmq.stop().await?;
    studio.rabbitmq.start_again().await?;
    studio.stranger.certify("coordinator", "IP:127.0.0.1")?;
    until(
        "the renewed certificate",
        Duration::from_secs(60),
        async || {
            let (code, said) = studio.run(&studio.stranger, "callsheet", &list(&url))?;
            ensure!(code == Some(0), "{said}");
            Ok(())
        },
    )
    .await;
    studio.known.certify("coordinator", "IP:127.0.0.1")?;
    until(
        "the certificate from before",
        Duration::from_secs(60),
        async || {
            let (code, said) = studio.run(&studio.known, "callsheet", &list(&url))?;
            ensure!(code == Some(0), "{said}");
            Ok(())
        },
    )
    .await;
    let film = studio.make_film(&url)?;
    ensure!(film.summary.status == FilmStatus::Completed, "{film:?}");

    for mut program in [painter, writer, coordinator] {
        let status = program.end().await?;
        ensure!(status.success(), "{status}: {}", program.printed());
    }
    Ok(())
}

#[tokio::test]
async fn a_coordinator_without_a_usable_certificate_does_not_start() -> Result<()> {
    let folder = TempDir::new()?;
    let authority = Authority::make(folder.path(), "authority")?;
    let certificate = authority.certify("coordinator", "IP:127.0.0.1")?;
    let other = authority.certify("other", "IP:127.0.0.1")?;
    let data = folder.path().join("data").display().to_string();
    let run = |certificate: &Path, key: &Path| -> Result<(Option<i32>, String)> {
        let output = Command::new(path("callsheet")?)
            .args(["up", "--listen", "127.0.0.1:0", "--data-dir", &data])
            .env("CALLSHEET__COORDINATOR__TLS__CERTIFICATE_FILE", certificate)
            .env("CALLSHEET__COORDINATOR__TLS__KEY_FILE", key)
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status.code(), said))
    };
    for (file, key, part) in [
        (&*certificate.file, &*other.key, "made together"),
        (
            &*certificate.file,
            Path::new("/nowhere/key.pem"),
            "/nowhere/key.pem",
        ),
        (
            &*certificate.file,
            Path::new(""),
            "coordinator.tls.key_file",
        ),
    ] {
        let (code, said) = run(file, key)?;
        ensure!(code == Some(2), "{code:?}: {said}");
        ensure!(
            said.contains(part) && said.contains("coordinator.tls.key_file"),
            "{said}"
        );
    }
    Ok(())
}
