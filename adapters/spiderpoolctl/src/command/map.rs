//! `map`: a picture of a pool's use in the terminal.

use crate::command::get::{find, tally};
use crate::copy::incomplete;
use crate::definition::Kind;
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::picture::{Ink, Picture, Share, extent};
use crate::session::Session;
use clap::Args;
use ipnet::IpNet;
use serde::Serialize;
use spiderpool_core::address::Range;
use spiderpool_core::name::Name;
use spiderpool_core::view::{PoolEntry, Tally};

/// Draw a pool's use: a cell for each address, or for an equal share of many
///
/// Up to 256 addresses are drawn one by one, sixteen to a row; more are divided into a grid whose
/// cells are shaded by how much of them is in use. The picture covers the smallest aligned run that
/// holds the pool; --zoom looks at a part.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl map blue\n  \
       spiderpoolctl map blue --zoom 10.6.4.0/24\n  \
       spiderpoolctl map backbone --width 120 --ascii"
))]
pub(crate) struct Map {
    /// The pool
    pool: String,
    /// Columns of the terminal, 40 to 200
    #[arg(long, default_value_t = 80, value_name = "N", value_parser = clap::value_parser!(u16).range(40..=200))]
    width: u16,
    /// Only characters of ASCII
    #[arg(long)]
    ascii: bool,
    /// Only this prefix
    #[arg(long, value_name = "PREFIX")]
    zoom: Option<IpNet>,
}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
struct Mapped {
    pool: Name,
    counts: Tally,
    cells: Vec<Share>,
}

impl Map {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let view = session.view()?;
        find(&view, Kind::Pool, &self.pool)?;
        let entry = view.pool(&self.pool).map_err(|need| incomplete(&need))?;
        let Some(entry) = entry else { return Ok(Exit::Done) };
        let counts = tally(&view, &self.pool)?;
        let picture = Picture::of(&view, entry, self.extent(entry)?, self.width.into());
        let mapped = Mapped { pool: entry.pool.name().clone(), counts, cells: picture.shares() };
        let ink = if self.ascii { Ink::Ascii } else { Ink::Unicode };
        session.show(&mapped, || {
            format!(
                "pool {} in {}: {counts}\n{}",
                mapped.pool,
                entry.pool.prefix(),
                picture.print(ink)
            )
        })?;
        Ok(Exit::Done)
    }

    /// The run of numbers to draw: that of the pool, or that of --zoom.
    fn extent(&self, entry: &PoolEntry) -> Result<(u128, u32), Failure> {
        let Some(zoom) = self.zoom else {
            return extent(&entry.pool.usable()).ok_or_else(|| {
                Failure::bad(format!("pool {} has no addresses to draw", self.pool))
                    .try_this("add some to `ips`, or look at a prefix with --zoom")
            });
        };
        let (range, prefix) = (Range::of_prefix(zoom), entry.pool.prefix());
        if range.overlap(Range::of_prefix(prefix)).is_none() {
            let what = format!("{zoom} has nothing in common with {prefix} of pool {}", self.pool);
            return Err(Failure::bad(what));
        }
        let host_bits = zoom.max_prefix_len().saturating_sub(zoom.prefix_len());
        let length = u32::from(host_bits).max(4);
        let mask = 1_u128.checked_shl(length).map_or(u128::MAX, |size| size - 1);
        Ok((range.ends().0 & !mask, length))
    }
}
