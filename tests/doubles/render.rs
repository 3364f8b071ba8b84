//! A double of ComfyUI as a process of its own: `render-double SETTINGS`. See the crate `comfyui-double`.

use std::io;

fn main() -> io::Result<()> {
    let settings = std::env::args().nth(1).unwrap_or_default();
    comfyui_double::process::serve(&settings)
}
