//! Films made without a shared folder: workers have their files from the coordinator, or all have them from a bucket. Each program
//! is given secrets, logs everything it can, and gives none of them away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shared::api::{FilmStatus, FilmView, Manifest, SubmitAnswer};
use shared::artifact::Sha256;
use support::moto::Moto;
use support::programs::{Program, path};
use support::rabbitmq::RabbitMq;
use support::wait::until;
use tempfile::TempDir;

use crate::SMALL;

/// Everything that is secret here, by what it is. None of it may be seen anywhere.
const PLANTED: [(&str, &str); 7] = [
    ("broker password", "planted-broker-password-7d1f"),
    ("submit token", "planted-submit-token-0123456789"),
    ("operate token", "planted-operate-token-0123456789"),
    ("worker token", "planted-worker-token-0123456789"),
    ("access key", "AKIAPLANTEDACCESSKEY"),
    ("secret key", "planted/secret+access/key"),
    ("model key", "planted-gemini-key-0123456789"),
];

fn planted(what: &str) -> &'static str {
    PLANTED
        .iter()
        .find(|(name, _)| *name == what)
        .expect("it is planted")
        .1
}

/// Three processes that share a broker and no folder, and all that was ever printed.
struct Studio {
    rabbitmq: RabbitMq,
    programs: BTreeMap<&'static str, Program>,
    folder: TempDir,
    url: String,
    printed: Vec<String>,
}

