//! Who may use the coordinator: tokens, each of which gives a role.

use std::fmt;
use std::net::SocketAddr;

use serde::Deserialize;
use shared::artifact::Sha256;
use shared::film::Mistake;
use shared::http;
use shared::settings::Secret;
use subtle::ConstantTimeEq;

/// The section `[access]`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct AccessSettings {
    /// For those who submit films and watch them.
    #[serde(default)]
    pub submit_token: Option<Secret>,
    /// For those who do everything that people do.
    #[serde(default)]
    pub operate_token: Option<Secret>,
    /// For workers that have their files from the coordinator.
    #[serde(default)]
    pub worker_token: Option<Secret>,
}

impl AccessSettings {
    fn all(&self) -> [(Role, &'static str, Option<&Secret>); 3] {
        [
            (Role::Submit, "submit_token", self.submit_token.as_ref()),
            (Role::Operate, "operate_token", self.operate_token.as_ref()),
            (Role::Worker, "worker_token", self.worker_token.as_ref()),
        ]
    }

    /// What is wrong with them for a coordinator that listens there. Shows nothing of a token.
    pub fn mistakes(&self, listen: SocketAddr) -> Vec<Mistake> {
        let mut found = Vec::new();
        let mut add = |key: &str, problem: String| {
            found.push(Mistake::new(format!("access.{key}"), problem));
        };
        let all = self.all();
        for (place, (_, key, token)) in all.iter().enumerate() {
            let Some(token) = token else { continue };
            if let Err(problem) = http::check_token(token) {
                add(key, problem);
            }
            let before = all[..place]
                .iter()
                .find(|(_, _, other)| *other == Some(*token));
            if let Some((_, other, _)) = before {
                add(
                    key,
                    format!("it is the same as {other}: each role needs a token of its own"),
                );
            }
        }
        let is_any = all.iter().any(|(_, _, token)| token.is_some());
        if self.operate_token.is_none() && !listen.ip().is_loopback() {
            add(
                "operate_token",
                format!(
                    "it is needed, as coordinator.listen = \"{listen}\" lets others in: put the output of `openssl rand -hex 32` into a \
                     file and name it in access.operate_token_file (submit_token_file and worker_token_file for the other roles), or \
                     listen on 127.0.0.1"
                ),
            );
        } else if self.operate_token.is_none() && is_any {
            add(
                "operate_token",
                "it is needed beside another token: without one, nobody could cancel a film or pause a worker".to_owned(),
            );
        }
        found
    }
}

/// What a token lets one do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Submit films, watch and fetch them.
    Submit,
    /// Everything that people do.
    Operate,
    /// Store files and fetch them.
    Worker,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Submit, Self::Operate, Self::Worker];

    /// Its name, as in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Operate => "operate",
            Self::Worker => "worker",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The tokens that are taken, as hashes: the tokens themselves are not kept.
#[derive(Clone, Default)]
pub struct Access {
    known: Vec<Known>,
}

#[derive(Clone)]
struct Known {
    role: Role,
    token: Sha256,
    /// What the page's cookie holds in the token's place.
    cookie: Sha256,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.known.iter().map(|known| known.role))
            .finish()
    }
}

impl Access {
    /// With the tokens of the settings.
    pub fn new(settings: &AccessSettings) -> Self {
        let known = settings.all().into_iter().filter_map(|(role, _, token)| {
            let token = token?.expose();
            Some(Known {
                role,
                token: Sha256::of(token.as_bytes()),
                cookie: cookie_of(token),
            })
        });
        Self {
            known: known.collect(),
        }
    }

    /// Whether everybody may do everything: there is no token.
    pub const fn is_open(&self) -> bool {
        self.known.is_empty()
    }

    /// The role that a token gives, if it is one.
    pub fn role_of_token(&self, token: &str) -> Option<Role> {
        self.role_where(&Sha256::of(token.as_bytes()), |known| &known.token)
    }

