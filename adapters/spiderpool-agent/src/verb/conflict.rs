//! A report that another host answers for an address which was granted.

use super::unexpected;
use crate::agent::Agent;
use crate::failure::Failure;
use crate::herald::{About, Told, Weight};
use spiderpool_agent_api::ApiVersion;
use spiderpool_agent_api::message::{IpamConflictArgs, IpamConflictResponse, Outcome};
use spiderpool_core::command::{Answer, Claim, Command, Conflict, Place, Suspicion};
use spiderpool_core::name::Name;
use spiderpool_core::refusal::{ChangeRefusal, Refusal};
use spiderpool_kube::cluster::port::{Ask, Fault};
use std::net::IpAddr;

pub(crate) async fn run(
    agent: &Agent,
    args: IpamConflictArgs,
) -> Result<IpamConflictResponse, Failure> {
    let conflict = lift(&args)?;
    let session = agent.session(&args.container_id, args.deadline_ms).await?;
    let command = Command::Conflict(conflict);
    let ask = Ask { command, endpoint: None, deadline_ms: session.deadline_ms };
    let (outcome, reason) = match agent.store.ask(ask).await {
        Ok(Answer::Quarantined { .. }) => (Outcome::Quarantined, None),
        Ok(Answer::Spared(suspicion)) => (Outcome::Spared, Some(suspected(suspicion))),
        Ok(answer) => return Err(unexpected(&answer)),
        Err(Fault::Refused(refusal)) => weigh(*refusal)?,
        Err(fault) => return Err(fault.into()),
    };
    tell(agent, &args, outcome);
    Ok(IpamConflictResponse { outcome, reason, api_version: ApiVersion::CURRENT })
}

fn weigh(refusal: Refusal) -> Result<(Outcome, Option<String>), Failure> {
    let why = refusal.to_string();
    match refusal {
        Refusal::Change(ChangeRefusal::Static { .. }) => Ok((Outcome::Static, Some(why))),
        Refusal::Change(ChangeRefusal::Stale { .. } | ChangeRefusal::NotAllocated { .. }) => {
            Ok((Outcome::Gone, Some(why)))
        }
        other @ (Refusal::Change(_) | Refusal::Allocate(_) | Refusal::Define(_)) => {
            Err(Fault::Refused(Box::new(other)).into())
        }
    }
}

fn lift(args: &IpamConflictArgs) -> Result<Conflict, Failure> {
    let told = |field: &str, got: &str| Failure::bad(format!("`{field}` cannot be `{got}`"));
    let address: IpAddr = args.address.parse().map_err(|_| told("address", &args.address))?;
    let mac = mac(&args.mac).ok_or_else(|| told("mac", &args.mac))?;
    let place = Place { space: Name::new(&args.space)?, address };
    let generation = args.generation.unwrap_or_default();
    Ok(Conflict { claim: Claim { place, generation }, mac })
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

fn suspected(suspicion: Suspicion) -> String {
    match suspicion {
        Suspicion::OneMacForMany { addresses, .. } => format!(
            "the same host answers for {addresses} addresses: it looks like a router with proxy ARP, which is to be told to leave the pool's addresses alone"
        ),
        Suspicion::TooMany { quarantined } => format!(
            "{quarantined} addresses of the pool are in quarantine already: look for what answers for them"
        ),
    }
}

/// The conflict is told on the pod, whose owner wonders at the address that changed.
fn tell(agent: &Agent, args: &IpamConflictArgs, outcome: Outcome) {
    let IpamConflictArgs { address, mac, if_name, .. } = args;
    tracing::warn!(
        address,
        mac,
        if_name,
        container_id = args.container_id,
        ?outcome,
        "ip conflict"
    );
    let (Ok(namespace), Ok(name)) = (Name::new(&args.pod_namespace), Name::new(&args.pod_name))
    else {
        return;
    };
    let what = match outcome {
        Outcome::Quarantined => "it is in quarantine, and the pod gets another",
        Outcome::Static => "it belongs to a static identity, which gets no other: find that host",
        Outcome::Spared => "too many addresses are answered for: is it a router with proxy ARP?",
        Outcome::Gone | Outcome::Unknown => return,
    };
    agent.herald.tell(Told {
        about: About::Pod { namespace, name, uid: args.pod_uid.clone() },
        weight: Weight::Warning,
        reason: "AddressConflict",
        text: format!("interface {if_name}: ip conflict: {address} is located at {mac}; {what}"),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_read() {
        assert_eq!(mac("02:00:00:00:0a:ff"), Some([2, 0, 0, 0, 10, 255]));
        for bad in
            ["", "02:00:00:00:00", "02:00:00:00:00:00:00", "2:0:0:0:0:0", "zz:00:00:00:00:00"]
        {
            assert_eq!(mac(bad), None, "{bad}");
        }
    }
}
