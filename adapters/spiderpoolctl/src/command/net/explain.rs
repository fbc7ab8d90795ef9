//! `net explain`: what an interface needs and why, and the way of a packet.

use super::fault;
use super::plan::notes;
use super::step::serves;
use super::target::{self, Configuring, Place};
use super::way::{self, Way, way};
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::session::{Colour, Session};
use crate::table::Table;
use clap::Args;
use serde::Serialize;
use spiderpool_core::intend::{Intent, Wish};
use spiderpool_core::net::{LinkName, Scene};
use spiderpool_core::plan::plan;
use spiderpool_host::attachment::{Seen, look};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Tell what an interface needs, what for, whom it serves, and whether it is so
///
/// Shows the recorded intent of a container's attachments, or with --config what the coordinator would
/// want: grouped by what it is for, each wish as the command that would make it so, whether it ends with
/// the attachment, with the pod, or stays with the node, and whether it is held. With --to, also the rules,
/// table and route that a packet of the pod takes; with --config and --to, as it would be once the plan is
/// applied.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl net explain --container c0ffee\n  \
       spiderpoolctl net explain --container c0ffee --ifname net1 --to 10.96.0.10 --from 10.1.2.3\n  \
       spiderpoolctl net explain --container c0ffee --netns pod-a --config 10-macvlan.conflist"
))]
pub(crate) struct Explain {
    /// The container's id, as the runtime gives it
    #[arg(long, value_name = "ID", value_parser = target::container)]
    container: String,
    /// Only this interface [default: every one that is recorded, or eth0 with --config]
    #[arg(long, value_name = "NAME", value_parser = target::interface)]
    ifname: Option<LinkName>,
    /// The pod's network namespace: a path, the id of a process, or a name [default: as recorded]
    #[arg(long, value_name = "PATH|PID|NAME")]
    netns: Option<String>,
    /// Explain this configuration: the coordinator's, or a list with it; - for standard input
    #[arg(long, value_name = "FILE", requires = "netns")]
    config: Option<PathBuf>,
    /// Show the way of a packet to this address
    #[arg(long, value_name = "ADDRESS")]
    to: Option<IpAddr>,
    /// The pod's address that the packet is sent from
    #[arg(long, value_name = "ADDRESS", requires = "to")]
    from: Option<IpAddr>,
    #[command(flatten)]
    place: Place,
}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    container: String,
    attachments: Vec<Attachment>,
    /// The way of a packet, when that was asked.
    way: Option<Way>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    interface: String,
    /// What else should be known.
    notes: Vec<String>,
    groups: Vec<Group>,
}

/// The wishes of one reason.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    /// As the end of "so that …".
    so_that: String,
    wishes: Vec<ToldWish>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ToldWish {
    side: String,
    /// The command that would make it so.
    wish: String,
    /// `attachment`, `pod` or `node`: with whom it ends.
    serves: &'static str,
    is_held: bool,
    /// Why it cannot be held as things are.
    why: Option<String>,
}

