//! Whether the driver's figures of who holds how much can be believed. They often cannot: under Windows and in containers
//! they are missing, zero, or of processes that we cannot know.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::fmt;

use shared::byte_size::ByteSize;

use super::memory::Memory;

/// So much may be in use with nobody listed: what the driver and a screen take.
const IDLE: ByteSize = ByteSize::mib(512);
/// So much may the list exceed what is in use: the two are not read at the same moment.
const SLACK: ByteSize = ByteSize::mib(256);

/// What each listed process holds, by its id; absent where the driver does not tell.
pub(super) type Figures = BTreeMap<u32, Option<ByteSize>>;

/// Why figures are not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Distrust {
    /// The driver does not tell what this process holds.
    NotTold { pid: u32 },
    /// Memory is in use, and nobody is listed with any.
    NobodyHolds { used: ByteSize },
    /// More is listed than is in use.
    TooMuch { listed: ByteSize, used: ByteSize },
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTold { pid } => {
                write!(f, "the driver does not tell what process {pid} holds")
            }
            Self::NobodyHolds { used } => {
                write!(f, "{used} are in use, but no listed process holds any")
            }
            Self::TooMuch { listed, used } => {
                write!(
                    f,
                    "processes are listed with {listed}, but only {used} are in use"
                )
            }
        }
    }
}

/// Adds a process of one list to those of the others. A process can stand in several with the same memory: the larger
/// figure is what it holds at least.
pub(super) fn add(figures: &mut Figures, pid: u32, used: Option<ByteSize>) {
    figures
        .entry(pid)
        .and_modify(|known| *known = known.zip(used).map(|(known, used)| known.max(used)))
        .or_insert(used);
}

/// What each process held all the time between two lists, at least. Who stands in one of them only may have held nothing.
pub(super) fn lower(before: &Figures, after: &Figures) -> Figures {
    let untold = before
        .iter()
        .chain(after)
        .filter(|(_, used)| used.is_none());
    let mut figures: Figures = untold.map(|(pid, _)| (*pid, None)).collect();
    for (pid, before) in before {
        if let (Some(before), Some(Some(after))) = (before, after.get(pid)) {
            figures.entry(*pid).or_insert(Some(*before.min(after)));
        }
    }
    figures
}

/// The figures, if they can be believed.
pub(super) fn believed(
    figures: &Figures,
    memory: &Memory,
) -> Result<Vec<(u32, ByteSize)>, Distrust> {
    let told: Vec<(u32, ByteSize)> = figures
        .iter()
        .map(|(pid, used)| match used {
            Some(used) => Ok((*pid, *used)),
            None => Err(Distrust::NotTold { pid: *pid }),
        })
        .collect::<Result<_, _>>()?;
    let used = memory.used;
    let listed = told
        .iter()
        .fold(0_u64, |sum, (_, held)| sum.saturating_add(held.as_bytes()));
    // Some drivers count what they reserve as used, some do not.
    let idle = sum(memory.reserved, IDLE);
    if listed == 0 && used > idle {
        return Err(Distrust::NobodyHolds { used });
    }
    let listed = ByteSize::bytes(listed);
    if listed > sum(used, SLACK) {
        return Err(Distrust::TooMuch { listed, used });
    }
    Ok(told)
}

