//! What the table of marks holds: which chains and rules stand for which [`Marks`].
//!
//! `marks` sends what [`Contents::of`] makes, and judges what the kernel lists by making it anew
//! from the marks that its first rule names and comparing. Invariants:
//!
//! 1. Contents come back from their own messages (`contents_are_read_as_they_were_written`).
//! 2. Anything else is no marks (`whatever_is_changed_is_no_marks`).

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use spiderpool_core::net::{LinkName, Mark, Marking, Marks};

use super::attribute::{Attributes, attribute, nested, number, text};
use super::expression::{self, Expression, Field};
use super::message::{INET, Message, NEW_CHAIN, NEW_RULE, NEW_TABLE};

/// `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE` and `NFTA_RULE_TABLE`.
pub(super) const TABLE: u16 = 1;
/// `NFTA_TABLE_FLAGS`.
const TABLE_FLAGS: u16 = 2;
/// `NFTA_TABLE_USE`: how many chains, sets, objects and flow tables it has.
const TABLE_USE: u16 = 3;
/// `NFTA_TABLE_USERDATA`.
const TABLE_NOTES: u16 = 6;
/// What `nft list table` prints: a type (0, a comment), a length, a text with its NUL.
const COMMENT: &str = "made by spiderpool: replies leave by the link of their request";

/// `NFTA_CHAIN_NAME`.
const CHAIN_NAME: u16 = 3;
/// `NFTA_CHAIN_HOOK`, with `NFTA_HOOK_HOOKNUM` and `NFTA_HOOK_PRIORITY`.
const CHAIN_HOOK: u16 = 4;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
/// `NFTA_CHAIN_POLICY`.
const CHAIN_POLICY: u16 = 5;
/// `NFTA_CHAIN_TYPE`.
const CHAIN_TYPE: u16 = 7;
/// `NF_ACCEPT`.
const ACCEPT: u32 = 1;

/// `NFTA_RULE_CHAIN`.
const RULE_CHAIN: u16 = 2;
/// `NFTA_RULE_EXPRESSIONS`.
const RULE_EXPRESSIONS: u16 = 4;

/// `NF_IP_PRI_MANGLE`: after connection tracking (-200), before destinations are changed (-100).
const PRIORITY: i32 = -150;
/// `NF_CT_STATE_BIT(IP_CT_NEW)`: a packet of the original direction, before any reply.
const NEW: u32 = 8;
/// `IFNAMSIZ`.
const NAME_LEN: usize = 16;

/// The chains and rules of the table, in order of the chains' names and then of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Contents {
    pub(super) chains: Vec<Chain>,
    pub(super) rules: Vec<Rule>,
}

/// A chain with its place in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Chain {
    pub(super) name: String,
    /// `filter`, or `route`: looks the route up again when the mark has changed. The family `inet`
    /// has the latter since Linux 5.2.
    kind: String,
    /// `NF_INET_*`; none for a chain that is only jumped to.
    hook: Option<u32>,
    priority: i32,
    policy: Option<u32>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) chain: String,
    expressions: Vec<Expression>,
}

impl Contents {
    /// What the table holds for these marks.
    pub(super) fn of(marks: &Marks) -> Self {
        Self {
            chains: vec![
                Chain::hooked("output", "route", 3),
                Chain::hooked("prerouting", "filter", 0),
            ],
            rules: vec![restoring(marks.mark), marking(marks), keeping(marks)],
        }
    }

    /// What a table holds, by the kernel's listings.
    pub(super) fn listed(mut chains: Vec<Chain>, mut rules: Vec<Rule>) -> Self {
        chains.sort();
        rules.sort_by(|a, b| a.chain.cmp(&b.chain));
        Self { chains, rules }
    }

    /// The marks that this is made for, if it is as [`Contents::of`] makes it.
    pub(super) fn marks(&self) -> Option<Marks> {
        let marks = self.rules.iter().find_map(marks_of)?;
        (is_markable(marks.mark) && Self::of(&marks) == *self).then_some(marks)
    }
}

/// Whether connections can be told apart by this mark.
pub(super) fn is_markable(mark: Mark) -> bool {
    mark.value != 0 && mark.value & !mark.mask == 0
}

/// The message that makes the table.
pub(super) fn new_table() -> Message {
    let mut notes = vec![0, u8::try_from(COMMENT.len() + 1).unwrap_or(u8::MAX)];
    notes.extend(COMMENT.as_bytes());
    notes.push(0);
    let parts =
        [text(TABLE, Marking::TABLE), number(TABLE_FLAGS, 0), attribute(TABLE_NOTES, &notes)];
    Message::new(NEW_TABLE, INET, &parts).with_flags(NLM_F_CREATE | NLM_F_EXCL)
}

/// Whether a table is awake, has no owner, and has as many parts as ours: nothing besides chains.
pub(super) fn is_plain_table(bytes: &[u8]) -> Result<bool, String> {
    let table = Attributes::read(bytes)?;
    Ok(table.number(TABLE_FLAGS).unwrap_or(0) == 0 && table.number(TABLE_USE) == Some(2))
}