impl Explain {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        if let (Some(to), Some(from)) = (self.to, self.from)
            && to.is_ipv4() != from.is_ipv4()
        {
            return Err(Failure::bad(format!("--to {to} and --from {from} are of two families")));
        }
        let netns = self.netns.as_deref().map(target::netns).transpose()?;
        let (attachments, scene) = match (&self.config, &netns) {
            (Some(config), Some(netns)) => self.configured(config, netns)?,
            _ => self.recorded(netns.as_deref())?,
        };
        let way = self.to.zip(scene).map(|(to, scene)| way(&scene.pod, to, self.from));
        let explained = Explained { container: self.container.clone(), attachments, way };
        session.show(&explained, || self.print(session, &explained))?;
        Ok(Exit::Done)
    }

    /// What a configuration wants, and the scene with it applied; none where nothing would be done.
    fn configured(
        &self,
        config: &Path,
        netns: &Path,
    ) -> Result<(Vec<Attachment>, Option<Scene>), Failure> {
        let configuring = Configuring::read(config)?;
        let interface = match &self.ifname {
            Some(interface) => interface.clone(),
            None => target::interface("eth0").map_err(Failure::bad)?,
        };
        let foreseen = configuring.foresee(&self.place, (&self.container, &interface), netns)?;
        let notes = notes(&configuring, foreseen.as_ref());
        let groups = foreseen.as_ref().map(|foreseen| groups(&foreseen.before, &foreseen.intent));
        let groups = groups.unwrap_or_default();
        let attachment = Attachment { interface: interface.to_string(), notes, groups };
        Ok((vec![attachment], foreseen.map(|foreseen| foreseen.after)))
    }

    /// What is recorded, and the scene; none where the pod is gone.
    fn recorded(&self, netns: Option<&Path>) -> Result<(Vec<Attachment>, Option<Scene>), Failure> {
        let records = self.place.records(None);
        let entries = records.of_container(&self.container);
        if entries.map_err(|fault| fault::of(&fault.into()))?.is_empty() {
            return Err(target::unrecorded(&self.container, &self.place));
        }
        let sight = look(&records, &self.container, netns, self.place.until());
        let sight = sight.map_err(|fault| fault::of(&fault))?;
        let is_wanted = |seen: &&Seen| {
            self.ifname.as_ref().is_none_or(|wanted| seen.entry.interface() == wanted)
        };
        let wanted: Vec<_> = sight.seen.iter().filter(is_wanted).collect();
        if wanted.is_empty() {
            return Err(target::unrecorded(&self.container, &self.place));
        }
        let attachments = wanted.into_iter().map(|seen| {
            let mut notes: Vec<String> = sight.gone.iter().cloned().collect();
            notes.extend(seen.drift.as_ref().err().map(fault::line));
            let intent = seen.entry.kept().map(|kept| &kept.record.intent);
            let groups = intent.map(|intent| groups(&sight.scene, intent)).unwrap_or_default();
            Attachment { interface: seen.entry.interface().to_string(), notes, groups }
        });
        let attachments = attachments.collect();
        Ok((attachments, sight.gone.is_none().then_some(sight.scene)))
    }

    fn print(&self, session: &Session, explained: &Explained) -> String {
        let mut text = format!("container {}\n", explained.container);
        text.extend(explained.attachments.iter().map(|one| attachment(session, one)));
        if let (Some(to), Some(way)) = (self.to, &explained.way) {
            text.push_str(&way::print(way, to, self.from));
        }
        text
    }
}

/// The wishes by what they are for, in the order in which reasons first appear.
fn groups(scene: &Scene, intent: &Intent) -> Vec<Group> {
    let is_all_held = plan(scene, intent).is_ok_and(|plan| plan.is_empty());
    let mut groups: Vec<Group> = Vec::new();
    for wish in &intent.wishes {
        let so_that = wish.reason.to_string();
        let told = told(scene, wish, is_all_held);
        match groups.iter_mut().find(|group| group.so_that == so_that) {
            Some(group) => group.wishes.push(told),
            None => groups.push(Group { so_that, wishes: vec![told] }),
        }
    }
    groups
}

fn told(scene: &Scene, wish: &Wish, is_all_held: bool) -> ToldWish {
    let alone = || plan(scene, &Intent { wishes: vec![wish.clone()] });
    let (is_held, why) = match is_all_held.then_some(()).map_or_else(alone, |()| Ok(<_>::default()))
    {
        Ok(plan) => (plan.is_empty(), None),
        Err(refusal) => (false, Some(refusal.to_string())),
    };
    ToldWish {
        side: wish.side.to_string(),
        wish: wish.want.to_string(),
        serves: serves(wish.tenure),
        is_held,
        why,
    }
}

fn attachment(session: &Session, attachment: &Attachment) -> String {
    let wishes = || attachment.groups.iter().flat_map(|group| &group.wishes);
    let missing = wishes().filter(|wish| !wish.is_held).count();
    let state = match missing {
        0 => "all held".to_owned(),
        _ => format!("{missing} not held"),
    };
    let count = match wishes().count() {
        1 => "1 wish".to_owned(),
        count => format!("{count} wishes"),
    };
    let mut text = format!("interface {}: {count}, {state}\n", attachment.interface);
    text.extend(attachment.notes.iter().map(|note| format!("note: {note}\n")));
    for group in &attachment.groups {
        text.push_str(&format!("so that {}\n", group.so_that));
        let mut table = Table::new(&["HELD", "SIDE", "SERVES", "WISH"]);
        for wish in &group.wishes {
            let held = match wish.is_held {
                true => session.paint(Colour::Green, "yes"),
                false => session.paint(Colour::Red, "no"),
            };
            let shown = match &wish.why {
                Some(why) => format!("{} ({why})", wish.wish),
                None => wish.wish.clone(),
            };
            table.row([held, wish.side.clone(), wish.serves.to_owned(), shown]);
        }
        text.push_str(&table.print(2));
    }
    text
}
