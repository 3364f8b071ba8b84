//! What the URL of an artifact store names. Pure.

use std::path::PathBuf;

use url::Url;

/// What is understood.
const KNOWN_URLS: &str = "known are folders, as file:///srv/films, file:///C:/films or the bare path; coordinators, as \
    http://studio:7420; and buckets, as s3://films/callsheet";

/// Where artifacts lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// In a local folder.
    Folder(PathBuf),
    /// With a coordinator, at this URL.
    Coordinator(Url),
    /// In a bucket of S3 or its kin.
    Bucket {
        /// The bucket.
        name: String,
        /// What the keys of all artifacts begin with; may be empty.
        prefix: String,
    },
}

impl Address {
    /// Reads a URL or the bare path of a folder.
    ///
    /// # Errors
    /// If it names no store; says what would do, and nothing of the URL.
    pub fn read(text: &str) -> Result<Self, String> {
        // `C:\films` would pass for a URL of the scheme `c`, hence the slashes.
        if !text.contains("://") && !text.is_empty() {
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        let url = Url::parse(text).map_err(|error| format!("{error}; {KNOWN_URLS}"))?;
        if url.scheme() == "file" {
            let path = url.to_file_path();
            return path
                .map(Self::Folder)
                .map_err(|()| format!("the path must be absolute; {KNOWN_URLS}"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(
                "credentials do not belong into it: give them as token, or as access_key_id and secret_access_key, in [artifacts]"
                    .to_owned(),
            );
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        match (url.scheme(), host) {
            ("http" | "https", Some(_)) => Ok(Self::Coordinator(as_base(url))),
            ("s3", Some(name)) => Ok(Self::Bucket {
                name: name.to_owned(),
                prefix: url.path().trim_matches('/').to_owned(),
            }),
            ("s3", None) => Err(format!("it names no bucket; {KNOWN_URLS}")),
            (other, _) => Err(format!(
                "this program has no store for `{other}`; {KNOWN_URLS}"
            )),
        }
    }
}

/// Without the slash the last part of a path would be replaced when something is joined to it.
fn as_base(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sort_of_store_is_known_by_its_url() {
        let folder = |path: &str| Address::Folder(path.into());
        let coordinator = |url: &str| Address::Coordinator(url.parse().unwrap());
        let bucket = |name: &str, prefix: &str| Address::Bucket {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
        };
        for (text, address) in [
            ("films", folder("films")),
            (".callsheet/artifacts", folder(".callsheet/artifacts")),
            ("http://studio:7420", coordinator("http://studio:7420/")),
            (
                "https://films.example/queue",
                coordinator("https://films.example/queue/"),
            ),
            ("s3://films", bucket("films", "")),
            ("s3://films/a/b/", bucket("films", "a/b")),
        ] {
            assert_eq!(Address::read(text), Ok(address), "{text}");
        }
    }
}
