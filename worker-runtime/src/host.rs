//! The name of this host, for people who look for a worker. The one place here that is particular to a platform.

/// The name of this host.
pub(crate) fn name() -> String {
    read().map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}

#[cfg(target_os = "linux")]
fn read() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/hostname").ok()
}

#[cfg(not(target_os = "linux"))]
fn read() -> Option<String> {
    // Set by Windows for every process, and by most shells elsewhere.
    ["COMPUTERNAME", "HOSTNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok())
}
