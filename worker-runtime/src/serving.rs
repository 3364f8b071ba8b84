//! Which processes serve an address of this host: the driver tells who holds memory by process, settings name servers by URL.
//!
//! Only where the system tells it in files (Linux). Elsewhere nothing is known, which is an answer that everybody must live
//! with: in containers it is the usual one.

/// The processes of the server that listens on that port of this host, and all that they have started; none if that cannot be
/// told. Reads some hundred small files: not for an asynchronous task.
///
/// `program` is what the server's process is called, as `ollama`. It is needed only if the server runs as another user, as
/// then nobody but the administrator sees which process has the port open.
pub fn processes_of(port: u16, program: &str) -> Vec<u32> {
    #[cfg(target_os = "linux")]
    {
        linux::processes_of(port, program)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (port, program);
        Vec::new()
    }
}

/// Whether all these processes are still there, as far as that can be told.
pub fn are_there(pids: &[u32]) -> bool {
    if cfg!(target_os = "linux") {
        let is_there = |pid: &u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
        return pids.iter().all(is_there);
    }
    true
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::{Path, PathBuf};

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

    pub(super) fn processes_of(port: u16, program: &str) -> Vec<u32> {
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
        if roots.is_empty() && !program.is_empty() {
            let of_its_user = |process: &&Process| {
                let user = fs::metadata(folder(process.pid)).map(|it| it.uid());
                user.is_ok_and(|user| listeners.iter().any(|it| it.user == user))
            };
            let named = all.iter().filter(|process| process.name == program);
            roots = named.filter(of_its_user).map(|it| it.pid).collect();
        }
        with_descendants(&roots, &all)
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
            let found = processes_of(port, "");
            let (me, its) = (std::process::id(), child.id());
            drop(child.stdin.take());
            child.wait().unwrap();
            assert!(found.contains(&me) && found.contains(&its), "{found:?}");
            drop(listener);
            assert_eq!(processes_of(port, ""), Vec::<u32>::new());
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
