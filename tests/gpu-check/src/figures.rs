//! Whether the figures of a device fit together.
#![expect(
    clippy::print_stdout,
    reason = "a program of the command line speaks to its user"
)]

use shared::byte_size::ByteSize;
use worker_runtime::gpu::probe::nvml::{MemoryCall, NvmlProbe};
use worker_runtime::gpu::probe::{GpuProbe, Memory};
use worker_runtime::gpu::reading::{DeviceUuid, Holders};

/// Shows the memory as each call tells it, and what processes hold against what is in use.
pub(crate) fn compare(probe: &NvmlProbe, uuid: &DeviceUuid) {
    for call in [MemoryCall::V1, MemoryCall::V2] {
        match probe.memory_by(uuid, call) {
            Ok(memory) => println!("  memory by {call:?}: {}", identity(&memory)),
            Err(fault) => println!("  memory by {call:?}: {fault}"),
        }
    }
    let reading = probe.reading(uuid);
    println!("  health: {:?}", reading.health);
    match reading.holders {
        Holders::Unknown(why) => println!("  who holds it is not known: {why}"),
        Holders::Known(holders) => {
            let listed = holders.iter().map(|holder| holder.used.as_bytes()).sum();
            println!(
                "  processes: {}, holding {}, while {} are in use: {} apart",
                holders.len(),
                ByteSize::bytes(listed),
                reading.used,
                apart(listed, reading.used.as_bytes())
            );
            for holder in holders {
                let program = holder.program.as_deref().unwrap_or("?");
                println!("    {} ({program}): {}", holder.pid, holder.used);
            }
        }
    }
}

/// The figures, and whether the total is the sum of the others.
fn identity(memory: &Memory) -> String {
    let Memory {
        total,
        reserved,
        used,
        free,
    } = memory;
    let parts = [reserved, used, free].map(|part| part.as_bytes());
    let off = apart(parts.iter().sum(), total.as_bytes());
    format!(
        "total {total}, free {free}, used {used}, reserved {reserved}; free + used + reserved: {off} apart"
    )
}

fn apart(sum: u64, whole: u64) -> String {
    match sum.abs_diff(whole) {
        0 => "0 B".to_owned(),
        off if sum > whole => format!("+{}", ByteSize::bytes(off)),
        off => format!("-{}", ByteSize::bytes(off)),
    }
}