fn sum(one: ByteSize, other: ByteSize) -> ByteSize {
    ByteSize::bytes(one.as_bytes().saturating_add(other.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen: the figures, what is in use in MiB; and what is believed of it.
    type Row = (
        &'static str,
        Figures,
        u64,
        Result<Vec<(u32, ByteSize)>, Distrust>,
    );

    const COMFY: u32 = 41;
    const OLLAMA: u32 = 42;

    fn figures<const N: usize>(of: [(u32, Option<u64>); N]) -> Figures {
        of.into_iter()
            .map(|(pid, mib)| (pid, mib.map(ByteSize::mib)))
            .collect()
    }

    fn memory(used_mib: u64) -> Memory {
        Memory {
            total: ByteSize::gib(24),
            reserved: ByteSize::mib(400),
            used: ByteSize::mib(used_mib),
            free: ByteSize::mib(24_576 - 400 - used_mib),
        }
    }

    #[test]
    fn figures_are_believed_only_if_nothing_speaks_against_them() {
        use Distrust::*;
        let mib = ByteSize::mib;
        let both = [(COMFY, Some(18_000)), (OLLAMA, Some(4_000))];
        let told = |of: &[(u32, u64)]| {
            let of = of.iter().map(|(pid, held)| (*pid, mib(*held)));
            Ok(of.collect())
        };
        let table: [Row; 11] = [
            ("an idle card", figures([]), 0, told(&[])),
            ("what a screen takes", figures([]), 900, told(&[])),
            (
                "hidden by a container",
                figures([]),
                913,
                Err(NobodyHolds { used: mib(913) }),
            ),
            (
                "all as it should be",
                figures(both),
                22_300,
                told(&[(COMFY, 18_000), (OLLAMA, 4_000)]),
            ),
            (
                "more in use than listed",
                figures(both),
                24_000,
                told(&[(COMFY, 18_000), (OLLAMA, 4_000)]),
            ),
            (
                "a little more listed",
                figures(both),
                21_744,
                told(&[(COMFY, 18_000), (OLLAMA, 4_000)]),
            ),
            (
                "much more listed",
                figures(both),
                21_743,
                Err(TooMuch {
                    listed: mib(22_000),
                    used: mib(21_743),
                }),
            ),
            (
                "Windows",
                figures([(COMFY, None)]),
                18_000,
                Err(NotTold { pid: COMFY }),
            ),
            (
                "one that is not told",
                figures([(COMFY, None), (OLLAMA, Some(1))]),
                18_000,
                Err(NotTold { pid: COMFY }),
            ),
            (
                "all zero",
                figures([(COMFY, Some(0)), (OLLAMA, Some(0))]),
                18_000,
                Err(NobodyHolds { used: mib(18_000) }),
            ),
            (
                "one zero",
                figures([(COMFY, Some(9_000)), (OLLAMA, Some(0))]),
                9_000,
                told(&[(COMFY, 9_000), (OLLAMA, 0)]),
            ),
        ];
        for (name, figures, used, expected) in table {
            assert_eq!(believed(&figures, &memory(used)), expected, "{name}");
        }
    }

    #[test]
    fn a_process_in_two_lists_holds_the_larger_figure() {
        let mut both = figures([(COMFY, Some(5))]);
        add(&mut both, COMFY, Some(ByteSize::mib(7)));
        add(&mut both, OLLAMA, Some(ByteSize::mib(1)));
        assert_eq!(both, figures([(COMFY, Some(7)), (OLLAMA, Some(1))]));
        add(&mut both, COMFY, None);
        assert_eq!(both, figures([(COMFY, None), (OLLAMA, Some(1))]));
    }

    #[test]
    fn of_two_lists_the_lower_figure_counts() {
        let table = [
            (
                "grew",
                figures([(COMFY, Some(2))]),
                figures([(COMFY, Some(9))]),
                figures([(COMFY, Some(2))]),
            ),
            (
                "shrank",
                figures([(COMFY, Some(9))]),
                figures([(COMFY, Some(2))]),
                figures([(COMFY, Some(2))]),
            ),
            (
                "came",
                figures([]),
                figures([(COMFY, Some(2))]),
                figures([]),
            ),
            (
                "went",
                figures([(COMFY, Some(2))]),
                figures([]),
                figures([]),
            ),
            (
                "not told at first",
                figures([(COMFY, None)]),
                figures([(COMFY, Some(2))]),
                figures([(COMFY, None)]),
            ),
            (
                "not told any more",
                figures([(COMFY, Some(2))]),
                figures([(COMFY, None)]),
                figures([(COMFY, None)]),
            ),
            (
                "came untold",
                figures([]),
                figures([(COMFY, None)]),
                figures([(COMFY, None)]),
            ),
        ];
        for (name, before, after, expected) in table {
            assert_eq!(lower(&before, &after), expected, "{name}");
        }
    }
}
