//! `reclaim`: takes back what a reboot or a lost DEL left behind.
//!
//! A witness tells in which boot and which network namespace an allocation was made. What is certain to
//! be gone is reclaimed, at the generation that was judged; what cannot be known stays
//! (`unknown_is_never_reclaimed`).

use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::listing::{Row, State, parse_name, rows};
use crate::session::Session;
use crate::table::{Table, counted};
use clap::Args;
use serde::Serialize;
use spiderpool_core::command::{Answer, Claim, Command, Reclaim as Reclaimed};
use spiderpool_core::event::Ending;
use spiderpool_core::owner::Stage;
use spiderpool_netlink::witness::{Verdict, Witness};
use spiderpool_store::{Extra, Store};
use std::collections::BTreeMap;
use std::fs;

/// Take back addresses whose pods are gone: after a reboot, or when no DEL came
///
/// Judges the witness of every allocation: the boot and the network namespace it was made in. What is
/// certain to be gone is given back; what lives, what cannot be known and what belongs to a static
/// identity stays. Without --boot and --dead-namespaces, both kinds are looked for.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl reclaim --dry-run\n  \
       spiderpoolctl reclaim --boot --yes"
))]
pub(crate) struct Reclaim {
    /// Show what would go, give nothing back
    #[arg(long)]
    dry_run: bool,
    /// Only what an earlier boot left behind
    #[arg(long)]
    boot: bool,
    /// Only what is left of namespaces that are gone in this boot
    #[arg(long)]
    dead_namespaces: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// An allocation, and what became of its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Judgement {
    /// It was made before the last boot.
    OtherBoot,
    /// Its namespace is gone.
    Dead(String),
    /// It was granted ahead, and nothing attached is left of its container.
    Abandoned,
    /// It lives.
    Alive,
    /// Nothing certain is known.
    Unknown(String),
    /// A static identity keeps its address without a pod.
    Static,
}

/// One allocation in the answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Judged {
    #[serde(rename = "allocation")]
    row: Row,
    goes: bool,
    why: String,
}

impl Reclaim {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let store = session.look()?;
        let judged = self.judge(&store)?;
        let going: Vec<&Judged> = judged.iter().filter(|judged| judged.goes).collect();
        session.show(&judged, || print(session, &judged))?;
        if self.dry_run || going.is_empty() {
            return Ok(Exit::Done);
        }
        session.confirm(&format!("give {} back?", counted(going.len(), "address")), self.yes)?;
        let freed = give_back(session, &going)?;
        session.note(&format!("{} reclaimed", counted(freed, "address")));
        Ok(Exit::Done)
    }

    fn judge(&self, store: &Store) -> Result<Vec<Judged>, Failure> {
        let witnesses = store.witnesses()?;
        let bodies: BTreeMap<(&str, &str), &str> = witnesses
            .iter()
            .map(|witness| ((&*witness.container, &*witness.attachment), witness.body.as_str()))
            .collect();
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let mut rows = rows(&store.load_all()?)?;
        rows.retain(|row| row.state == State::Allocated);
        let judgements: Vec<_> = rows
            .iter()
            .map(|row| {
                let body = bodies.get(&(row.container.as_str(), row.attachment.as_str())).copied();
                judge(row, body, boot_id.trim())
            })
            .collect();
        let mut judged = Vec::new();
        for (row, judgement) in rows.iter().zip(&judgements) {
            let ahead = row.stage == Some(Stage::Ahead) && *judgement != Judgement::Static;
            let all = rows.iter().zip(&judgements);
            let mut siblings = all.filter(|(other, _)| {
                other.container == row.container && other.stage == Some(Stage::Attached)
            });
            let left = siblings.any(|(_, other)| !self.takes(other));
            let judgement = if ahead && !left { &Judgement::Abandoned } else { judgement };
            let (goes, why) = (self.takes(judgement), judgement.why());
            judged.push(Judged { row: row.clone(), goes, why });
        }
        Ok(judged)
    }

    /// Whether a judgement is one of those that were asked for.
    const fn takes(&self, judgement: &Judgement) -> bool {
        let both = !self.boot && !self.dead_namespaces;
        match judgement {
            Judgement::OtherBoot => both || self.boot,
            Judgement::Dead(_) => both || self.dead_namespaces,
            Judgement::Abandoned => true,
            Judgement::Alive | Judgement::Unknown(_) | Judgement::Static => false,
        }
    }
}

impl Judgement {
    fn why(&self) -> String {
        match self {
            Self::OtherBoot => "made before the last boot".to_owned(),
            Self::Dead(why) => format!("its namespace is gone: {why}"),
            Self::Abandoned => {
                "granted ahead, and nothing attached is left of its container".to_owned()
            }
            Self::Alive => "alive".to_owned(),
            Self::Unknown(why) => format!("unknown: {why}"),
            Self::Static => "a static identity keeps it".to_owned(),
        }
    }
}

