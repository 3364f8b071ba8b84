//! `callsheet doctor` on an installation that is well, and with one fault after the other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use nvml_double::install::Double;
use nvml_double::state::{Device, State};
use serde_json::Value;
use shared::broker::rights::{Rights, Role};
use support::programs::{Program, path};
use support::rabbitmq::RabbitMq;
use support::users::Users;
use support::wait::{SOON, until};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Settings of an installation, by section and key; values as TOML writes them.
type Settings = BTreeMap<(&'static str, &'static str), String>;

/// Everything that films need, with a user at the broker and a token for each role.
struct Installation {
    rabbitmq: RabbitMq,
    users: Users,
    coordinator: Program,
    folder: TempDir,
    /// Those of the first host, which has the coordinator.
    settings: Settings,
    /// Those of a further one, which has workers alone.
    further: Settings,
}

/// What the doctor said by the names of what it looked at, what is bad of it, and the exit code.
struct Findings {
    all: BTreeMap<String, String>,
    bad: BTreeMap<String, String>,
    code: Option<i32>,
}

fn quoted(text: impl std::fmt::Display) -> String {
    format!("\"{text}\"")
}

impl Installation {
    async fn set_up() -> Result<Self> {
        let users = Users::make()?;
        let rabbitmq = RabbitMq::start_with_definitions(&users.definitions()).await?;
        users.find_broker_at(&rabbitmq.address().to_string())?;
        let folder = TempDir::new()?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(folder.path().join("nvml"))?;
        let double = Double::install(
            &folder.path().join("nvml"),
            &State::with([Device::idle("GPU-1", 24)]),
        )?;
        let token = |name: &str| quoted(users.file(name).display());
        let asks = format!(
            "[access]\nsubmit_token_file = {}\noperate_token_file = {}\nworker_token_file = {}\n",
            token("token-submit"),
            token("token-operate"),
            token("token-worker")
        );
        std::fs::write(at("coordinator.toml"), asks)?;
        let arguments = [
            "--config".to_owned(),
            at("coordinator.toml"),
            "--broker".to_owned(),
            users.url(Role::Coordinator)?,
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
        let card = [
            (("gpu", "library"), quoted(double.library().display())),
            (("gpu", "ledger"), quoted(at("ledger"))),
        ];
        let mut settings = Settings::from([
            (("broker", "url"), quoted(users.url(Role::Coordinator)?)),
            (("artifacts", "url"), quoted(at("artifacts"))),
            (("client", "coordinator"), quoted(&url)),
            (("client", "token_file"), token("token-operate")),
            (("coordinator", "data_dir"), quoted(at("data"))),
        ]);
        settings.extend(card.clone());
        let mut further = Settings::from([
            (("broker", "url"), quoted(users.url(Role::Worker)?)),
            (("artifacts", "url"), quoted(&url)),
            (("artifacts", "token_file"), token("token-worker")),
            (("worker", "data_dir"), quoted(at("worker"))),
            // The file of settings may be the same on all hosts.
            (("coordinator", "listen"), quoted("0.0.0.0:7420")),
        ]);
        further.extend(card);
        Ok(Self {
            rabbitmq,
            users,
            coordinator,
            folder,
            settings,
            further,
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where somebody with that name and that password finds the broker.
    fn broker_of(&self, name: &str, password: &str) -> Result<String> {
        let url = self.users.url(Role::Coordinator)?;
        let (_, place) = url.split_once('@').context("a user and a place")?;
        Ok(format!("amqp://{name}:{password}@{place}"))
    }

    /// Where whoever looks after the broker finds it.
    fn broker_of_admin(&self) -> Result<String> {
        self.broker_of("admin", &self.users.secret("broker-password-admin")?)
    }

    /// What the doctor finds on the first host with that one setting otherwise.
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

    /// The same on a further one.
    async fn further_with(
        &self,
        section: &'static str,
        key: &'static str,
        value: impl std::fmt::Display,
    ) -> Result<Findings> {
        let mut settings = self.further.clone();
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
            .env_remove("CALLSHEET_TOKEN")
            .env_remove("CALLSHEET_TOKEN_FILE")
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
            all: checks.iter().map(told).collect(),
            bad: bad.map(told).collect(),
            code: output.status.code(),
        })
    }
}

impl Findings {
    /// There is no fault.
    fn is_none(&self) -> Result<()> {
        ensure!(self.bad.is_empty(), "{:?}", self.bad);
        ensure!(self.code == Some(0), "exit code {:?}", self.code);
        Ok(())
    }

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
    healthy.is_none()?;
    ensure!(healthy.all.len() >= 15, "{:?}", healthy.all.keys());
    // One user for everything.
    let found = here.with("broker", "url", quoted(here.broker_of_admin()?));
    found.await?.is_none()?;
    // Where workers are alone, the coordinator is another host's, and only that one is asked.
    let found = here.find(&here.further, &[]).await?;
    found.is_none()?;
    let first = &here.settings[&("client", "coordinator")];
    let asked = &found.all["coordinator"];
    ensure!(asked.contains(first.trim_matches('"')), "{asked}");
    ensure!(found.all["clock"].contains("the same"), "{:?}", found.all);
    ensure!(!found.all.contains_key("store"), "{:?}", found.all);

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
    let wrong = here.broker_of("coordinator", "s3cret")?;
    let found = here.with("broker", "url", quoted(wrong)).await?;
    found.is_only("broker", &["does not let us in", "password"])?;
    ensure!(!found.bad["broker"].contains("s3cret"));
    // 4: the user of another role.
    let worker = here.users.url(Role::Worker)?;
    let found = here.with("broker", "url", quoted(worker)).await?;
    found.is_only(
        "broker permissions",
        &[
            "to publish jobs, its write pattern",
            "amq.default",
            "secrets",
        ],
    )?;
    // 5: a data folder that is none.
    let found = here
        .with("coordinator", "data_dir", quoted("/proc/callsheet"))
        .await?;
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
    // 17: a token that nobody knows.
    let forged = here.at("token");
    std::fs::write(&forged, "0123456789abcdef0123456789abcdef")?;
    let found = here.with("client", "token_file", quoted(forged.display()));
    found
        .await?
        .is_only("token", &["does not know", "token-operate"])?;
    // 18: secrets that the service has and the doctor has not.
    let found = here.with("coordinator", "listen", quoted("0.0.0.0:7420"));
    let named = ["CALLSHEET__ACCESS__OPERATE_TOKEN_FILE", "callsheet-doctor"];
    found.await?.is_only("settings", &named)?;
    // 19: on a further host, the submitters' user.
    let submitter = here.users.url(Role::Submitter)?;
    let found = here.further_with("broker", "url", quoted(submitter));
    let lacks = ["to make its inbox", "to read its inbox", "to report"];
    found.await?.is_only("broker permissions", &lacks)?;
    // 20: one that may write, and take no jobs.
    let Rights {
        configure, write, ..
    } = Role::Worker.rights();
    let read = r"^callsheet\.(worker\..*|workers|everyone)$";
    for words in [
        &["add_user", "anna", "word"][..],
        &[
            "set_permissions",
            "-p",
            "callsheet",
            "anna",
            configure,
            write,
            read,
        ],
    ] {
        here.rabbitmq.ctl(words).await?;
    }
    let anna = here.broker_of("anna", "word")?;
    let found = here.further_with("broker", "url", quoted(anna)).await?;
    let lacks = ["to take jobs, its read pattern", "callsheet.job.scene."];
    found.is_only("broker permissions", &lacks)?;
    ensure!(!found.bad["broker permissions"].contains("to report,"));
    // 21: a worker's folder that is none.
    let found = here.further_with("worker", "data_dir", &beneath).await?;
    found.is_only("data folder", &["worker.data_dir"])?;
    // 22: no token for the coordinator that keeps the files.
    let mut settings = here.further.clone();
    settings.remove(&("artifacts", "token_file"));
    let found = here.find(&settings, &[]).await?;
    found.is_only("artifacts", &["CALLSHEET__ARTIFACTS__TOKEN_FILE"])?;
    // 23: a queue that somebody has made otherwise.
    here.coordinator.end().await?;
    let broker = connect(&here.broker_of_admin()?).await?;
    let waiting = ["callsheet.reports", "callsheet.submissions"];
    for queue in waiting {
        put_one(&broker, queue).await?;
    }
    remake_a_queue(&broker).await?;
    let mut settings = here.settings.clone();
    settings.remove(&("client", "coordinator"));
    let found = here.find(&settings, &[]).await?;
    found.is_only("broker queues", &["callsheet.parked"])?;
    // And nothing was touched or left behind by all that.
    for queue in waiting {
        is_untouched(&broker, queue).await?;
    }
    let list = ["list_queues", "-p", "callsheet", "name"];
    let queues = here.rabbitmq.ctl(&list).await?;
    ensure!(queues.contains("callsheet.reports"), "{queues}");
    ensure!(!queues.contains("doctor"), "{queues}");
    Ok(())
}

async fn connect(url: &str) -> Result<Connection> {
    Ok(Connection::connect(url, ConnectionProperties::default()).await?)
}

/// Empties a queue, and puts one message there.
async fn put_one(broker: &Connection, queue: &str) -> Result<()> {
    let channel = broker.create_channel().await?;
    channel
        .queue_purge(queue.into(), QueuePurgeOptions::default())
        .await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let sent = channel.basic_publish("".into(), queue.into(), options, b"{}", properties);
    sent.await?.await?;
    Ok(())
}

/// Its one message has been handed to nobody. The queue of reports cannot be asked for a message, only consumed.
async fn is_untouched(broker: &Connection, queue: &str) -> Result<()> {
    let channel = broker.create_channel().await?;
    let options = BasicConsumeOptions::default();
    let mut read = channel
        .basic_consume(queue.into(), "".into(), options, FieldTable::default())
        .await?;
    let got = tokio::time::timeout(SOON, read.next()).await;
    let got = got.with_context(|| format!("{queue} is empty"))?;
    let got = got.context("a message")??;
    ensure!(!got.redelivered, "{queue}: somebody has had it");
    Ok(())
}

/// Deletes the queue of what was parked, and makes it anew as a classic one.
async fn remake_a_queue(broker: &Connection) -> Result<()> {
    let channel = broker.create_channel().await?;
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
