//! The table of marks, asked for, made and deleted.
//!
//! See [`netfilter`](super) for the invariants.

use spiderpool_core::net::{Marking, Marks};

use super::attribute::{Attributes, text};
use super::contents::{
    Chain, Contents, Rule, TABLE, is_in_table, is_markable, is_plain_table, new_table,
};
use super::message::{
    Answer, DELETE_TABLE, GET_CHAIN, GET_GENERATION, GET_RULE, GET_TABLE, INET, Message, NEW_CHAIN,
    NEW_GENERATION, NEW_RULE, NEW_TABLE, UNSPECIFIED,
};
use super::socket::{NetfilterSocket, Step};
use crate::fault::{Errno, NetlinkFault};
use crate::socket::{MOST_READINGS, unreadable};

/// `NFTA_GEN_ID`.
const GENERATION_ID: u16 = 1;

/// Says what there is of the table: `nft list table inet spiderpool`.
///
/// [`Marking::Present`] if all of it is as [`add_marks`] makes it; handles, positions and comments do
/// not count. A kernel without nftables has no table.
///
/// # Errors
///
/// What the kernel says; [`NetlinkFault::Unsettled`] if nftables changed during each of several
/// readings.
pub fn observe_marks(socket: &mut NetfilterSocket) -> Result<Marking, NetlinkFault> {
    let subject = "list table `inet spiderpool`";
    for _ in 0..MOST_READINGS {
        let Some(before) = generation(socket, subject)? else { return Ok(Marking::Absent) };
        let marking = marking(socket, subject)?;
        if generation(socket, subject)? == Some(before) {
            return Ok(marking);
        }
    }
    Err(NetlinkFault::Unsettled { subject: subject.into(), attempts: MOST_READINGS })
}

/// Makes the table, in one transaction:
///
/// ```text
/// table inet spiderpool {
///     chain prerouting {
///         type filter hook prerouting priority mangle;
///         iifname INPUT ct state new meta mark set meta mark & ~MASK | VALUE ct mark set ct mark & ~MASK | VALUE
///         iifname INPUT ct mark & MASK == VALUE meta mark set meta mark & ~MASK | VALUE
///     }
///     chain output {
///         type route hook output priority mangle;
///         ct mark & MASK == VALUE meta mark set meta mark & ~MASK | VALUE
///     }
/// }
/// ```
///
/// A connection is new for its first direction only, so one that the pod itself begins is never
/// marked by its reply. Every packet that comes in by INPUT on a marked connection is marked, for the
/// filter of reverse paths. It takes Linux 5.2: older kernels have no chains of type `route` in `inet`.
///
/// # Errors
///
/// [`NetlinkFault::BadMark`] for a mark that tells no connections apart, else what the kernel says:
/// [`Errno::EEXIST`] if there is a table of that name, whatever it holds.
pub fn add_marks(socket: &mut NetfilterSocket, marks: &Marks) -> Result<(), NetlinkFault> {
    if !is_markable(marks.mark) {
        return Err(NetlinkFault::BadMark { value: marks.mark.value, mask: marks.mark.mask });
    }
    socket.transact("add table `inet spiderpool`", &steps(marks))
}

/// Deletes the table with all that is in it, whoever put it there:
/// `nft delete table inet spiderpool`.
///
/// # Errors
///
/// What the kernel says: [`Errno::ENOENT`] if there is none.
pub fn delete_marks(socket: &mut NetfilterSocket) -> Result<(), NetlinkFault> {
    let subject = "delete table `inet spiderpool`";
    // Without a name the kernel would delete every table.
    let message = Message::new(DELETE_TABLE, INET, &[text(TABLE, Marking::TABLE)]);
    socket.transact(subject, &[Step { subject: subject.into(), message }])
}

fn steps(marks: &Marks) -> Vec<Step> {
    let contents = Contents::of(marks);
    let table = Step { subject: "add table `inet spiderpool`".into(), message: new_table() };
    let chains = contents.chains.iter().map(|chain| Step {
        subject: format!("add chain `{}` to table `inet spiderpool`", chain.name),
        message: chain.message(),
    });
    let rules = contents.rules.iter().map(|rule| Step {
        subject: format!("add the rule of chain `{}` to table `inet spiderpool`", rule.chain),
        message: rule.message(),
    });
    std::iter::once(table).chain(chains).chain(rules).collect()
}

/// Which transaction nftables is after; nothing if this kernel has no nftables.
fn generation(socket: &mut NetfilterSocket, subject: &str) -> Result<Option<u32>, NetlinkFault> {
    let answers = match socket.request(subject, Message::new(GET_GENERATION, UNSPECIFIED, &[])) {
        // The question has nothing in it that could be wrong: there is nobody to ask.
        Err(fault) if fault.errno() == Some(Errno::EINVAL) => return Ok(None),
        other => other?,
    };
    let answer = answers.iter().find(|answer| answer.kind == NEW_GENERATION);
    let number = answer
        .and_then(|answer| Attributes::read(&answer.attributes).ok()?.number(GENERATION_ID))
        .ok_or_else(|| unreadable(subject, "no generation in the answer".into()))?;
    Ok(Some(number))
}

fn marking(socket: &mut NetfilterSocket, subject: &str) -> Result<Marking, NetlinkFault> {
    let named = [text(TABLE, Marking::TABLE)];
    let answers = match socket.request(subject, Message::new(GET_TABLE, INET, &named)) {
        Err(fault) if fault.errno() == Some(Errno::ENOENT) => return Ok(Marking::Absent),
        other => other?,
    };
    let table = answers
        .iter()
        .find(|answer| answer.kind == NEW_TABLE)
        .ok_or_else(|| unreadable(subject, "no table in the answer".into()))?;
    let is_plain =
        is_plain_table(&table.attributes).map_err(|reason| unreadable(subject, reason))?;
    let chains = parts(socket, subject, (GET_CHAIN, NEW_CHAIN), Chain::read)?;
    let rules = parts(socket, subject, (GET_RULE, NEW_RULE), Rule::read)?;
    let marks = Contents::listed(chains, rules).marks().filter(|_| is_plain);
    Ok(marks.map_or(Marking::Damaged, Marking::Present))
}

/// Lists the parts of our table of one kind, given as the question's and the answer's.
fn parts<T>(
    socket: &mut NetfilterSocket,
    subject: &str,
    (question, answer): (u16, u16),
    read: fn(&[u8]) -> Result<T, String>,
) -> Result<Vec<T>, NetlinkFault> {
    let ours =
        |part: &Answer| part.kind == answer && part.family == INET && is_in_table(&part.attributes);
    // Kernels that filter by the name do; the others list all tables of the family.
    let message = Message::new(question, INET, &[text(TABLE, Marking::TABLE)]);
    let listed = socket.dump(subject, &message, &ours)?;
    let parts = listed.iter().map(|part| read(&part.attributes));
    parts.collect::<Result<_, _>>().map_err(|reason| unreadable(subject, reason))
}
