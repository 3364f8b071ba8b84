//! Hosts that are hosts as far as their network goes: each has a namespace of the kernel for it, with a name, an address, and a cable to
//! the switch, which is the network of this process.

use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use support::place::Place;

use crate::apart;

/// What holds all cables.
const SWITCH: &str = "switch";
/// Bits of an address that all hosts share.
const PREFIX: u8 = 24;

/// The switch. The process is on its network, too, as any host would be.
pub(crate) struct Network {
    folder: PathBuf,
    hosts: u8,
}

/// A host. Its network is gone when this is dropped and all is gone that runs there.
pub(crate) struct Host {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    /// Its end of the cable at the switch.
    port: String,
    /// Keeps the namespaces, and does nothing else. It ends with its input, so with us, however we end.
    keeper: Child,
    leash: Option<ChildStdin>,
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 74, 20, number)
}

fn ip(words: &str) -> Result<()> {
    done(Command::new("ip").args(words.split(' ')))
}

fn done(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {complaint}");
    Ok(())
}

impl Network {
    /// Lays the network of this process, which must have one of its own.
    pub(crate) fn lay(folder: &Path) -> Result<Self> {
        apart::note(folder, std::process::id())?;
        ip("link set lo up")?;
        ip(&format!("link add {SWITCH} type bridge"))?;
        ip(&format!("address add {}/{PREFIX} dev {SWITCH}", address(1)))?;
        ip(&format!("link set {SWITCH} up"))?;
        Ok(Self {
            folder: folder.to_owned(),
            hosts: 1,
        })
    }

    /// Plugs in another host.
    pub(crate) fn host(&mut self, name: &'static str) -> Result<Host> {
        const KEEP: &str = r#"hostname "$1" && echo there && exec cat"#;
        let mut keeper = Command::new("unshare")
            .args(["--net", "--uts", "sh", "-c", KEEP, "keeper", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (leash, pid) = (keeper.stdin.take(), keeper.id());
        let mut there = String::new();
        let says = keeper.stdout.take().context("its output")?;
        BufReader::new(says).read_line(&mut there)?;
        ensure!(there == "there\n", "there is no host {name}");
        apart::note(&self.folder, pid)?;

        self.hosts += 1;
        let (port, address) = (format!("to-{name}"), address(self.hosts));
        ip(&format!(
            "link add {port} type veth peer name eth0 netns {pid}"
        ))?;
        ip(&format!("link set {port} master {SWITCH} up"))?;
        let namespace = |kind: &str| format!("--{kind}=/proc/{pid}/ns/{kind}");
        let enter = ["nsenter".to_owned(), namespace("net"), namespace("uts")];
        let place = Place::at(address, enter.map(Into::into).into());
        for words in [
            "link set lo up".to_owned(),
            format!("address add {address}/{PREFIX} dev eth0"),
            "link set eth0 up".to_owned(),
        ] {
            done(place.command("ip").args(words.split(' ')))?;
        }
        Ok(Host {
            name,
            place,
            port,
            keeper,
            leash,
        })
    }
}

impl Host {
    /// Pulls its cable. Nobody is told: what was sent is lost, and connections stay open at both ends.
    pub(crate) fn unplug(&self) -> Result<()> {
        ip(&format!("link set {} down", self.port))
    }

    /// Plugs it in again.
    pub(crate) fn plug_in(&self) -> Result<()> {
        ip(&format!("link set {} up", self.port))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.leash.take());
        let _ = self.keeper.wait();
    }
}
