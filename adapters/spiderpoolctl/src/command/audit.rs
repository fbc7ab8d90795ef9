//! `audit`: everything that is wrong with the store and its state.

use crate::copy::incomplete;
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::session::{Colour, Session};
use crate::table::{Table, counted};
use clap::Args;
use serde::Serialize;
use spiderpool_core::audit::{Severity, Violation, audit};
use spiderpool_store::{CheckReport, Discrepancy};

/// Look for everything that is wrong: leaks, broken rules, damage
///
/// A leak is an address that nobody can use although nobody has it, and reclaim heals it. Broken is
/// whatever could give one address twice, or a file that is damaged. Nothing is mended. The exit code is
/// 0 when nothing was found, 4 for leaks only, 5 when something is broken.
///
/// On a cluster the blocks are compared with the index, the pods, the endpoints, the pools and the
/// reservations as well, and what cannot be read is told. A note is worth knowing and nothing worse.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl audit\n  \
       spiderpoolctl --cluster audit\n  \
       spiderpoolctl audit -o json"
))]
pub(crate) struct Audit {}

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Audited {
    allocations: Option<u64>,
    blocks: Option<u64>,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    severity: Severity,
    what: String,
    violation: Option<Violation>,
    discrepancy: Option<Discrepancy>,
}

impl Audit {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Self {} = self;
        #[cfg(feature = "cluster")]
        if let Some(cluster) = session.cluster()? {
            return crate::cluster::audit(session, &cluster);
        }
        let store = session.look()?;
        let report = store.check()?;
        let counted = match store.load_all() {
            Ok(view) => Some(audit(&view).map_err(|need| incomplete(&need))?),
            Err(error) if report.discrepancies.is_empty() => return Err(error.into()),
            // What keeps it from being read is among the findings.
            Err(_) => None,
        };
        let audited = Audited {
            allocations: counted.as_ref().map(|audit| audit.allocations),
            blocks: counted.as_ref().map(|audit| audit.blocks),
            findings: findings(report),
        };
        session.show(&audited, || print(session, &audited))?;
        Ok(match audited.findings.iter().map(|finding| finding.severity).max() {
            None => Exit::Done,
            Some(Severity::Leak) => Exit::Leaks,
            Some(Severity::Broken) => Exit::Broken,
        })
    }
}

fn findings(report: CheckReport) -> Vec<Finding> {
    let damage = report.discrepancies.into_iter().map(|discrepancy| Finding {
        severity: Severity::Broken,
        what: discrepancy.to_string(),
        violation: None,
        discrepancy: Some(discrepancy),
    });
    let rules = report.violations.into_iter().map(|violation| Finding {
        severity: violation.severity(),
        what: violation.to_string(),
        violation: Some(violation),
        discrepancy: None,
    });
    damage.chain(rules).collect()
}

fn print(session: &Session, audited: &Audited) -> String {
    let mut text = String::new();
    if let (Some(allocations), Some(blocks)) = (audited.allocations, audited.blocks) {
        text.push_str(&format!(
            "{} in {}\n",
            counted(allocations, "allocation"),
            counted(blocks, "block")
        ));
    }
    if audited.findings.is_empty() {
        return text + &session.paint(Colour::Green, "nothing found") + "\n";
    }
    let mut table = Table::new(&["SEVERITY", "WHAT"]);
    for finding in &audited.findings {
        let severity = match finding.severity {
            Severity::Leak => session.paint(Colour::Yellow, "leak"),
            Severity::Broken => session.paint(Colour::Red, "broken"),
        };
        table.row([severity, finding.what.clone()]);
    }
    text + &table.print(0)
}
