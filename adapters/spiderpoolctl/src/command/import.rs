//! `import host-local`: takes over what Debian's host-local plugin has allocated.
//!
//! The directory is read, matched with the pools and tried on a copy; the report comes before the first
//! write. All or nothing: when one address cannot be taken over, none is (`tests/cli/host_local.rs`,
//! `tests/golden`: `import`).

use crate::copy::{Copy, incomplete, told};
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::host_local::{self, Lease, Leases, Oddity};
use crate::listing::{DEFAULT_SPACE, parse_name, pool_over};
use crate::session::{Session, host_name};
use crate::table::{Table, counted};
use clap::{Args, Subcommand};
use serde::Serialize;
use spiderpool_core::address::Family;
use spiderpool_core::command::Command;
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::request::{FamilyPolicy, PoolNames, Request, Sources, Subject};
use spiderpool_core::view::View;
use spiderpool_store::Extra;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Take over the allocations of another IPAM
#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    HostLocal(HostLocal),
}

/// Take over the allocations of the CNI plugin host-local
///
/// DIR is host-local's dataDir, with a directory for each network and a file for each address. Every
/// address becomes an allocation of its container at exactly that address, in the pool that has it. The
/// report says which pool that is, what is in the way, and which files are no allocations (empty files
/// are left behind when host-local is interrupted). Either all allocations are taken over or none.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl import host-local /var/lib/cni/networks --dry-run\n  \
       spiderpoolctl import host-local /var/lib/cni/networks --network lab --pool blue --yes"
))]
struct HostLocal {
    /// The data directory of host-local
    dir: PathBuf,
    /// Only into these pools [default: whichever has the address]
    #[arg(long, value_name = "NAME")]
    pool: Vec<String>,
    /// Only this network of the directory
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// The node that is recorded [default: this host's name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Report only, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    matched: Vec<Matched>,
    conflicts: Vec<Conflicting>,
    oddities: Vec<Oddity>,
    imported: bool,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Matched {
    lease: Lease,
    pool: Name,
    /// Whether the container has it in the store already.
    is_there: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Conflicting {
    /// What of one attachment is in question.
    leases: Vec<Lease>,
    why: String,
}

impl Import {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let From::HostLocal(host_local) = self.from;
        host_local.run(session)
    }
}

impl HostLocal {
    fn run(self, session: &Session) -> Result<Exit, Failure> {
        session.store_only(
            "host-local's allocations are those of one host's containers, which are no pods of a cluster",
            "leave out the cluster; on a cluster, let the pods be made again one node after the other",
        )?;
        let Leases { leases, oddities } = host_local::read(&self.dir, self.network.as_deref())?;
        let node = self.node.clone().unwrap_or_else(host_name);
        let node = parse_name("node", &node)?;
        let store = session.look()?;
        let mut copy = Copy { view: store.load_all()? };
        let mut report = Report { oddities, ..Report::default() };
        for lease in leases {
            match self.pool_of(&copy.view, &lease) {
                Ok(pool) => {
                    let is_there = has(&copy.view, &lease)?;
                    report.matched.push(Matched { lease, pool, is_there });
                }
                Err(why) => report.conflicts.push(Conflicting { leases: vec![lease], why }),
            }
        }
        let requests = requests(&mut report, &node)?;
        let ticket = store.revision()?;
        for (leases, request) in &requests {
            let request = Request { ticket, ..request.clone() };
            let why = objection(&mut copy, &request, session.moment())?;
            let told = |why: &String| Conflicting { leases: leases.clone(), why: why.clone() };
            report.conflicts.extend(why.iter().map(told));
        }
        let Report { matched, conflicts, .. } = &mut report;
        let in_question = |matched: &Matched| {
            conflicts.iter().any(|conflict| conflict.leases.contains(&matched.lease))
        };
        matched.retain(|matched| !in_question(matched));
        let fresh = report.matched.iter().filter(|matched| !matched.is_there).count();
        if !self.dry_run && report.conflicts.is_empty() && fresh > 0 {
            session.note(&print(&report, true));
            session.confirm(&format!("take over {}?", counted(fresh, "address")), self.yes)?;
            import(session, &requests)?;
            report.imported = true;
        }
        session.show(&report, || print(&report, false))?;
        if report.conflicts.is_empty() {
            return Ok(Exit::Done);
        }
        let conflicts = counted(report.conflicts.len(), "conflict");
        Err(Failure::refused(format!("there are {conflicts}; nothing was imported"))
            .try_this("make pools for them, release what is in the way, or import one --network"))
    }

