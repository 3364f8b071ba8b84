//! `callsheet doctor` on an installation that is well, and with one fault after the other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nvml_double::install::Double;
use nvml_double::state::{Device, State};
use serde_json::Value;
use support::programs::{Program, path};
use support::rabbitmq::RabbitMq;
use support::wait::{SOON, until};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Settings of an installation, by section and key; values as TOML writes them.
type Settings = BTreeMap<(&'static str, &'static str), String>;

/// Everything that films need, on this machine.
struct Installation {
    rabbitmq: RabbitMq,
    coordinator: Program,
    folder: TempDir,
    settings: Settings,
}

/// What the doctor said: the names of what is bad, with what was told, and the exit code.
struct Findings {
    bad: BTreeMap<String, String>,
    all: usize,
    code: Option<i32>,
}

fn quoted(text: impl std::fmt::Display) -> String {
    format!("\"{text}\"")
}

impl Installation {
    async fn set_up() -> Result<Self> {
        let rabbitmq = RabbitMq::start().await?;
        let folder = TempDir::new()?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(folder.path().join("nvml"))?;
        let double = Double::install(
            &folder.path().join("nvml"),
            &State::with([Device::idle("GPU-1", 24)]),
        )?;
        let arguments = [
            "--broker".to_owned(),
            rabbitmq.url(),
            "--data-dir".to_owned(),
            at("data"),
            "--artifacts".to_owned(),
            at("artifacts"),
            "--listen".to_owned(),
            "127.0.0.1:0".to_owned(),
        ];
        let coordinator = Program::start("coordinator", "coordinator", arguments, folder.path())?;
        let url = until("the coordinator to listen", SOON, async || {
            let printed = coordinator.printed();
            let (_, after) = printed.split_once("listening on ").context("not yet")?;
            let word = after.split_whitespace().next().context("not yet")?;
            let url = word
                .trim_end_matches(|c: char| !c.is_ascii_digit())
                .to_owned();
            let answer = support::http::client()
                .get(format!("{url}/readyz"))
                .send()
                .await?;
            answer.error_for_status()?;
            Ok::<_, anyhow::Error>(url)
        })
        .await;
        let settings = Settings::from([
            (("broker", "url"), quoted(rabbitmq.url())),
            (("artifacts", "url"), quoted(at("artifacts"))),
            (("client", "coordinator"), quoted(url)),
            (("coordinator", "data_dir"), quoted(at("data"))),
            (("gpu", "library"), quoted(double.library().display())),
            (("gpu", "ledger"), quoted(at("ledger"))),
        ]);
        Ok(Self {
            rabbitmq,
            coordinator,
            folder,
            settings,
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the doctor finds with that one setting otherwise.
    async fn with(
        &self,
        section: &'static str,
        key: &'static str,
        value: impl std::fmt::Display,
    ) -> Result<Findings> {
        let mut settings = self.settings.clone();
        settings.insert((section, key), value.to_string());
        self.find(&settings, &[]).await
    }

    async fn find(&self, settings: &Settings, launcher: &[&str]) -> Result<Findings> {
        let file = self.at("callsheet.toml");
        let mut text = String::new();
        let mut last = "";
        for ((section, key), value) in settings {
            if *section != last {
                text.push_str(&format!("[{section}]\n"));
                last = section;
            }
            text.push_str(&format!("{key} = {value}\n"));
        }
        std::fs::write(&file, text)?;
        let mut words: Vec<String> = launcher.iter().map(|&word| word.to_owned()).collect();
        words.push(path("callsheet")?.display().to_string());
        let mut command = tokio::process::Command::from(Command::new(&words[0]));
        command
            .args(&words[1..])
            .arg("--config")
            .arg(&file)
            .args(["doctor", "--json"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        let output = command.output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        let checks: Value =
            serde_json::from_str(&said).with_context(|| format!("{said}{complained}"))?;
        let checks = checks.as_array().context("a list")?;
        let bad = checks.iter().filter(|check| check["verdict"] == "bad");
        let told = |check: &Value| {
            let name = check["what"].as_str().unwrap_or_default().to_owned();
            (name, format!("{} {}", check["told"], check["more"]))
        };
        Ok(Findings {
            bad: bad.map(told).collect(),
            all: checks.len(),
            code: output.status.code(),
        })
    }
}

impl Findings {
    /// There is one fault: that one, told with those words.
    fn is_only(&self, name: &str, words: &[&str]) -> Result<()> {
        let names: Vec<_> = self.bad.keys().collect();
        ensure!(names == [name], "{names:?} and not {name}: {:?}", self.bad);
        let told = &self.bad[name];
        for word in words {
            ensure!(told.contains(word), "{name} does not say {word}: {told}");
        }
        ensure!(self.code == Some(1), "exit code {:?}", self.code);
        Ok(())
    }
}

/// A coordinator's health, told by a clock that is wrong.
async fn a_clock_that_is_wrong() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = [0; 4096];
            let _ = stream.read(&mut read).await;
            let answer = "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 6\r\nconnection: close\r\n\r\nready\n";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    Ok(url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_planted_fault_is_found_by_name_and_none_where_all_is_well() -> Result<()> {
    let mut here = Installation::set_up().await?;
    let healthy = here.find(&here.settings, &[]).await?;
    ensure!(healthy.bad.is_empty(), "{:?}", healthy.bad);
    ensure!(
        healthy.code == Some(0) && healthy.all >= 14,
        "{} checks",
        healthy.all
    );

    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        listener.local_addr()?
    };
    let file = here.at("a-file");
    std::fs::write(&file, "x")?;
    let beneath = quoted(file.join("below").display());

    // 1: a key that is none, in another program's section.
    let found = here.with("worker", "slotts", "2").await?;
    found.is_only("settings", &["worker.slotts"])?;
    // 2: no broker at that address.
    let found = here
        .with(
            "broker",
            "url",
            quoted(format!("amqp://guest:guest@{nobody}/%2f")),
        )
        .await?;
    found.is_only("broker", &["cannot be reached", "broker.url"])?;
    // 3: a password that is wrong.
    let wrong = here.rabbitmq.url().replace("guest:guest", "guest:s3cret");
    let found = here.with("broker", "url", quoted(wrong)).await?;
    found.is_only("broker", &["does not let us in", "password"])?;
    ensure!(!found.bad["broker"].contains("s3cret"));
    // 4: a user without permissions.
    for words in [
        &["add_user", "anna", "word"][..],
        &["set_permissions", "anna", "^$", "^$", "^$"],
    ] {
        here.rabbitmq.ctl(words).await?;
    }
    let powerless = here.rabbitmq.url().replace("guest:guest", "anna:word");
    let found = here.with("broker", "url", quoted(powerless)).await?;
    found.is_only("broker permissions", &["set_permissions"])?;
    // 5: a data folder that is none.
    let found = here.with("coordinator", "data_dir", &beneath).await?;
    found.is_only("data folder", &["coordinator.data_dir"])?;
    // 6: a database that is damaged.
    let damaged = here.at("damaged");
    std::fs::create_dir(&damaged)?;
    std::fs::write(damaged.join("callsheet.db"), "no database ".repeat(1_000))?;
    let found = here
        .with("coordinator", "data_dir", quoted(damaged.display()))
        .await?;
    found.is_only("store", &["backup"])?;
    // 7: a disk that is full.
    let small = here.at("small");
    std::fs::create_dir(&small)?;
    let mut settings = here.settings.clone();
    settings.insert(("coordinator", "data_dir"), quoted(small.display()));
    let script = format!(
        "mount -t tmpfs -o size=1m tmpfs '{}' && exec \"$@\"",
        small.display()
    );
    let launcher = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &script,
        "sh",
    ];
    let found = here.find(&settings, &launcher).await?;
    found.is_only("disk", &["make room"])?;
    // 8: clocks that differ.
    let found = here
        .with(
            "client",
            "coordinator",
            quoted(a_clock_that_is_wrong().await?),
        )
        .await?;
    found.is_only("clock", &["NTP"])?;
    // 9: no coordinator where one was named.
    let found = here
        .with("client", "coordinator", quoted(format!("http://{nobody}")))
        .await?;
    found.is_only("coordinator", &["client.coordinator"])?;
    // 10: a place for files that is none.
    let found = here.with("artifacts", "url", &beneath).await?;
    found.is_only("artifacts", &["artifacts.url"])?;
    // 11: no ffmpeg.
    let found = here
        .with("ffmpeg", "ffmpeg", quoted("/no/such/ffmpeg"))
        .await?;
    found.is_only("ffmpeg", &["/no/such/ffmpeg"])?;
    // 12: a card that is not there.
    let found = here.with("gpu", "device", quoted("GPU-none")).await?;
    found.is_only("card", &["gpu.device", "GPU-none"])?;
    // 13: a ledger that nobody can write.
    let found = here.with("gpu", "ledger", &beneath).await?;
    found.is_only("ledger", &["gpu.ledger"])?;
    // 14: no ComfyUI server.
    let found = here
        .with("comfyui", "url", quoted(format!("http://{nobody}")))
        .await?;
    found.is_only(
        &format!("ComfyUI http://{nobody}/"),
        &["cannot reach ComfyUI"],
    )?;
    // 15: a workflow that is none.
    let workflows = here.at("workflows");
    std::fs::create_dir(&workflows)?;
    std::fs::write(workflows.join("mine.toml"), "kind = 3")?;
    let found = here
        .with("comfyui", "workflows", quoted(workflows.display()))
        .await?;
    found.is_only("workflows", &["mine.json is missing"])?;
    // 16: no server for a language model.
    let model = format!(
        "[{{ profile = \"muse\", provider = \"openai\", url = \"http://{nobody}\", model = \"muse\", gpu_mib = 0 }}]"
    );
    let found = here.with("llm", "models", model).await?;
    found.is_only("model muse", &[])?;
    // 17: a queue that somebody has made otherwise.
    here.coordinator.end().await?;
    remake_a_queue(&here.rabbitmq).await?;
    let mut settings = here.settings.clone();
    settings.remove(&("client", "coordinator"));
    let found = here.find(&settings, &[]).await?;
    found.is_only("broker queues", &["callsheet.parked"])
}

/// Deletes the queue of what was parked, and makes it anew as a classic one.
async fn remake_a_queue(rabbitmq: &RabbitMq) -> Result<()> {
    use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
    use lapin::types::FieldTable;
    let (url, properties) = (rabbitmq.url(), lapin::ConnectionProperties::default());
    let connection = lapin::Connection::connect(&url, properties).await?;
    let channel = connection.create_channel().await?;
    let name = || "callsheet.parked".into();
    channel
        .queue_delete(name(), QueueDeleteOptions::default())
        .await?;
    channel
        .queue_declare(
            name(),
            QueueDeclareOptions::durable(),
            FieldTable::default(),
        )
        .await?;
    Ok(())
}

#[test]
fn what_is_told_to_a_person_names_what_to_do() -> Result<()> {
    let folder = TempDir::new()?;
    let output = Command::new(path("callsheet")?)
        .arg("doctor")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .env("CALLSHEET__FFMPEG__FFMPEG", "/no/such/ffmpeg")
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.code() == Some(1), "{said}");
    ensure!(said.contains("!!  ffmpeg"), "{said}");
    ensure!(said.contains("/no/such/ffmpeg"), "{said}");
    Ok(())
}
