//! A disk that is full for a while: nothing that was accepted is lost, and work goes on once there is room.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Response, StatusCode};
use shared::api::{FilmStatus, FilmView, SubmitAnswer};
use shared::film::FilmRequest;
use shared::ids::FilmId;
use support::programs::Program;
use support::wait::until;
use tempfile::TempDir;

/// Room for the database, the journals and some small films.
const MEBIBYTES: u32 = 24;
/// Submissions after which a full disk must have been noticed: their rows take more than the database has allocated.
const MANY: usize = 2_000;

struct Server {
    program: Program,
    http: reqwest::Client,
}

impl Server {
    fn base(&self) -> Result<String> {
        let printed = self.program.printed();
        let (_, url) = printed.split_once("is up at ").context("not up yet")?;
        let url = url.split_whitespace().next().context("no address")?;
        Ok(url.trim_end_matches('/').to_owned())
    }

    async fn submit(&self, seconds: f64) -> Result<Response> {
        let request = FilmRequest {
            premise: Some("A lighthouse keeper befriends a storm ".repeat(40)),
            scenes: Some(3),
            seconds: Some(seconds),
            size: "128x72".parse().ok(),
            ..FilmRequest::default()
        };
        let films = format!("{}/v1/films", self.base()?);
        Ok(self.http.post(films).json(&request).send().await?)
    }

    async fn accepted(&self) -> Result<FilmId> {
        film_of(self.submit(0.5).await?.error_for_status()?).await
    }

    async fn completed(&self, film: FilmId) {
        let what = format!("film {film} to be completed");
        until(&what, Duration::from_secs(120), async || {
            let url = format!("{}/v1/films/{film}", self.base()?);
            let view: FilmView = self.http.get(url).send().await?.json().await?;
            let status = view.summary.status;
            ensure!(
                status == FilmStatus::Completed,
                "{status:?}; the server said {}",
                self.program.printed()
            );
            Ok(())
        })
        .await;
    }
}

async fn film_of(answer: Response) -> Result<FilmId> {
    match answer.json().await? {
        SubmitAnswer::Accepted { film } => Ok(film),
        SubmitAnswer::Mistaken { mistakes } => anyhow::bail!("{mistakes:?}"),
    }
}

/// Fills the disk to its last byte.
fn fill(ballast: &Path) -> Result<()> {
    let mut file = File::create(ballast)?;
    for size in [64 * 1024, 1] {
        loop {
            match file.write(&vec![0; size]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_of_and_nothing_accepted_is_lost() -> Result<()> {
    let folder = TempDir::new()?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    let arguments = ["up", "--listen", "127.0.0.1:0", "--data-dir"]
        .map(std::ffi::OsString::from)
        .into_iter()
        .chain([data.clone().into()]);
    let disk = (data.as_path(), MEBIBYTES);
    let server = Server {
        program: Program::start_on_a_small_disk(disk, "callsheet", arguments, folder.path())?,
        http: support::http::client(),
    };
    until("the server to be up", Duration::from_secs(30), async || {
        server.base().map(drop)
    })
    .await;
    let mut films = vec![server.accepted().await?];
    server.completed(films[0]).await;

    let ballast = server.program.inside(&data)?.join("ballast");
    fill(&ballast)?;
    let mut refused = None;
    for _ in 0..MANY {
        let answer = server.submit(0.5).await?;
        match answer.status() {
            StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::OK => {
                films.push(film_of(answer).await?);
            }
            _ => {
                refused = Some(answer);
                break;
            }
        }
    }
    let refused = refused.context("a full disk was never noticed")?;
    assert!(refused.status().is_server_error(), "{refused:?}");
    let problem = refused.text().await?;
    assert!(problem.contains("try again"), "{problem}");
    let printed = server.program.printed();
    assert!(printed.contains("is the disk full?"), "{printed}");

    std::fs::remove_file(&ballast)?;
    films.push(
        until(
            "a submission to be taken again",
            Duration::from_secs(30),
            async || server.accepted().await,
        )
        .await,
    );
    for film in films {
        server.completed(film).await;
    }
    Ok(())
}