fn judge(row: &Row, body: Option<&str>, boot_id: &str) -> Judgement {
    if row.is_static() {
        return Judgement::Static;
    }
    let Some(body) = body else {
        return Judgement::Unknown("it has no witness".to_owned());
    };
    let Ok(witness) = serde_json::from_str::<Witness>(body) else {
        return Judgement::Unknown("its witness cannot be read".to_owned());
    };
    match witness.judge() {
        Verdict::Alive => Judgement::Alive,
        Verdict::Unknown { why } => Judgement::Unknown(why),
        Verdict::Gone { .. } if witness.boot_id != boot_id => Judgement::OtherBoot,
        Verdict::Gone { why } => Judgement::Dead(why),
    }
}

fn give_back(session: &Session, going: &[&Judged]) -> Result<usize, Failure> {
    let mut extra = Extra::default();
    let mut claims = Vec::new();
    for Judged { row, .. } in going {
        claims.push(Claim { place: row.place(), generation: row.generation.unwrap_or_default() });
        if !row.container.is_empty() {
            let container = parse_name("container", &row.container)?;
            extra.remove.push((container, Some(parse_name("interface", &row.attachment)?)));
        }
    }
    let command = Command::Reclaim(Reclaimed { claims, statics: false, ending: Ending::Reclaimed });
    match session.open()?.execute(&command, session.moment(), &extra)? {
        Answer::Freed(freed) => Ok(freed.len()),
        Answer::Defined { .. }
        | Answer::Allocated(_)
        | Answer::Quarantined { .. }
        | Answer::Spared(_)
        | Answer::Done => Ok(0),
    }
}

fn print(session: &Session, judged: &[Judged]) -> String {
    let mut table = Table::new(&["ADDRESS", "OWNER", "INTERFACE", "POOL", "GOES", "WHY"]);
    for Judged { row, goes, why } in judged.iter().filter(|judged| judged.goes || session.is_wide())
    {
        table.row([
            row.address.to_string(),
            row.owner.clone(),
            row.attachment.clone(),
            row.pool.as_ref().map(ToString::to_string).unwrap_or_default(),
            if *goes { "yes" } else { "no" }.to_owned(),
            why.clone(),
        ]);
    }
    let mut text = if table.is_empty() { String::new() } else { table.print(0) };
    let going = judged.iter().filter(|judged| judged.goes).count();
    let unknown = judged.iter().filter(|judged| judged.why.starts_with("unknown")).count();
    let stays = judged.len() - going;
    text.push_str(&format!("left behind: {going}; staying: {stays}, {unknown} of them unknown\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use spiderpool_core::name::Name;

    fn row(owner: &str) -> Row {
        let name = |text: &str| Name::new(text).unwrap();
        Row {
            address: "10.0.0.1".parse().unwrap(),
            space: name("default"),
            state: State::Allocated,
            pool: None,
            owner: owner.into(),
            pod_uid: String::new(),
            container: "c".into(),
            attachment: "eth0".into(),
            network: None,
            node: String::new(),
            stage: Some(Stage::Attached),
            generation: Some(1),
            since_ms: None,
            until_ms: None,
            mac: None,
        }
    }

    #[test]
    fn unknown_is_never_reclaimed() {
        let every = [(false, false), (true, false), (false, true), (true, true)];
        for (boot, dead_namespaces) in every {
            let reclaim = Reclaim { dry_run: false, boot, dead_namespaces, yes: true };
            let owner = "container/n/c";
            assert!(!reclaim.takes(&judge(&row(owner), None, "b")));
            assert!(!reclaim.takes(&judge(&row(owner), Some("torn {"), "b")));
            let here = serde_json::to_string(&Witness::of("/proc/self/ns/net").unwrap()).unwrap();
            assert_eq!(judge(&row(owner), Some(&here), "b"), Judgement::Alive);
            let elsewhere = here.replace("/proc/self/ns/net", "/nowhere/at/all/pod");
            assert!(!reclaim.takes(&judge(&row(owner), Some(&elsewhere), "b")));
        }
    }

    #[test]
    fn boot_and_namespace_are_told_apart() {
        let mut witness = Witness::of("/proc/self/ns/net").unwrap();
        let boot_id = witness.boot_id.clone();
        witness.path = "/proc/self/gone".into();
        let body = serde_json::to_string(&witness).unwrap();
        assert!(matches!(judge(&row("pod/u"), Some(&body), &boot_id), Judgement::Dead(_)));
        assert_eq!(judge(&row("identity/x"), Some(&body), &boot_id), Judgement::Static);
        witness.boot_id = "5d1b62a0-0000-4000-8000-000000000000".into();
        let body = serde_json::to_string(&witness).unwrap();
        assert_eq!(judge(&row("pod/u"), Some(&body), &boot_id), Judgement::OtherBoot);
    }
}
