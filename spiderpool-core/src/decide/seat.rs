//! Which interface has which entry of a list without names.
//!
//! Nothing stored says which entry an interface took, so each ADD tells it anew, from the pools that
//! the owner holds addresses of. [`super::demand`] makes the wants of it.
//!
//! 1. A list that stays as it is moves nothing (`a_list_that_stays_moves_nothing`).
//! 2. Where the list changes, an interface whose pools are still listed stays with them, and another
//!    moves (`replicas_move_with_the_list`).
//! 3. An interface that has been told its address is never without an entry because of one that may
//!    not come again (`whoever_asks_goes_before_what_an_earlier_pod_left`).

use super::glob::{glob_matches, is_pattern};
use crate::address::Family;
use crate::name::Name;
use crate::owner::Stage;
use crate::refusal::AllocateRefusal;
use crate::request::{NicPools, Request};
use crate::view::Found;
use std::collections::{BTreeMap, BTreeSet};

/// Who has the entries of a list.
#[derive(Debug)]
pub(super) struct Seats {
    /// Under which attachment name each entry is held, or will be.
    pub(super) held_as: Vec<Name>,
    /// The entry of the interface whose ADD it is.
    pub(super) current: usize,
}

/// What an owner holds under one attachment name.
#[derive(Debug)]
struct Holding<'a> {
    name: &'a Name,
    /// The pool of each family's address.
    pools: BTreeMap<Family, &'a Name>,
    /// Through which pod.
    tenure: Tenure,
}

/// How close what is held is to the request's container; the closest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tenure {
    /// One of its ADDs has been answered with it.
    Told,
    /// It was granted ahead.
    Ahead,
    /// An earlier pod left it.
    Left,
}

impl Holding<'_> {
    /// Whether an entry lists the pool of its address of a family.
    fn is_listed(&self, entry: &NicPools, family: Family) -> bool {
        let lists = |pool: &Name, name: &String| {
            **name == **pool || (is_pattern(name) && glob_matches(name, pool) == Ok(true))
        };
        let pool = self.pools.get(&family);
        pool.is_some_and(|pool| entry.pools.of(family).iter().any(|name| lists(pool, name)))
    }

    /// Whether it is what an entry gives: an address of each family that it lists, and no other.
    fn is_given_by(&self, entry: &NicPools, request: &Request) -> bool {
        Family::BOTH.into_iter().filter(|family| request.allows(*family)).all(|family| {
            let is_unasked = entry.pools.of(family).is_empty() && !self.pools.contains_key(&family);
            is_unasked || self.is_listed(entry, family)
        })
    }
}

/// Whether an entry is for what is held.
type Rule<'r> = dyn Fn(&NicPools, &Holding<'_>) -> bool + 'r;

/// Which holding has which entry.
type Seated<'h> = BTreeMap<usize, &'h Holding<'h>>;

/// The name under which an entry is held until its ADD comes.
fn placeholder(at: usize) -> Result<Name, AllocateRefusal> {
    Name::new(&format!("#{at}")).map_err(|_| AllocateRefusal::BadList { why: "is too long" })
}

/// The entry that a placeholder stands for; `None` for an interface.
pub(super) fn entry_of(name: &Name) -> Option<usize> {
    name.strip_prefix('#')?.parse().ok()
}

/// Whether the request's own container holds an allocation.
pub(super) fn is_own(request: &Request, found: &Found<'_>) -> bool {
    request.holder.container.as_deref() == Some(found.allocation.container)
}

