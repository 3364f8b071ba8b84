//! What docs/operations.md has people type.

use anyhow::{Context, Result, ensure};

const PAGE: &str = include_str!("../../docs/operations.md");
/// What it says of plain machines.
const SECTION: &str = "\n## Three hosts with binaries and systemd\n";
/// The first host's address there.
const ADDRESS: &str = "192.168.1.10";

/// Its blocks, in order.
pub(crate) struct Steps {
    /// Builds the program and installs everything.
    pub(crate) install: String,
    /// Makes the secrets, and sets RabbitMQ up.
    pub(crate) broker: String,
    /// Settings of the first host.
    pub(crate) settings: String,
    /// Starts its services.
    pub(crate) start: String,
    /// Asks who works there.
    pub(crate) ask: String,
    /// Packs the secrets of a further host, on the first one.
    pub(crate) pack: String,
    /// Unpacks them there.
    pub(crate) unpack: String,
    /// Settings of a further host.
    pub(crate) further_settings: String,
    /// Starts the services there.
    pub(crate) further_start: String,
}

impl Steps {
    /// Reads them, for a first host at that address.
    pub(crate) fn read(address: &str) -> Result<Self> {
        let (_, after) = PAGE
            .split_once(SECTION)
            .context("the page has its section")?;
        let section = after.split("\n## ").next().unwrap_or_default();
        let blocks: [String; 8] = blocks(&section.replace(ADDRESS, address))
            .try_into()
            .map_err(|blocks| anyhow::anyhow!("the page has other blocks: {blocks:#?}"))?;
        let [
            install,
            broker,
            settings,
            start,
            ask,
            secrets,
            further_settings,
            further_start,
        ] = blocks;
        let (pack, unpack) = secrets
            .split_once("| ssh root@studio-2 '")
            .context("secrets go there by ssh")?;
        let unpack = unpack.trim_end().strip_suffix('\'');
        Ok(Self {
            install: without(&install, "cargo build")?,
            broker,
            settings,
            start,
            ask,
            pack: pack.to_owned(),
            unpack: unpack.context("what is done there")?.to_owned(),
            further_settings,
            further_start,
        })
    }
}

/// Lines that are indented, as far as they follow each other.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        let block = blocks.last_mut().expect("there is one");
        match line.strip_prefix("    ") {
            Some(line) => block.push_str(&format!("{line}\n")),
            // Within a block.
            None if line.is_empty() && !block.is_empty() => block.push('\n'),
            None if !block.is_empty() => blocks.push(String::new()),
            None => {}
        }
    }
    blocks.retain(|block| !block.trim().is_empty());
    blocks
}

/// All lines but the one that begins like this, which has been done.
fn without(block: &str, beginning: &str) -> Result<String> {
    let lines = block.lines().filter(|line| !line.starts_with(beginning));
    let rest: String = lines.map(|line| format!("{line}\n")).collect();
    ensure!(rest.len() < block.len(), "nothing begins with {beginning}");
    Ok(rest)
}