    /// The pool that has an address, and none but those asked for.
    fn pool_of(&self, view: &View, lease: &Lease) -> Result<Name, String> {
        let space = Name::new(DEFAULT_SPACE).map_err(|bad| bad.to_string())?;
        let entry = pool_over(view, &space, lease.address).ok_or("no pool has this address")?;
        let name = entry.pool.name();
        if self.pool.is_empty() || self.pool.iter().any(|pool| **pool == **name) {
            Ok(name.clone())
        } else {
            Err(format!("pool {name} has it, which was not named"))
        }
    }
}

/// Whether the container of a lease has its address in the store already.
fn has(view: &View, lease: &Lease) -> Result<bool, Failure> {
    let held = view.held_by(&owner(lease)?).map_err(|need| incomplete(&need))?;
    Ok(held.iter().any(|found| {
        found.address() == lease.address && found.allocation.placement.attachment == lease.interface
    }))
}

fn owner(lease: &Lease) -> Result<Owner, Failure> {
    Owner::container(&lease.network, &lease.container)
        .map_err(|bad| Failure::bad("a container cannot be an owner").because(&bad))
}

/// What keeps a request from being granted; a granted one is on the copy afterwards.
fn objection(
    copy: &mut Copy,
    request: &Request,
    moment: Moment,
) -> Result<Option<String>, Failure> {
    let held = copy.view.held_by(&request.holder.owner).map_err(|need| incomplete(&need))?;
    // The ledger would move the container to the named address, which its pod knows nothing of.
    let other = held.iter().find(|found| {
        found.allocation.placement.attachment == request.attachment
            && request.named.iter().any(|named| Family::of(*named) == found.key.family)
            && !request.named.contains(&found.address())
    });
    if let Some(other) = other {
        return Ok(Some(format!("the container has {} in the store", other.address())));
    }
    let outcome = copy.run(&Command::Allocate(request.clone()), moment)?;
    Ok(outcome.err().map(|refusal| told(&refusal)))
}

/// One request for each attachment, with its addresses of both families; a second address of one
/// family on one attachment is a conflict, since an attachment has at most one of each.
fn requests(report: &mut Report, node: &Name) -> Result<Vec<(Vec<Lease>, Request)>, Failure> {
    let mut by_attachment: BTreeMap<(Name, Name, Name), Vec<Matched>> = BTreeMap::new();
    for matched in &report.matched {
        let Lease { network, container, interface, .. } = &matched.lease;
        let key = (network.clone(), container.clone(), interface.clone());
        let group = by_attachment.entry(key).or_default();
        let family = Family::of(matched.lease.address);
        match group.iter().find(|other| Family::of(other.lease.address) == family) {
            Some(other) => report.conflicts.push(Conflicting {
                leases: vec![matched.lease.clone()],
                why: format!("{interface} of {container} has {} already, and an interface has one address of each family", other.lease.address),
            }),
            None => group.push(matched.clone()),
        }
    }
    let requests = by_attachment.into_values().map(|group| request(&group, node));
    requests.collect()
}

fn request(group: &[Matched], node: &Name) -> Result<(Vec<Lease>, Request), Failure> {
    let Some(Matched { lease, .. }) = group.first() else {
        return Err(Failure::world("bug: an attachment without addresses"));
    };
    let pools = |family| {
        let ours = group.iter().filter(|matched| Family::of(matched.lease.address) == family);
        ours.map(|matched| matched.pool.to_string()).collect()
    };
    let configured = PoolNames { v4: pools(Family::V4), v6: pools(Family::V6) };
    let request = Request {
        holder: Holder {
            owner: owner(lease)?,
            pod_uid: None,
            container: Some(lease.container.clone()),
            node: node.clone(),
        },
        attachment: lease.interface.clone(),
        network: lease.network.clone(),
        subject: Subject::default(),
        sources: Sources { configured: Some(configured), ..Sources::default() },
        named: group.iter().map(|matched| matched.lease.address).collect(),
        routes: Vec::new(),
        clean_gateway: true,
        families: FamilyPolicy::Require,
        only: None,
        master: None,
        ticket: 0,
    };
    Ok((group.iter().map(|matched| matched.lease.clone()).collect(), request))
}

fn import(session: &Session, requests: &[(Vec<Lease>, Request)]) -> Result<(), Failure> {
    let store = session.open()?;
    let ticket = store.revision()?;
    let asked = requests.iter().map(|(_, request)| Request { ticket, ..request.clone() });
    let commands: Vec<_> = asked.map(Command::Allocate).collect();
    store.execute_all(&commands, session.moment(), &Extra::default()).map_err(|(at, error)| {
        let leases = requests.get(at).map(|(leases, _)| leases.as_slice()).unwrap_or_default();
        let names: Vec<_> =
            leases.iter().map(|lease| format!("{}/{}", lease.network, lease.address)).collect();
        let what = format!("cannot take over {}; nothing was changed", names.join(", "));
        Failure::from(error).while_doing(what)
    })?;
    Ok(())
}

/// The report; what was told ahead of the question is not repeated behind it.
fn print(report: &Report, is_ahead: bool) -> String {
    let mut text = String::new();
    if is_ahead || !report.imported {
        text.push_str(&matches(&report.matched));
        for Conflicting { leases, why } in &report.conflicts {
            let names = leases.iter().map(|lease| format!("{}/{}", lease.network, lease.address));
            text.push_str(&format!("conflict: {}: {why}\n", names.collect::<Vec<_>>().join(", ")));
        }
        for Oddity { file, why } in &report.oddities {
            text.push_str(&format!("left out: {file} {why}\n"));
        }
    }
    let there = report.matched.iter().filter(|matched| matched.is_there).count();
    let count = counted(report.matched.len() - there, "address");
    let outcome = if report.imported { "taken over" } else { "to take over" };
    if is_ahead {
        return text.trim_end().to_owned();
    }
    text + &format!("{count} {outcome}, {there} there already\n")
}

fn matches(matched: &[Matched]) -> String {
    let mut table = Table::new(&["ADDRESS", "NETWORK", "CONTAINER", "INTERFACE", "POOL", "NOTE"]);
    for Matched { lease, pool, is_there } in matched {
        let note = match (is_there, lease.interface_assumed) {
            (true, _) => "there already",
            (false, true) => "the file names no interface",
            (false, false) => "",
        };
        table.row([
            lease.address.to_string(),
            lease.network.to_string(),
            lease.container.to_string(),
            lease.interface.to_string(),
            pool.to_string(),
            note.to_owned(),
        ]);
    }
    if table.is_empty() { String::new() } else { table.print(0) }
}
