//! A workflow for a double of ComfyUI, which needs a card.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use shared::byte_size::ByteSize;

/// The models that it names, by folder.
pub const MODELS: [(&str, &str); 3] = [
    ("diffusion_models", "moving.safetensors"),
    ("text_encoders", "words.safetensors"),
    ("vae", "pixels.safetensors"),
];

/// What a render needs.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// Of the card, for what is loaded.
    pub load: ByteSize,
    /// Of the card, while it renders.
    pub peak: ByteSize,
    /// Of the host.
    pub ram: ByteSize,
}

/// Writes that of the stories about ComfyUI into a folder, under a name and for servers with a card.
///
/// # Errors
/// If it cannot be written.
pub fn write(folder: &Path, name: &str, needs: Needs) -> Result<()> {
    const GRAPH: &str = include_str!("../comfyui/workflows/moving.json");
    const MANIFEST: &str = include_str!("../comfyui/workflows/moving.toml");
    let mib = |size: ByteSize| size.as_bytes() >> 20;
    let (head, tail) = MANIFEST.split_once("[memory]\n").context("its memory")?;
    let (_, tail) = tail.split_once("ram_mib = 100\n").context("the host's")?;
    let (load, peak, ram) = (mib(needs.load), mib(needs.peak), mib(needs.ram));
    let memory =
        format!("load_mib = {load}\npeak_mib = {peak}\nspike_mib = {peak}\nram_mib = {ram}\n");
    fs::write(folder.join(format!("{name}.json")), GRAPH)?;
    let manifest = format!("{head}[memory]\n{memory}{tail}");
    Ok(fs::write(folder.join(format!("{name}.toml")), manifest)?)
}
