//! `explain`: why a pod would get its addresses or not, and why one got those it has.
//!
//! For a pod that is only imagined, the core's own shortlist is shown. For one that exists, the journal
//! entry that granted its address is decided again on the state before it, as long as the journal
//! reaches back to the beginning (`tests/golden`: `explain`).

use crate::clock::show_time;
use crate::copy::Copy;
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::listing::{DEFAULT_SPACE, parse_place};
use crate::request::RequestArgs;
use crate::session::Session;
use crate::shortlist;
use clap::{Args, ValueEnum};
use serde::Serialize;
use spiderpool_core::command::{Allocated, Answer, Command, Place};
use spiderpool_core::decide;
use spiderpool_core::event::Event;
use spiderpool_core::moment::Moment;
use spiderpool_core::refusal::Shortlist;
use spiderpool_core::request::Request;
use spiderpool_core::view::View;
use spiderpool_store::{Entry, Filter, Store};
use std::net::IpAddr;

/// Tell why a pod would get addresses or not, or why one got those it has
///
/// Describe a pod that does not exist yet, and every pool that is weighed for it is shown with its
/// verdict, its counts, and, when there is no address, the smallest change that would help. With
/// --container or --address, the grant of an existing pod is shown, and what was weighed for it then.
/// On a cluster, `explain pod NAMESPACE/NAME` reads a pod that exists, with its namespace, its node, its
/// owners and its networks: what it holds and whether block, endpoint and pod agree, and for each
/// interface without an address what is weighed. Exit code 1 says that the pod would get nothing.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl explain --pool blue,green --node worker-1\n  \
       spiderpoolctl explain --conf /etc/cni/net.d/10-macvlan.conflist --pod default/web-0\n  \
       spiderpoolctl explain --ippool '{\"ipv4\": [\"blue\"]}' --label app=web -n 20\n  \
       spiderpoolctl --cluster explain pod default/web-0\n  \
       spiderpoolctl explain --address 10.1.2.3"
))]
pub(crate) struct Explain {
    /// On a cluster: a pod that exists, as `pod NAMESPACE/NAME`
    #[arg(value_enum, requires = "name", conflicts_with_all = ["container", "address", "count"])]
    kind: Option<Subject>,
    /// Which
    #[arg(value_name = "NAMESPACE/NAME")]
    name: Option<String>,
    #[command(flatten)]
    request: RequestArgs,
    /// Explain the last of so many such pods
    #[arg(short = 'n', long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// The grants of a container that exists
    #[arg(long, value_name = "ID", conflicts_with = "address")]
    container: Option<String>,
    /// The grant of an address that is allocated
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// The space of --address
    #[arg(long, default_value = DEFAULT_SPACE, value_name = "NAME")]
    space: String,
}

/// What of a cluster can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// A pod that exists.
    #[value(aliases = ["pods", "po"])]
    Pod,
}

/// The answer for an imagined pod; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    /// Which of the pods it is, from 1.
    pod: u64,
    granted: Option<Allocated>,
    /// Why it would be refused, in one line.
    refusal: Option<String>,
    shortlist: Option<Shortlist>,
}

/// The answer for an existing pod.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Past {
    entry: u64,
    at_ms: u64,
    request: Request,
    granted: Allocated,
    /// What was weighed then; absent when the journal does not reach back far enough.
    shortlist: Option<Shortlist>,
}

impl Explain {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        if self.kind.is_some() {
            return self.pod(session);
        }
        if self.container.is_some() || self.address.is_some() {
            return self.past(session);
        }
        let mut copy = Copy { view: session.view()? };
        let imagined = self.request.imagine(&copy.view)?;
        imagined.notes.iter().for_each(|note| session.note(note));
        let moment = session.moment();
        for pod in 1..self.count {
            let request = imagined.request(pod, 1)?;
            if copy.run(&Command::Allocate(request.clone()), moment)?.is_err() {
                return explain(session, &copy, (pod, &request), moment);
            }
        }
        explain(session, &copy, (self.count, &imagined.request(self.count, 1)?), moment)
    }

    /// A pod of a cluster, as it is there.
    fn pod(&self, session: &Session) -> Result<Exit, Failure> {
        #[cfg(feature = "cluster")]
        if let (Some(cluster), Some(name)) = (session.cluster()?, &self.name) {
            return crate::cluster::explain(session, &cluster, (name, &self.request));
        }
        let dir = session.dir()?.display();
        Err(Failure::bad(format!("the store `{dir}` knows containers, and no pods"))
            .try_this("name a cluster with --cluster, or a container with --container"))
    }

    /// A grant that the journal remembers.
    fn past(&self, session: &Session) -> Result<Exit, Failure> {
        session.store_only(
            "a cluster keeps no journal of what was weighed",
            "`explain pod NAMESPACE/NAME` for a pod that exists, or `ip show ADDRESS`",
        )?;
        let store = session.look()?;
        if let Some(container) = self.container.clone() {
            let filter = Filter { container: Some(container), ..Filter::default() };
            return past(session, &store, &filter, None);
        }
        if let Some(address) = &self.address {
            let place = parse_place(address, &self.space)?;
            let filter = Filter { place: Some(place.clone()), ..Filter::default() };
            return past(session, &store, &filter, Some(&place));
        }
        Ok(Exit::Done)
    }
}