/// Whether an object is in our table.
pub(super) fn is_in_table(bytes: &[u8]) -> bool {
    Attributes::read(bytes).is_ok_and(|object| object.text(TABLE) == Some(Marking::TABLE))
}

impl Chain {
    fn hooked(name: &str, kind: &str, hook: u32) -> Self {
        let (name, kind) = (name.into(), kind.into());
        Self { name, kind, hook: Some(hook), priority: PRIORITY, policy: Some(ACCEPT) }
    }

    /// The message that makes it.
    pub(super) fn message(&self) -> Message {
        let mut parts = vec![text(TABLE, Marking::TABLE), text(CHAIN_NAME, &self.name)];
        if let Some(hook) = self.hook {
            let priority = number(HOOK_PRIORITY, self.priority.cast_unsigned());
            parts.push(nested(CHAIN_HOOK, &[number(HOOK_NUMBER, hook), priority]));
            parts.push(text(CHAIN_TYPE, &self.kind));
        }
        parts.extend(self.policy.map(|policy| number(CHAIN_POLICY, policy)));
        Message::new(NEW_CHAIN, INET, &parts).with_flags(NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Reads a chain of the kernel's listing.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let chain = Attributes::read(bytes)?;
        let hook = chain.nested(CHAIN_HOOK)?;
        Ok(Self {
            name: chain.text(CHAIN_NAME).unwrap_or_default().to_owned(),
            kind: chain.text(CHAIN_TYPE).unwrap_or_default().to_owned(),
            hook: hook.number(HOOK_NUMBER),
            priority: hook.number(HOOK_PRIORITY).unwrap_or(0).cast_signed(),
            policy: chain.number(CHAIN_POLICY),
        })
    }
}

impl Rule {
    /// The message that adds it at the end of its chain.
    pub(super) fn message(&self) -> Message {
        let parts = [
            text(TABLE, Marking::TABLE),
            text(RULE_CHAIN, &self.chain),
            nested(RULE_EXPRESSIONS, &expression::write(&self.expressions)),
        ];
        Message::new(NEW_RULE, INET, &parts).with_flags(NLM_F_CREATE | NLM_F_APPEND)
    }

    /// Reads a rule of the kernel's listing; handles, positions and comments are passed over.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let rule = Attributes::read(bytes)?;
        let chain = rule.text(RULE_CHAIN).unwrap_or_default().to_owned();
        let expressions = expression::read(rule.bytes(RULE_EXPRESSIONS).unwrap_or_default())?;
        Ok(Self { chain, expressions })
    }
}

/// `iifname INPUT ct state new`, then the mark on the packet and on its connection.
fn marking(marks: &Marks) -> Rule {
    let mut expressions = vec![
        Expression::Load(Field::InputName),
        Expression::Equal(padded_name(&marks.input)),
        Expression::Load(Field::ConnectionState),
        Expression::Mask { kept: NEW, flipped: 0 },
        Expression::Differ(0_u32.to_ne_bytes().to_vec()),
    ];
    expressions.extend(set(Field::PacketMark, marks.mark));
    expressions.extend(set(Field::ConnectionMark, marks.mark));
    Rule { chain: "prerouting".into(), expressions }
}

/// `iifname INPUT ct mark & MASK == VALUE`, then the mark on the packet.
///
/// Later packets of a marked connection bear it as the first does: where marks count for the filter of
/// reverse paths (`src_valid_mark`), each of them is looked up as its reply will be.
fn keeping(marks: &Marks) -> Rule {
    let mut expressions =
        vec![Expression::Load(Field::InputName), Expression::Equal(padded_name(&marks.input))];
    expressions.extend(restoring(marks.mark).expressions);
    Rule { chain: "prerouting".into(), expressions }
}

/// `ct mark & MASK == VALUE`, then the mark on the packet.
fn restoring(mark: Mark) -> Rule {
    let mut expressions = vec![
        Expression::Load(Field::ConnectionMark),
        Expression::Mask { kept: mark.mask, flipped: 0 },
        Expression::Equal(mark.value.to_ne_bytes().to_vec()),
    ];
    expressions.extend(set(Field::PacketMark, mark));
    Rule { chain: "output".into(), expressions }
}

/// `FIELD set FIELD & ~MASK | VALUE`: the bits are clear when they are flipped.
fn set(field: Field, mark: Mark) -> [Expression; 3] {
    [
        Expression::Load(field),
        Expression::Mask { kept: !mark.mask, flipped: mark.value },
        Expression::Set(field),
    ]
}

/// The marks that a rule like [`marking`] names; whether it is one is not judged.
fn marks_of(rule: &Rule) -> Option<Marks> {
    let [Expression::Load(_), Expression::Equal(name), _, _, _, _, set, ..] = &*rule.expressions
    else {
        return None;
    };
    let Expression::Mask { kept, flipped } = set else { return None };
    let end = name.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(name.get(..end)?).ok()?;
    let mark = Mark { value: *flipped, mask: !*kept };
    Some(Marks { input: LinkName::new(name).ok()?, mark })
}

fn padded_name(name: &LinkName) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(NAME_LEN, 0);
    bytes
}

#[cfg(test)]
mod tests;