    /// The role that the page's cookie gives, if it is one.
    pub fn role_of_cookie(&self, cookie: &str) -> Option<Role> {
        self.role_where(&cookie.parse().ok()?, |known| &known.cookie)
    }

    /// What the page's cookie holds for that token. It follows from the token, so that it outlives a restart, and gives nothing
    /// of it away.
    pub fn cookie(token: &str) -> String {
        cookie_of(token).to_string()
    }

    /// All are compared, and each whole, so that the time it takes tells nothing.
    fn role_where(&self, given: &Sha256, part: impl Fn(&Known) -> &Sha256) -> Option<Role> {
        let mut role = None;
        for known in &self.known {
            if bool::from(part(known).as_bytes().ct_eq(given.as_bytes())) {
                role = Some(known.role);
            }
        }
        role
    }
}

fn cookie_of(token: &str) -> Sha256 {
    Sha256::of(format!("callsheet page\0{token}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef01234567";
    const OTHER: &str = "76543210fedcba9876543210";

    fn mistakes(settings: &AccessSettings, listen: &str) -> String {
        let mistakes = settings.mistakes(listen.parse().unwrap());
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    fn token(text: &str) -> Option<Secret> {
        Some(Secret::new(text))
    }

    #[test]
    fn who_lets_others_in_must_ask_them_for_tokens() {
        let none = AccessSettings::default();
        for loopback in ["127.0.0.1:7420", "[::1]:7420", "127.9.9.9:0"] {
            assert_eq!(mistakes(&none, loopback), "");
        }
        let operate = AccessSettings {
            operate_token: token(TOKEN),
            ..none.clone()
        };
        for open in ["0.0.0.0:7420", "[::]:7420", "192.168.1.7:80"] {
            let text = mistakes(&none, open);
            for part in [
                "access.operate_token",
                open,
                "openssl rand -hex 32",
                "_file",
            ] {
                assert!(text.contains(part), "{text}");
            }
            assert_eq!(mistakes(&operate, open), "");
        }
    }

    #[test]
    fn tokens_are_long_differ_and_are_never_shown() {
        let same = AccessSettings {
            submit_token: token(TOKEN),
            operate_token: token(TOKEN),
            worker_token: token("short"),
        };
        let text = mistakes(&same, "127.0.0.1:0");
        assert!(
            text.contains("access.operate_token") && text.contains("same as submit_token"),
            "{text}"
        );
        assert!(
            text.contains("access.worker_token") && text.contains("openssl rand"),
            "{text}"
        );
        assert!(!text.contains(TOKEN) && !text.contains("short\n"), "{text}");
        let alone = AccessSettings {
            worker_token: token(TOKEN),
            ..AccessSettings::default()
        };
        assert!(mistakes(&alone, "127.0.0.1:0").contains("access.operate_token"));
    }

    #[test]
    fn a_token_gives_its_role_and_its_cookie_the_same() {
        let settings = AccessSettings {
            submit_token: token(TOKEN),
            operate_token: token(OTHER),
            worker_token: None,
        };
        let access = Access::new(&settings);
        assert!(!access.is_open() && Access::default().is_open());
        for (text, role) in [
            (TOKEN, Some(Role::Submit)),
            (OTHER, Some(Role::Operate)),
            ("", None),
            (&TOKEN[1..], None),
        ] {
            assert_eq!(access.role_of_token(text), role, "{text}");
            let cookie = Access::cookie(text);
            assert_eq!(access.role_of_cookie(&cookie), role, "{text}");
            assert_eq!(access.role_of_token(&cookie), None, "a cookie is no token");
        }
        assert_eq!(access.role_of_cookie(TOKEN), None, "a token is no cookie");
        let shown = format!("{access:?}{settings:?}");
        assert!(!shown.contains(TOKEN) && !shown.contains(OTHER), "{shown}");
    }
}
