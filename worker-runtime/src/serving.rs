//! Which processes serve an address of this host: the driver tells who holds memory by process, settings name servers by URL.
//!
//! Only where the system tells it in files (Linux). Elsewhere nothing is known, which is an answer that everybody must live
//! with: in containers that do not see the processes of their host it is the usual one.

/// What tells a server's process from others where nobody but the administrator sees which process has a port open: the server
/// runs as another user than we do, as it does for a service of the system and for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownBy {
    /// Nothing.
    Nothing,
    /// The name of its program, as `ollama`.
    Name(String),
    /// The arguments that it says it was started with: the end of its command line, behind the name of an interpreter.
    Arguments(Vec<String>),
}

/// The processes of the server that listens on that port of this host, and all that they have started; none if that cannot be
/// told. Reads some hundred small files: not for an asynchronous task.
pub fn processes_of(port: u16, known: &KnownBy) -> Vec<u32> {
    #[cfg(target_os = "linux")]
    {
        linux::processes_of(port, known)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (port, known);
        Vec::new()
    }
}

/// Whether that process has not ended, as far as that can be told.
pub fn lives(pid: u32) -> bool {
    !cfg!(target_os = "linux") || std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::{Path, PathBuf};

    use super::KnownBy;

    /// A socket that waits for connections.
    #[derive(Debug, PartialEq, Eq)]
    struct Listener {
        inode: u64,
        user: u32,
    }

    /// A process, as far as it is needed here.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Process {
        pid: u32,
        parent: u32,
        name: String,
    }

    pub(super) fn processes_of(port: u16, known: &KnownBy) -> Vec<u32> {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
        let listeners: Vec<Listener> = tables
            .iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .flat_map(|table| listeners(&table, port))
            .collect();
        if listeners.is_empty() {
            return Vec::new();
        }
        let all = processes();
        let mut roots: Vec<u32> = all
            .iter()
            .map(|process| process.pid)
            .filter(|pid| has_open(*pid, &listeners))
            .collect();
        if roots.is_empty() {
            roots = recognised(&listeners, known, &all);
        }
        with_descendants(&roots, &all)
    }

    /// The processes of a listener's user that are like that. By arguments it must be one alone: another server may have been
    /// started with the same.
    fn recognised(listeners: &[Listener], known: &KnownBy, all: &[Process]) -> Vec<u32> {
        let is_known = |process: &&Process| match known {
            KnownBy::Nothing => false,
            KnownBy::Name(name) => process.name == *name,
            KnownBy::Arguments(arguments) => fs::read(folder(process.pid).join("cmdline"))
                .is_ok_and(|line| ends_with(&line, arguments)),
        };
        let of_its_user = |process: &&Process| {
            let user = fs::metadata(folder(process.pid)).map(|it| it.uid());
            user.is_ok_and(|user| listeners.iter().any(|it| it.user == user))
        };
        let alike: Vec<&Process> = all.iter().filter(is_known).filter(of_its_user).collect();
        // What a server has forked, and nothing else was started in, has its command line.
        let is_first = |it: &&&Process| alike.iter().all(|other| other.pid != it.parent);
        let first: Vec<u32> = alike.iter().filter(is_first).map(|it| it.pid).collect();
        match known {
            KnownBy::Arguments(_) if first.len() > 1 => Vec::new(),
            KnownBy::Nothing | KnownBy::Name(_) | KnownBy::Arguments(_) => first,
        }
    }

    /// Whether a command line, as the kernel writes it, is some program and these arguments.
    fn ends_with(line: &[u8], arguments: &[String]) -> bool {
        let line = line.strip_suffix(b"\0").unwrap_or(line);
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let arguments: Vec<&[u8]> = arguments.iter().map(|it| it.as_bytes()).collect();
        !arguments.is_empty() && words.len() > arguments.len() && words.ends_with(&arguments)
    }

    /// The sockets that listen on that port, by the kernel's table of them.
    fn listeners(table: &str, port: u16) -> Vec<Listener> {
        const LISTENING: &str = "0A";
        let ending = format!(":{port:04X}");
        let line = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (local, state) = (words.get(1)?, words.get(3)?);
            if !local.ends_with(&ending) || *state != LISTENING {
                return None;
            }
            Some(Listener {
                user: words.get(7)?.parse().ok()?,
                inode: words.get(9)?.parse().ok()?,
            })
        };
        table.lines().filter_map(line).collect()
    }

    fn processes() -> Vec<Process> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid: u32| {
            process(pid, &fs::read_to_string(folder(pid).join("stat")).ok()?)
        })
        .collect()
    }

    /// A process by its line of state: `PID (NAME) STATE PARENT …`. A name may hold anything, brackets included.
    fn process(pid: u32, stat: &str) -> Option<Process> {
        let (before, after) = stat.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let parent = after.split_whitespace().nth(1)?.parse().ok()?;
        Some(Process {
            pid,
            parent,
            name: name.to_owned(),
        })
    }

    fn has_open(pid: u32, listeners: &[Listener]) -> bool {
        let Ok(files) = fs::read_dir(folder(pid).join("fd")) else {
            return false;
        };
        let is_one = |target: &Path| {
            let target = target.to_string_lossy();
            let inode = target
                .strip_prefix("socket:[")
                .and_then(|it| it.strip_suffix(']'));
            inode.is_some_and(|inode| listeners.iter().any(|it| it.inode.to_string() == inode))
        };
        files
            .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
            .any(|target| is_one(&target))
    }

    fn with_descendants(roots: &[u32], all: &[Process]) -> Vec<u32> {
        let mut found: BTreeSet<u32> = roots.iter().copied().collect();
        loop {
            let more: Vec<u32> = all
                .iter()
                .filter(|it| found.contains(&it.parent) && !found.contains(&it.pid))
                .map(|it| it.pid)
                .collect();
            if more.is_empty() {
                return found.into_iter().collect();
            }
            found.extend(more);
        }
    }

    fn folder(pid: u32) -> PathBuf {
        Path::new("/proc").join(pid.to_string())
    }

    #[cfg(test)]
    mod tests {
        use std::net::TcpListener;
        use std::process::{Command, Stdio};

        use super::*;

        #[test]
        fn the_server_of_a_port_is_found_with_all_that_it_has_started() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            // It waits for its input, which ends with this test.
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let found = processes_of(port, &KnownBy::Nothing);
            let (me, its) = (std::process::id(), child.id());
            drop(child.stdin.take());
            child.wait().unwrap();
            assert!(found.contains(&me) && found.contains(&its), "{found:?}");
            drop(listener);
            assert_eq!(processes_of(port, &KnownBy::Nothing), Vec::<u32>::new());
        }

        #[test]
        fn a_server_of_another_user_is_known_by_its_name_or_by_what_it_was_started_with() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let table = fs::read_to_string("/proc/net/tcp").unwrap();
            let ours = listeners(&table, port);
            // They wait for their input, which ends with this test.
            let start = |arguments: &[&str]| {
                let mut cat = Command::new("cat");
                cat.args(arguments).stdin(Stdio::piped());
                // Of files that are not there.
                cat.stderr(Stdio::null()).spawn().unwrap()
            };
            let arguments = |port: u16| ["-".to_owned(), format!("/of/{port}")];
            let known = |port: u16| KnownBy::Arguments(arguments(port).to_vec());
            let [first, second] = [1, 2].map(|number| {
                let [dash, file] = arguments(number);
                start(&[&dash, &file])
            });
            let all = processes();
            let twin = start(&["-u", "-", "/of/2"]);
            let later = processes();
            assert_eq!(recognised(&ours, &known(1), &all), [first.id()]);
            assert_eq!(recognised(&ours, &known(2), &all), [second.id()]);
            assert_eq!(
                recognised(&ours, &known(2), &later),
                [0; 0],
                "which of two?"
            );
            assert_eq!(recognised(&ours, &known(3), &all), [0; 0]);
            assert_eq!(recognised(&ours, &KnownBy::Nothing, &all), [0; 0]);
            let named = recognised(&ours, &KnownBy::Name("cat".to_owned()), &all);
            assert!(named.contains(&first.id()) && named.contains(&second.id()));
            let strangers = [Listener {
                inode: 1,
                user: ours[0].user + 1,
            }];
            assert_eq!(recognised(&strangers, &known(1), &all), [0; 0]);
            for mut child in [first, second, twin] {
                drop(child.stdin.take());
                child.wait().unwrap();
            }
        }

        #[test]
        fn a_command_line_is_a_program_and_its_arguments() {
            let arguments = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
            let table: [(&[u8], Vec<String>, bool); 6] = [
                (
                    b"python\0main.py\0--port\08188\0",
                    arguments(&["main.py", "--port", "8188"]),
                    true,
                ),
                (b"python\0-s\0main.py\0", arguments(&["main.py"]), true),
                (b"python\0main.py\0\0", arguments(&["main.py", ""]), true),
                (b"python\0other-main.py\0", arguments(&["main.py"]), false),
                (b"main.py\0", arguments(&["main.py"]), false),
                (b"python\0main.py\0", Vec::new(), false),
            ];
            for (line, arguments, expected) in table {
                assert_eq!(ends_with(line, &arguments), expected, "{arguments:?}");
            }
        }

        #[test]
        fn a_listening_socket_is_known_by_its_state_and_port() {
            let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                0: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 4711 1 0 100 0 0 10 0\n   \
                1: 0100007F:2CAA 0100007F:9C40 01 00000000:00000000 00:00000000 00000000   998        0 4712 1 0 20 4 30 10 -1\n   \
                2: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0\n";
            let expected = Listener {
                inode: 4711,
                user: 998,
            };
            assert_eq!(listeners(table, 11_434), [expected]);
            assert_eq!(listeners(table, 8_080), []);
        }

        #[test]
        fn a_process_may_be_called_anything() {
            let read = process(7, "7 (a) b (c)) S 3 7 7 0 -1").unwrap();
            assert_eq!((read.name.as_str(), read.parent), ("a) b (c)", 3));
            assert_eq!(process(7, "nothing"), None);
        }

        #[test]
        fn children_of_children_belong_to_a_server_and_others_do_not() {
            let process = |pid, parent| Process {
                pid,
                parent,
                name: String::new(),
            };
            let all = [process(2, 1), process(3, 2), process(4, 3), process(5, 1)];
            assert_eq!(with_descendants(&[2], &all), [2, 3, 4]);
        }
    }
}
