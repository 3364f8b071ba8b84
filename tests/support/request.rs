//! Films that stories ask for.

use shared::film::FilmRequest;

/// A film of a few seconds of work.
pub fn small(seed: u64) -> FilmRequest {
    FilmRequest {
        premise: Some("A lighthouse keeper befriends a storm".to_owned()),
        scenes: Some(3),
        seconds: Some(1.0),
        size: "320x180".parse().ok(),
        seed: Some(seed),
        ..FilmRequest::default()
    }
}

/// A film that is still being made when somebody has been killed.
pub fn longer(seed: u64) -> FilmRequest {
    FilmRequest {
        seconds: Some(6.0),
        size: "640x360".parse().ok(),
        ..small(seed)
    }
}
