//! How conflicts grow with the fill.
//!
//! While a run goes on, the API server's counters are read whenever the pool has reached another
//! degree of fill. Reading them takes the server some tens of milliseconds, so rates of such a run are
//! not quoted.

use crate::fault::Fault;
use crate::gauge::Gauge;
use crate::scene::Scene;
use crate::stage::Stage;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Degrees of fill in percent.
const DEGREES: [u32; 12] = [10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 100];

/// Reads along until the pool is as full as it comes or the time is over; gives for each degree how many
/// were served and how many conflicts there had been. Nothing at all when nobody `wants` it.
///
/// # Errors
/// When a program does not answer.
pub(crate) async fn follow(
    stage: &Stage,
    served: &Arc<AtomicU32>,
    wants: bool,
) -> Result<Vec<(u32, f64)>, Fault> {
    if !wants {
        return Ok(Vec::new());
    }
    let scene = &stage.scene;
    let before = Gauge::read(&stage.cluster).await?;
    let mut points = Vec::new();
    let began = std::time::Instant::now();
    for degree in DEGREES {
        let wanted = scene.size() / 100 * degree + scene.size() % 100 * degree / 100;
        if wanted > scene.requests {
            break;
        }
        while served.load(Ordering::Relaxed) < wanted {
            if began.elapsed() > scene.limit {
                return Ok(points);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let now = Gauge::read(&stage.cluster).await?;
        points.push((served.load(Ordering::Relaxed), now.since(&before).conflicts()));
    }
    Ok(points)
}

/// The curve as text: up to which fill, how many conflicts for each success since the point before and
/// since the beginning.
pub(crate) fn text(scene: &Scene, points: &[(u32, f64)]) -> String {
    let mut text = format!("  {} agents, {}:", scene.agents, scene.layout.name());
    let (mut served, mut conflicts) = (0, 0.0);
    for (now, all) in points {
        let percent = f64::from(*now) * 100.0 / f64::from(scene.size());
        let step = (all - conflicts) / f64::from((now - served).max(1));
        let _ = write!(text, " {percent:.0} %: {step:.3} ({:.3});", all / f64::from(*now));
        (served, conflicts) = (*now, *all);
    }
    text
}
