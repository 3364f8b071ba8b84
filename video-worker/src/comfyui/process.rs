//! Which process a server on this machine is, so that the card's own list tells what it holds (Linux; nothing elsewhere).

/// The processes that listen on that port of this machine, as far as they may be looked at. Blocks for some milliseconds.
#[cfg(target_os = "linux")]
pub(super) fn listening_on(port: u16) -> Vec<u32> {
    let inodes = linux::inodes(port);
    match inodes.is_empty() {
        true => Vec::new(),
        false => linux::holders(&inodes),
    }
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
pub(super) fn listening_on(_port: u16) -> Vec<u32> {
    Vec::new()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    /// The state of a socket that listens, as the kernel writes it.
    const LISTENS: &str = "0A";

    /// The sockets that listen on that port.
    pub(super) fn inodes(port: u16) -> Vec<String> {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
        let lines = tables
            .iter()
            .filter_map(|table| fs::read_to_string(table).ok());
        let lines: Vec<_> = lines
            .flat_map(|table| table.lines().map(of_line).collect::<Vec<_>>())
            .collect();
        let ours = lines.into_iter().flatten();
        ours.filter(|(found, _)| *found == port)
            .map(|(_, inode)| inode)
            .collect()
    }

    /// Port and inode of a socket that listens.
    fn of_line(line: &str) -> Option<(u16, String)> {
        let mut fields = line.split_whitespace();
        let (_, port) = fields.nth(1)?.split_once(':')?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (state == LISTENS).then(|| (port, inode.to_owned()))
    }

    /// The processes that have one of these sockets open.
    pub(super) fn holders(inodes: &[String]) -> Vec<u32> {
        let wanted: Vec<_> = inodes
            .iter()
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| {
            let files = fs::read_dir(format!("/proc/{pid}/fd"))
                .into_iter()
                .flatten()
                .flatten();
            let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
            targets.any(|target| wanted.iter().any(|socket| target.to_str() == Some(socket)))
        })
        .collect()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_process_behind_a_port_is_found_and_none_behind_a_free_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listening_on(port), [std::process::id()]);
        drop(listener);
        assert!(listening_on(port).is_empty());
    }
}
