//! All that differs from platform to platform: how missing programs are installed, and how a program takes our place.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Failure, Outcome};

/// Something that must be installed.
pub(crate) struct Program {
    /// Debian's package of it.
    package: &'static str,
    /// How to get it where there is no apt.
    elsewhere: &'static str,
    is_there: fn() -> bool,
}

/// Encodes clips and films.
pub(crate) const FFMPEG: Program = Program {
    package: "ffmpeg",
    elsewhere: "ffmpeg 4.4 or newer with libx264, on the PATH (macOS: `brew install ffmpeg`; Windows: `winget install \
                Gyan.FFmpeg`; Fedora: `dnf install ffmpeg`; Arch: `pacman -S ffmpeg`)",
    is_there: || runs("ffmpeg", &["-version"]) && runs("ffprobe", &["-version"]),
};

/// The broker that stories are told over.
pub(crate) const RABBITMQ: Program = Program {
    package: "rabbitmq-server",
    elsewhere: "RabbitMQ 3.10 or newer, as Debian or Ubuntu package it: the tests start servers of their own from \
                /usr/lib/rabbitmq and are known to run there only",
    is_there: || Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").exists(),
};

/// Makes the certificates of the tests.
pub(crate) const OPENSSL: Program = Program {
    package: "openssl",
    elsewhere: "OpenSSL 3.0 or newer, on the PATH (macOS: `brew install openssl`)",
    is_there: || runs("openssl", &["version"]),
};

/// Copies a database that is in use, as the operations guide says.
pub(crate) const SQLITE: Program = Program {
    package: "sqlite3",
    elsewhere: "the command `sqlite3`, 3.27 or newer, on the PATH (macOS has it; Windows: `winget install SQLite.SQLite`)",
    is_there: || runs("sqlite3", &["-version"]),
};

/// Python's AMQP client, with which the tests run the example of another language.
pub(crate) const PIKA: Program = Program {
    package: "python3-pika",
    elsewhere: "Python 3 with pika (`python3 -m pip install pika`, and by /usr/bin/python3 if there is one)",
    is_there: || runs(python(), &["-c", "import pika"]),
};

/// Lays cables between network namespaces, which stand for hosts in a test. Elsewhere than on Linux there are none.
pub(crate) const IPROUTE2: Program = Program {
    package: "iproute2",
    elsewhere: "iproute2, on the PATH",
    is_there: || !cfg!(target_os = "linux") || runs("ip", &["-V"]),
};

/// Makes a small Debian out of its packages.
pub(crate) const DEBOOTSTRAP: Program = Program {
    package: "debootstrap",
    elsewhere: "debootstrap, or a Docker engine that can pull images",
    is_there: || runs("debootstrap", &["--version"]),
};

/// Scrapes all programs in a story, and with promtool looks for faults in metrics and alerts.
pub(crate) const PROMETHEUS: Program = Program {
    package: "prometheus",
    elsewhere: "Prometheus 2.40 or newer with promtool, on the PATH (macOS: `brew install prometheus`)",
    is_there: || runs("prometheus", &["--version"]) && runs("promtool", &["--version"]),
};

/// Python with what makes folders of its packages.
pub(crate) const PYTHON: Program = Program {
    package: "python3-venv",
    elsewhere: "Python 3.10 or newer with venv and pip, on the PATH (macOS: `brew install python`; Windows: `winget install \
                Python.Python.3.13`)",
    is_there: || runs(python3(), &["-c", "import venv, ensurepip"]),
};

/// Where Python lies in a folder of its packages.
pub(crate) const PYTHON_IN_VENV: &str = if cfg!(windows) {
    "Scripts/python.exe"
} else {
    "bin/python"
};

/// Python as it is called here.
pub(crate) const fn python3() -> &'static str {
    if cfg!(windows) { "python" } else { "python3" }
}

/// The interpreter that the tests use, by their rule: the distribution's own, which need not be the first one on the PATH, as
/// it is the one that the package manager gives pika to.
fn python() -> &'static str {
    let own = "/usr/bin/python3";
    if Path::new(own).exists() {
        own
    } else {
        "python3"
    }
}

/// Installs what is missing with apt on Debian and Ubuntu. Elsewhere says what to install.
pub(crate) fn need(programs: &[Program]) -> Outcome {
    let missing = || programs.iter().filter(|program| !(program.is_there)());
    let packages: Vec<&str> = missing().map(|program| program.package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    if !runs("apt-get", &["--version"]) {
        let list: String = missing()
            .map(|program| format!("\n  {}", program.elsewhere))
            .collect();
        return Err(Failure::Said(format!(
            "please install this, then run the task again:{list}"
        )));
    }
    install(&packages)?;
    match missing().next() {
        None => Ok(()),
        Some(program) => Err(Failure::Said(format!(
            "the package {} was installed, but it does not work; what is needed: {}",
            program.package, program.elsewhere
        ))),
    }
}

fn install(packages: &[&str]) -> Outcome {
    let list = packages.join(" ");
    println!("Installing with apt: {list}");
    if !is_root() && !runs("sudo", &["--version"]) {
        let message =
            format!("neither root nor sudo: have an administrator run `apt-get install {list}`");
        return Err(Failure::Said(message));
    }
    let mut script = as_root("sh");
    script
        .args(["-c", include_str!("apt-install.sh"), "apt-install"])
        .args(packages);
    match script.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::Said(format!(
            "apt could not install {list}; its reason is above. Once that is mended, run the task again"
        ))),
        Err(error) => Err(Failure::Said(format!("cannot run apt-get: {error}"))),
    }
}

/// A call of a program as root, by sudo if we are not.
pub(crate) fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    println!("(sudo may ask for your password)");
    let mut sudo = Command::new("sudo");
    sudo.arg(program);
    sudo
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Whether a program is there and ends well when it is called like this.
pub(crate) fn runs(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Lets a program take the place of this one, so that Ctrl-C and the exit code are between it and the terminal.
#[cfg(unix)]
pub(crate) fn hand_over(command: &mut Command) -> Outcome {
    use std::os::unix::process::CommandExt;

    let error = command.exec();
    Err(Failure::Said(format!(
        "cannot run {}: {error}",
        crate::shown(command)
    )))
}

/// Where no program can take the place of another, this one waits for it. Ctrl-C reaches both.
#[cfg(not(unix))]
pub(crate) fn hand_over(command: &mut Command) -> Outcome {
    crate::run(command)
}
