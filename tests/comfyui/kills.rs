//! `video-worker` is killed with SIGKILL in the middle of renders, and comes back at once, late, beside a sibling, or to a ComfyUI that
//! has forgotten everything.
//!
//! The moments are drawn from a seed, `CALLSHEET_KILLS_SEED`; `CALLSHEET_KILLS` says how many kills there are where a story says
//! nothing else.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::studio::{LONG, Studio};

/// How long a render takes.
const RENDER: Duration = Duration::from_millis(1_200);
/// A lease that runs out soon.
const SHORT: Duration = Duration::from_secs(1);

/// Moments of renders: xorshift64* (Vigna, 2016), so that a seed tells the same ones for ever.
struct Moments(u64);

impl Moments {
    /// Those of the seed that was given; of the usual one otherwise.
    fn drawn() -> Self {
        let seed = number("CALLSHEET_KILLS_SEED").unwrap_or(20_261_130);
        Self(seed.max(1))
    }

    /// Waits until some moment of a render, or a little beyond its end.
    async fn pass(&mut self) {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let share = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 48) as f64 / 65_536.0;
        sleep(RENDER.mul_f64(1.1 * share)).await;
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// How many kills there are. Twenty in each of the slower stories take minutes, and are for a person to ask for.
fn kills(usual: u64) -> u64 {
    number("CALLSHEET_KILLS").unwrap_or(usual)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_twenty_times_while_it_renders_costs_no_render() -> Result<()> {
    let mut studio = Studio::open(LONG, RENDER).await?;
    let mut moments = Moments::drawn();
    for _ in 0..kills(20) {
        studio.keep_busy().await?;
        studio.a_render_runs().await;
        moments.pass().await;
        studio.stage.painter.kill()?;
        studio.stage.painter.start_again()?;
    }
    studio.all_is_rendered_once().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_comes_back_after_its_lease_has_run_out_finds_its_renders() -> Result<()> {
    let mut studio = Studio::open(SHORT, RENDER).await?;
    let mut moments = Moments::drawn();
    for _ in 0..kills(5) {
        studio.keep_busy().await?;
        studio.a_render_runs().await;
        moments.pass().await;
        studio.stage.painter.kill()?;
        studio.lease_runs_out("painter").await;
        studio.stage.painter.start_again()?;
    }
    studio.all_is_rendered_once().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sibling_at_the_same_server_takes_the_renders_of_a_dead_worker_over() -> Result<()> {
    let mut studio = Studio::open(SHORT, RENDER).await?;
    let mut sibling = studio.stage.another_painter("sibling", [])?;
    studio.is_ready("sibling").await;
    let mut moments = Moments::drawn();
    for _ in 0..kills(5) {
        studio.keep_busy().await?;
        studio.a_render_runs().await;
        moments.pass().await;
        let (victim, name) = match studio.who_renders().await?.as_deref() {
            Some("sibling") => (&mut sibling, "sibling"),
            _ => (&mut studio.stage.painter, "painter"),
        };
        victim.kill()?;
        // The sibling has no notes of these renders, and may have them by now.
        studio.lease_runs_out(name).await;
        let victim = match name {
            "sibling" => &mut sibling,
            _ => &mut studio.stage.painter,
        };
        victim.start_again()?;
    }
    studio.all_is_rendered_once().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clip_that_was_written_before_comfyui_was_restarted_is_collected_by_its_name()
-> Result<()> {
    let mut studio = Studio::open(LONG, RENDER).await?;
    let mut moments = Moments::drawn();
    for _ in 0..kills(5) {
        studio.keep_busy().await?;
        studio.a_render_runs().await;
        moments.pass().await;
        studio.stage.painter.kill()?;
        studio.no_render_runs().await;
        studio.double.start_again();
        studio.stage.painter.start_again()?;
    }
    studio.all_is_rendered_once().await;
    Ok(())
}
