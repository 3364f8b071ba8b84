//! Verdicts as people read them: one plain line with the numbers.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::fmt;
use std::time::Duration;

use super::verdict::{Foreign, Impossible, NeverFits, Promise, Shortfall, Verdict, Victim, Waits};

/// Foreign processes that are named; the rest is small.
const NAMED: usize = 3;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admit { ceiling, threads } => {
                write!(f, "may begin")?;
                if ceiling.as_bytes() > 0 {
                    write!(f, " and hold up to {ceiling}")?;
                }
                match threads {
                    Some(threads) => write!(f, ", on at most {threads} threads"),
                    None => Ok(()),
                }
            }
            Self::EvictFirst {
                victims,
                target_free,
                short,
            } => {
                write!(f, "{short}; asks ")?;
                list(f, victims, ", ")?;
                write!(f, " to leave until {target_free} are free")
            }
            Self::Wait { reason } => reason.fmt(f),
            Self::Never { reason } => reason.fmt(f),
        }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.model {
            Some(model) => write!(f, "{} ({}, {})", model.profile, self.backend, model.size),
            None => write!(f, "everything on {}", self.backend),
        }
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedUnknown => write!(
                f,
                "nobody knows how much memory it needs: give its profile load, peak and spike"
            ),
            Self::NoReading => write!(f, "the card cannot be read"),
            Self::ImpossibleReading(what) => write!(f, "the reading cannot be right: {what}"),
            Self::StaleReading { age, limit } => write!(
                f,
                "the last reading is {} old, and older than {} counts for nothing",
                Short(*age),
                Short(*limit)
            ),
            Self::OlderThanRelease { age, released } => write!(
                f,
                "the last reading is {} old, from before a job ended {} ago",
                Short(*age),
                Short(*released)
            ),
            Self::Unsettled(why) => write!(f, "the card should be given nothing new: {why}"),
            Self::Down(why) => write!(f, "the card cannot be used: {why}"),
            Self::BooksUnreadable(files) => write!(
                f,
                "what was promised cannot be read from {}: remove it once no worker and no backend runs",
                files.join(", ")
            ),
            Self::NoHostReading => write!(f, "the host's memory cannot be read"),
            Self::Ram {
                need,
                available,
                promised,
            } => {
                write!(f, "needs {need} of host memory, {available} available")?;
                match promised.as_bytes() {
                    0 => Ok(()),
                    _ => write!(f, ", {promised} promised to other jobs"),
                }
            }
            Self::Processors { idle, wanted } => {
                match idle {
                    Some(idle) => write!(f, "{:.0} % of the processors idle", idle * 100.0)?,
                    None => write!(f, "how busy the processors are is not known yet")?,
                }
                write!(
                    f,
                    ", {:.0} % wanted beside a running video job",
                    wanted * 100.0
                )
            }
            Self::Behind {
                ahead,
                head,
                head_waited,
            } => write!(
                f,
                "{ahead} before it; job {head} is first and has waited {}",
                Short(*head_waited)
            ),
            Self::Promised(short) => short.fmt(f),
            Self::Foreign(short) => match short.foreign.is_empty() {
                false => short.fmt(f),
                true => write!(f, "{short}; programs that are none of ours hold the rest"),
            },
            Self::TooYoung {
                short,
                profile,
                left,
            } => write!(
                f,
                "{short}; {profile} was loaded only just and may leave in {}",
                Short(*left)
            ),
            Self::ReclaimFailed(short) => write!(
                f,
                "{short}; what was asked to leave has not given enough back"
            ),
        }
    }
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory => write!(f, "no memory at all"),
            Self::FreeAboveTotal { free, total } => write!(f, "{free} free of {total}"),
            Self::ReservedAboveTotal { reserved, total } => {
                write!(f, "{reserved} kept by the driver of {total}")
            }
            Self::RamAboveTotal { available, total } => {
                write!(f, "{available} of host memory available of {total}")
            }
            Self::IdleShare(share) => write!(f, "an idle share of {share}"),
        }
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "needs {}, {} free", self.need, self.free)?;
        for promise in &self.promised {
            write!(f, ", {promise}")?;
        }
        write!(f, ": {} short", self.missing)?;
        if !self.foreign.is_empty() {
            write!(f, "; ")?;
            list(f, &self.foreign[..self.foreign.len().min(NAMED)], ", ")?;
        }
        Ok(())
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.amount.as_bytes() {
            0 => write!(f, "job {} runs on {}", self.job, self.backend)?,
            _ => write!(f, "{} promised to job {}", self.amount, self.job)?,
        }
        match self.orphaned {
            true => write!(f, " (its worker is gone)"),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.program {
            Some(program) => write!(f, "{program} (pid {}) holds {}", self.pid, self.used),
            None => write!(f, "pid {} holds {}", self.pid, self.used),
        }
    }
}

impl fmt::Display for NeverFits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device { need, usable } => {
                write!(f, "needs {need}, and this card has {usable} for it at most")
            }
            Self::Host { need, total } => {
                write!(f, "needs {need} of host memory, and this host has {total}")
            }
        }
    }
}

/// A duration in the unit that people would say.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            millis @ 0..1_000 => write!(f, "{millis} ms"),
            millis @ 1_000..120_000 => write!(f, "{} s", millis / 1_000),
            millis => write!(f, "{} min", millis / 60_000),
        }
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T], between: &str) -> fmt::Result {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            f.write_str(between)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}