fn explain(
    session: &Session,
    copy: &Copy,
    (pod, request): (u64, &Request),
    moment: Moment,
) -> Result<Exit, Failure> {
    let shortlist = weigh(&copy.view, request, moment);
    let outcome = copy.clone().run(&Command::Allocate(request.clone()), moment)?;
    let (granted, refusal) = match outcome {
        Ok(Answer::Allocated(allocated)) => (Some(allocated), None),
        Ok(_) => (None, Some("bug: the answer is of another kind".to_owned())),
        Err(refusal) => (None, Some(crate::copy::told(&refusal))),
    };
    let exit = if granted.is_some() { Exit::Done } else { Exit::Refused };
    let explained = Explained { pod, granted, refusal, shortlist };
    session.show(&explained, || print(session, &explained, request))?;
    Ok(exit)
}

/// The shortlist; `None` for a request that contradicts itself, of which the refusal tells.
fn weigh(view: &View, request: &Request, moment: Moment) -> Option<Shortlist> {
    decide::explain(view, request, moment).ok()
}

fn print(session: &Session, explained: &Explained, request: &Request) -> String {
    let Explained { pod, granted, refusal, shortlist } = explained;
    let verb = if granted.is_some() { "would get its addresses" } else { "would be refused" };
    let mut text =
        format!("pod {pod} {verb} for {} on node {}\n", request.attachment, request.holder.node);
    match (shortlist, refusal) {
        (Some(shortlist), _) => text.push_str(&shortlist::print(session, shortlist)),
        (None, Some(refusal)) => text.push_str(&format!("  {refusal}\n")),
        (None, None) => {}
    }
    if let Some(granted) = granted {
        text.push_str(&allocated(granted));
    }
    text
}

/// Addresses, then routes, one on a line.
pub(crate) fn allocated(granted: &Allocated) -> String {
    let mut text = String::new();
    for one in &granted.addresses {
        let gateway = one.gateway.map(|gateway| format!(", gateway {gateway}")).unwrap_or_default();
        let kept = if one.kept { ", kept" } else { "" };
        text.push_str(&format!(
            "{}: {} of pool {}{gateway}{kept}\n",
            one.demand, one.address, one.pool
        ));
    }
    for placed in &granted.routes {
        let route = placed.route;
        text.push_str(&format!(
            "route to {} via {} on {}\n",
            route.dst, route.gw, placed.attachment
        ));
    }
    for route in &granted.unplaced {
        text.push_str(&format!("route to {} via {} fits no interface\n", route.dst, route.gw));
    }
    text
}

fn past(
    session: &Session,
    store: &Store,
    filter: &Filter,
    place: Option<&Place>,
) -> Result<Exit, Failure> {
    let all = store.history(&Filter::default())?;
    let wanted = store.history(filter)?;
    let mut found = Vec::new();
    for entry in &wanted {
        if let (Command::Allocate(request), Answer::Allocated(granted)) =
            (&entry.command, &entry.answer)
            && place.is_none_or(|place| gives(entry, granted, place.address))
        {
            found.push(Past {
                entry: entry.seq,
                at_ms: entry.moment.now_ms,
                request: request.clone(),
                granted: granted.clone(),
                shortlist: before(&all, entry).and_then(|view| weigh(&view, request, entry.moment)),
            });
        }
    }
    // What an address is at present follows from its last grant.
    if place.is_some() && found.len() > 1 {
        found = found.split_off(found.len() - 1);
    }
    if found.is_empty() {
        let what = "the journal holds no grant of it to a pod: there was none, or it is older than the journal";
        return Err(Failure::bad(what)
            .try_this("spiderpoolctl ip show ADDRESS, for what is known at present"));
    }
    session.show(&found, || found.iter().map(|past| print_past(session, past)).collect())?;
    Ok(Exit::Done)
}

/// Whether an entry gave out an address, and not merely confirmed it.
fn gives(entry: &Entry, granted: &Allocated, address: IpAddr) -> bool {
    let is_named = granted.addresses.iter().any(|one| one.address.addr() == address);
    let grants = entry.writes.iter().flat_map(|write| &write.events);
    is_named
        && grants
            .into_iter()
            .any(|event| matches!(event, Event::Granted { .. } | Event::Adopted { .. }))
}

/// The state before an entry, when the journal begins at the beginning.
fn before(all: &[Entry], entry: &Entry) -> Option<View> {
    if all.first()?.seq != 1 {
        return None;
    }
    let mut view = View::complete();
    for earlier in all.iter().take_while(|earlier| earlier.seq < entry.seq) {
        for write in &earlier.writes {
            write.events.iter().for_each(|event| view.apply(&write.object, event));
        }
    }
    Some(view)
}

fn print_past(session: &Session, past: &Past) -> String {
    let Past { entry, at_ms, request, granted, shortlist } = past;
    let owner = &request.holder.owner;
    let mut text = format!(
        "entry {entry} at {}: {owner}, interface {}\n",
        show_time(*at_ms),
        request.attachment
    );
    text.push_str(&allocated(granted));
    match shortlist {
        Some(shortlist) => text.push_str(&shortlist::print(session, shortlist)),
        None => text.push_str(
            "what was weighed is not known: the beginning of the journal has been compacted\n",
        ),
    }
    text
}
