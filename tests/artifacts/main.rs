//! Artifact stores: a folder, a coordinator over HTTP, and a bucket keep the same promises.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod coordinator;
mod http;
mod s3;

macro_rules! run {
    ($shelf:path: $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                support::artifact_conformance::$promise($shelf().await).await;
            }
        )*
    };
}
pub(crate) use run;

mod folder {
    use support::artifact_conformance::Shelf;

    async fn shelf() -> Shelf {
        Shelf::folder()
    }

    support::every_artifact_promise!(run, shelf);
}
