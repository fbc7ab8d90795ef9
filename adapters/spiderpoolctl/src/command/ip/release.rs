//! `ip release`: ends one allocation by hand, at the generation that was seen.

use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::listing::{DEFAULT_SPACE, State, parse_name, parse_place, row_of};
use crate::session::Session;
use clap::Args;
use spiderpool_core::command::{Answer, Claim, Command, Place, Reclaim, Standing};
use spiderpool_core::event::Ending;
use spiderpool_store::Extra;

/// Give one address back although its pod has not
#[derive(Debug, Args)]
#[command(
    long_about = "Give one address back although its pod has not.\n\nThe pod keeps using it until it goes: do this only when the pod is gone for good. The allocation is ended at the generation that was looked at, so that an address which has passed on in the meantime stays with its new holder. On a cluster, the address of a pod that lives is only given back with --yes.",
    after_long_help = after!(
        "  spiderpoolctl ip release 10.1.2.3\n  \
           spiderpoolctl ip release 10.1.2.3 --generation 7 --yes\n  \
           spiderpoolctl ip release 10.1.2.4 --static"
    )
)]
pub(crate) struct Release {
    /// The address
    address: String,
    /// Its address space
    #[arg(long, default_value = DEFAULT_SPACE, value_name = "NAME")]
    space: String,
    /// Only if it is still at this generation [default: the present one]
    #[arg(long, value_name = "N")]
    generation: Option<u64>,
    /// Also when it belongs to a static identity
    #[arg(long = "static")]
    statics: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Release {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let place = parse_place(&self.address, &self.space)?;
        let freed = self.free(session, place)?;
        session.show(&freed, || {
            freed
                .iter()
                .map(|held| format!("{} released from {}\n", held.place.address, held.owner))
                .collect()
        })?;
        Ok(Exit::Done)
    }

    fn free(&self, session: &Session, place: Place) -> Result<Vec<Standing>, Failure> {
        #[cfg(feature = "cluster")]
        if let Some(cluster) = session.cluster()? {
            let Self { generation, statics, yes, .. } = *self;
            let wish = crate::cluster::Wish { place, generation, statics, yes };
            return crate::cluster::release(session, &cluster, &wish);
        }
        let store = session.open()?;
        let row = row_of(&store.load_all()?, &place)?;
        if row.state == State::Allocated {
            let question = format!("{} is held by {}; give it back?", row.address, row.owner);
            session.confirm(&question, self.yes)?;
        }
        let generation = self.generation.or(row.generation).unwrap_or_default();
        let command = Command::Reclaim(Reclaim {
            claims: vec![Claim { place, generation }],
            statics: self.statics,
            ending: Ending::Released,
        });
        let mut extra = Extra::default();
        if !row.container.is_empty() {
            let container = parse_name("container", &row.container)?;
            extra.remove.push((container, Some(parse_name("interface", &row.attachment)?)));
        }
        let outcome = store.execute(&command, session.moment(), &extra);
        let answer = outcome.map_err(|error| {
            let failure = Failure::from(error);
            if row.is_static() && !self.statics {
                failure.try_this("if nobody needs it any more, the same with --static")
            } else {
                failure
            }
        })?;
        Ok(match answer {
            Answer::Freed(freed) => freed,
            Answer::Defined { .. }
            | Answer::Allocated(_)
            | Answer::Quarantined { .. }
            | Answer::Spared(_)
            | Answer::Done => Vec::new(),
        })
    }
}