impl Studio {
    /// Starts all of it. `stores` are the sections `[artifacts]` of the coordinator and, given its URL, of the workers.
    async fn open(coordinator: &str, workers: impl Fn(&str) -> String) -> Result<Self> {
        let rabbitmq = RabbitMq::start().await?;
        rabbitmq
            .ctl(&["add_user", "studio", planted("broker password")])
            .await?;
        rabbitmq
            .ctl(&["set_permissions", "studio", ".*", ".*", ".*"])
            .await?;
        let mut studio = Self {
            rabbitmq,
            programs: BTreeMap::new(),
            folder: TempDir::new()?,
            url: String::new(),
            printed: Vec::new(),
        };
        let secrets = [
            ("submit_token", "submit token"),
            ("operate_token", "operate token"),
            ("worker_token", "worker token"),
        ];
        let mut access = "[access]\n".to_owned();
        for (key, what) in secrets {
            let file = studio.secret(what)?;
            access.push_str(&format!("{key}_file = '{}'\n", file.display()));
        }
        studio.start(
            "coordinator",
            "coordinator",
            &["--listen", "127.0.0.1:0"],
            &format!("{access}{coordinator}"),
        )?;
        studio.url = until("the coordinator", Duration::from_secs(60), async || {
            let printed = studio.programs["coordinator"].printed();
            let (_, after) = printed.split_once("listening on ").context("not yet")?;
            let (url, _) = after.split_once('\n').context("half a line")?;
            Ok::<_, anyhow::Error>(
                url.trim_matches(|c: char| !c.is_ascii_alphanumeric())
                    .to_owned(),
            )
        })
        .await;
        let section = workers(&studio.url);
        let llm = format!(
            "{section}[llm]\ngemini_key_file = '{}'\n",
            studio.secret("model key")?.display()
        );
        studio.start("writer", "llm-worker", &["--name", "writer"], &llm)?;
        studio.start("painter", "video-worker", &["--name", "painter"], &section)?;
        Ok(studio)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with that secret.
    fn secret(&self, what: &str) -> Result<PathBuf> {
        let file = self.at(what);
        std::fs::write(&file, planted(what))?;
        Ok(file)
    }

    fn settings(&self, label: &str, sections: &str) -> Result<PathBuf> {
        let url = self.rabbitmq.url().replace(
            "guest:guest",
            &format!("studio:{}", planted("broker password")),
        );
        let broker = self.at(&format!("{label}.broker"));
        std::fs::write(&broker, url)?;
        let file = self.at(&format!("{label}.toml"));
        let settings = format!(
            "[broker]\nurl_file = '{}'\n[log]\nfilter = 'trace'\n{sections}",
            broker.display()
        );
        std::fs::write(&file, settings)?;
        Ok(file)
    }

    fn start(
        &mut self,
        label: &'static str,
        program: &'static str,
        words: &[&str],
        sections: &str,
    ) -> Result<()> {
        let data = self.at(label).display().to_string();
        let config = self.settings(label, sections)?.display().to_string();
        let words = words
            .iter()
            .copied()
            .chain(["--data-dir", &data, "--config", &config]);
        let started = Program::start(program, label, words, self.folder.path())?;
        self.programs.insert(label, started);
        Ok(())
    }

    /// Runs a program of ours to its end; its exit code and all it printed.
    fn run(
        &mut self,
        program: &str,
        words: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<(i32, String, String)> {
        let output = Command::new(path(program)?)
            .args(words)
            .current_dir(self.folder.path())
            .envs(environment.iter().copied())
            .env("CALLSHEET__LOG__FILTER", "trace")
            .stdin(Stdio::null())
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        self.printed.extend([out.clone(), err.clone()]);
        Ok((output.status.code().unwrap_or(-1), out, err))
    }

    /// Runs a command against the coordinator, with the token of that role.
    fn callsheet(&mut self, role: Option<&str>, words: &[&str]) -> Result<(i32, String, String)> {
        let url = self.url.clone();
        let words = [words, &["--coordinator", &url]].concat();
        let token = role.map(|role| ("CALLSHEET_TOKEN", planted(&format!("{role} token"))));
        self.run("callsheet", &words, token.as_slice())
    }

    /// Has a small film made, and gives it and its manifest.
    fn make_film(&mut self) -> Result<(FilmView, Manifest)> {
        let file = self.at("submit token").display().to_string();
        let words = [
            &["submit", "A storm", "--json", "--token-file", &file][..],
            &SMALL,
        ]
        .concat();
        let (code, out, err) = self.callsheet(None, &words)?;
        ensure!(code == 0, "{out}{err}");
        let SubmitAnswer::Accepted { film } = serde_json::from_str(out.trim())? else {
            anyhow::bail!("refused: {out}")
        };
        let id = film.to_string();
        let (code, out, err) = self.callsheet(
            Some("submit"),
            &["film", "--resume", &id, "--out", "film.mp4"],
        )?;
        ensure!(code == 0, "{out}{err}");
        let (_, out, _) = self.callsheet(Some("submit"), &["show", &id, "--json"])?;
        let manifest = std::fs::read_to_string(self.at("film.json"))?;
        self.printed.push(manifest.clone());
        Ok((
            serde_json::from_str(out.trim())?,
            serde_json::from_str(&manifest)?,
        ))
    }

    /// Ends all programs, and looks for what was planted in everything that was printed.
    async fn close(mut self) -> Result<()> {
        for program in self.programs.values_mut() {
            let status = program.end().await?;
            ensure!(
                status.success(),
                "it ended with {status}:\n{}",
                program.printed()
            );
            self.printed.push(program.printed());
        }
        let all = self.printed.concat();
        ensure!(
            all.contains("DEBUG") && all.len() > 10_000,
            "little was logged: {} bytes",
            all.len()
        );
        for (what, secret) in PLANTED {
            if let Some(at) = all.find(secret) {
                let line = all[..at].lines().last().unwrap_or_default();
                anyhow::bail!("the {what} was printed after: {line}");
            }
        }
        Ok(())
    }
}

fn check_film(view: &FilmView, film: &Path) -> Result<()> {
    ensure!(view.summary.status == FilmStatus::Completed, "{view:?}");
    ensure!(
        view.unserved.is_empty() && view.scenes.len() == 3,
        "{view:?}"
    );
    let made = view.film.as_ref().context("a film")?;
    ensure!(
        Sha256::of(&std::fs::read(film)?) == made.sha256,
        "another film came"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_is_made_by_workers_that_have_their_files_from_the_coordinator() -> Result<()> {
    let folder = TempDir::new()?;
    let kept = folder.path().join("kept");
    let store = format!("[artifacts]\nurl = '{}'\n", kept.display());
    let token = folder.path().join("token");
    std::fs::write(&token, format!("{}\n", planted("worker token")))?;
    let mut studio = Studio::open(&store, |url| {
        format!(
            "[artifacts]\nurl = '{url}'\ntoken_file = '{}'\n",
            token.display()
        )
    })
    .await?;
    let (view, _) = studio.make_film()?;
    check_film(&view, &studio.at("film.mp4"))?;
    ensure!(
        kept.read_dir()?.count() >= 6,
        "the coordinator keeps images, clips and the film"
    );

    // Who may not, is told so.
    let (code, _, err) = studio.callsheet(None, &["list"])?;
    ensure!(code == 2 && err.contains("--token-file"), "{code}: {err}");
    let (code, _, err) = studio.callsheet(Some("submit"), &["pause", "painter"])?;
    ensure!(
        code == 2 && err.contains("access.operate_token"),
        "{code}: {err}"
    );
    let (code, _, err) = studio.callsheet(Some("worker"), &["list"])?;
    ensure!(code == 2 && err.contains("submit"), "{code}: {err}");
    let (code, _, err) = studio.callsheet(Some("operate"), &["pause", "painter"])?;
    ensure!(code == 0, "{code}: {err}");

    // A profile that nobody has is told of at once.
    let words = ["submit", "A calm", "--scene-profile", "wan2.2-ti2v-5b"];
    let (code, _, err) = studio.callsheet(Some("submit"), &words)?;
    ensure!(
        code == 0 && err.contains("no worker does scene on wan2.2-ti2v-5b"),
        "{code}: {err}"
    );

    // Settings that cannot be used give nothing away either.
    let wrong = format!(
        "[artifacts]\nurl = '{}'\ntoken = '{}'\n",
        studio.url,
        planted("submit token")
    );
    let config = studio.settings("wrong", &wrong)?.display().to_string();
    let data = studio.at("wrong-data").display().to_string();
    let words = [
        "--config",
        &config,
        "--data-dir",
        &data,
        "--name",
        "stranger",
    ];
    let (code, _, err) = studio.run("video-worker", &words, &[])?;
    ensure!(code == 1 && err.contains("worker_token"), "{code}: {err}");
    let short = [
        (
            "CALLSHEET__ACCESS__OPERATE_TOKEN",
            "planted-operate-token-0123456789",
        ),
        (
            "CALLSHEET__ACCESS__WORKER_TOKEN",
            "planted-operate-token-0123456789",
        ),
        (
            "CALLSHEET__BROKER__URL",
            "http://studio:planted-broker-password-7d1f@nowhere",
        ),
    ];
    let (code, _, err) = studio.run("coordinator", &["--listen", "0.0.0.0:0"], &short)?;
    ensure!(
        code == 2 && err.contains("access.worker_token") && err.contains("broker.url"),
        "{code}: {err}"
    );
    let words = [
        "--data-dir",
        &data,
        "--artifacts",
        "s3://AKIAPLANTEDACCESSKEY:planted/secret+access/key@films",
    ];
    let (code, _, err) = studio.run("coordinator", &words, &[])?;
    ensure!(code == 1 && err.contains("s3://…"), "{code}: {err}");
    let stranger = format!(
        "amqp://stranger:{}@127.0.0.1:{}/%2f",
        planted("broker password"),
        studio.rabbitmq.port()
    );
    let stranger = [("CALLSHEET__BROKER__URL", stranger.as_str())];
    let (code, _, err) = studio.run("coordinator", &["--data-dir", &data], &stranger)?;
    ensure!(code == 1, "{code}: {err}");
    studio.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_is_made_over_a_bucket() -> Result<()> {
    let moto = Moto::start().await?;
    moto.make("films").await?;
    let store = format!(
        "[artifacts]\nurl = 's3://films/studio'\nendpoint = '{}'\naccess_key_id = '{}'\nsecret_access_key = '{}'\n",
        moto.endpoint(),
        planted("access key"),
        planted("secret key"),
    );
    let mut studio = Studio::open(&store, |_| store.clone()).await?;
    let (view, manifest) = studio.make_film()?;
    check_film(&view, &studio.at("film.mp4"))?;
    let film = view.film.context("a film")?.sha256.to_string();
    ensure!(
        serde_json::to_value(&manifest)?.to_string().contains(&film),
        "{manifest:?}"
    );
    let object = format!(
        "{}/studio/{}/{}",
        moto.url_of("films"),
        &film[..2],
        &film[2..]
    );
    // It asks nobody who they are for what is there, and 403 is for what is there, too.
    let head = support::http::client().head(object).send().await?;
    ensure!(head.status().as_u16() != 404, "{head:?}");
    let part = support::http::client()
        .get(format!(
            "{}/v1/films/{}/film.mp4",
            studio.url, view.summary.id
        ))
        .header("Range", "bytes=4-7")
        .bearer_auth(planted("submit token"))
        .send()
        .await?;
    ensure!(
        part.status().as_u16() == 206 && part.bytes().await? == "ftyp".as_bytes(),
        "no part of the film"
    );
    let (_, listed, _) = studio.callsheet(Some("operate"), &["workers", "--json"])?;
    let listed: Value = serde_json::from_str(listed.trim())?;
    assert_eq!(
        listed["workers"].as_array().map(Vec::len),
        Some(2),
        "{listed}"
    );
    studio.close().await
}