/// Who has which entry: an interface one that lists its pools, and one that holds nothing yet the
/// lowest that no interface has.
///
/// # Errors
/// A refusal when no entry is left for the interface that asks.
pub(super) fn seats(
    request: &Request,
    entries: &[NicPools],
    held: &[Found<'_>],
) -> Result<Seats, AllocateRefusal> {
    let holdings = holdings(request, held);
    let (placeholders, interfaces): (Vec<_>, Vec<_>) =
        holdings.iter().partition(|who| entry_of(who.name).is_some());
    let is_bound = interfaces.iter().any(|who| *who.name == request.attachment);
    let interfaces = entitled(request, interfaces, (entries.len(), is_bound));
    let seated = seat(request, entries, (&placeholders, interfaces));
    let is_mine = |at: &usize| match seated.get(at) {
        Some(who) if is_bound => *who.name == request.attachment,
        Some(who) => entry_of(who.name).is_some(),
        None => !is_bound,
    };
    let current = (0..entries.len()).find(is_mine).ok_or_else(|| {
        let attachment = request.attachment.clone();
        AllocateRefusal::TooManyInterfaces { attachment, entries: entries.len() }
    })?;
    let held_as = (0..entries.len()).map(|at| match seated.get(&at) {
        Some(who) => Ok(who.name.clone()),
        None if at == current => Ok(request.attachment.clone()),
        None => placeholder(at),
    });
    Ok(Seats { held_as: held_as.collect::<Result<_, _>>()?, current })
}

/// What is held under each name: the closest first, and `eth0` before `net1` before `net10`. What is
/// less close under the same name is not wanted any more.
fn holdings<'a>(request: &Request, held: &'a [Found<'_>]) -> Vec<Holding<'a>> {
    let tenure = |found: &Found<'_>| match found.allocation.stage {
        _ if !is_own(request, found) => Tenure::Left,
        Stage::Attached => Tenure::Told,
        Stage::Ahead | Stage::Detached => Tenure::Ahead,
    };
    let mut closest: Vec<_> = held.iter().map(|found| (tenure(found), found)).collect();
    closest.sort_by_key(|(tenure, _)| *tenure);
    let mut holdings = BTreeMap::new();
    for (tenure, found) in closest {
        let placement = found.allocation.placement;
        let name = &placement.attachment;
        let new = || Holding { name, pools: BTreeMap::new(), tenure };
        let holding = holdings.entry((name.len(), name)).or_insert_with(new);
        if holding.tenure == tenure {
            holding.pools.entry(found.key.family).or_insert(&placement.pool);
        }
    }
    let mut holdings: Vec<_> = holdings.into_values().collect();
    // The sort keeps the order of names among equals.
    holdings.sort_by_key(|who| who.tenure);
    holdings
}

/// As many interfaces as a list of that length has entries for. Those that were told go first, then
/// the one that asks; another may not come again.
fn entitled<'h>(
    request: &Request,
    mut interfaces: Vec<&'h Holding<'h>>,
    (entries, is_bound): (usize, bool),
) -> Vec<&'h Holding<'h>> {
    let told = interfaces.iter().filter(|who| who.tenure == Tenure::Told).count();
    let beside = entries.saturating_sub(usize::from(!is_bound));
    let most = beside.max(told).min(entries);
    let asks = interfaces.iter().position(|who| *who.name == request.attachment);
    if let Some(asks) = asks.filter(|asks| *asks >= most && told < most) {
        // The last one that stays makes room.
        interfaces.swap(asks, most - 1);
    }
    interfaces.truncate(most);
    interfaces
}

/// Gives each interface an entry that gives what it holds, failing that one that lists some of its
/// pools, failing that the next that is left. A placeholder has the entry that it stands for, as far
/// as there are entries enough. Whoever is first in the list is not put off by those behind.
fn seat<'h>(
    request: &Request,
    entries: &[NicPools],
    (placeholders, interfaces): (&[&'h Holding<'h>], Vec<&'h Holding<'h>>),
) -> Seated<'h> {
    let room = entries.len().saturating_sub(interfaces.len());
    let standing = placeholders.iter().filter_map(|who| Some((entry_of(who.name)?, *who)));
    let mut seated: Seated<'h> =
        standing.filter(|(at, _)| *at < entries.len()).take(room).collect();
    let gives = |entry: &NicPools, who: &Holding<'_>| who.is_given_by(entry, request);
    let lists = |entry: &NicPools, who: &Holding<'_>| {
        Family::BOTH.into_iter().any(|family| who.is_listed(entry, family))
    };
    let rules: [&Rule<'_>; 3] = [&gives, &lists, &|_, _| true];
    let mut waiting = interfaces;
    for rule in rules {
        let fits =
            |at: usize, who: &Holding<'_>| entries.get(at).is_some_and(|entry| rule(entry, who));
        let open = (0..entries.len()).filter(|at| !seated.contains_key(at));
        let open: BTreeSet<usize> = open.collect();
        waiting.retain(|who| !admit(&mut seated, who, &mut open.clone(), &fits));
    }
    seated
}

/// Gives one more holding an entry of the open ones; for that others move on to another that fits
/// them as well, so that as many as possible have one (augmenting paths).
fn admit<'h>(
    seated: &mut Seated<'h>,
    who: &'h Holding<'h>,
    open: &mut BTreeSet<usize>,
    fits: &impl Fn(usize, &Holding<'_>) -> bool,
) -> bool {
    let fitting: Vec<usize> = open.iter().copied().filter(|at| fits(*at, who)).collect();
    if let Some(free) = fitting.iter().find(|at| !seated.contains_key(at)) {
        seated.insert(*free, who);
        return true;
    }
    for at in fitting {
        // Not if it was tried for another on the way here.
        let there = if open.remove(&at) { seated.get(&at).copied() } else { None };
        if there.is_some_and(|there| admit(seated, there, open, fits)) {
            seated.insert(at, who);
            return true;
        }
    }
    false
}
