//! Pods with names as a cluster makes them: a UID of 36 characters, a container id of 64, a node.

use crate::chance::Chance;
use spiderpool_core::command::Release;
use spiderpool_core::name::{BadName, Name};
use spiderpool_core::owner::{Holder, Owner, Placement};
use spiderpool_core::request::{FamilyPolicy, PoolNames, Request, Sources, Subject};

/// How many nodes the pods run on.
const NODES: u64 = 100;

/// A pod, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pod(pub u64);

impl Pod {
    /// Its incarnation, all names of the usual lengths.
    ///
    /// # Errors
    /// Never: the names are well formed (`names_have_their_usual_lengths`).
    pub fn holder(self) -> Result<Holder, BadName> {
        let uid = Name::new(&self.uid())?;
        Ok(Holder {
            owner: Owner::pod(&uid)?,
            pod_uid: Some(uid),
            container: Some(self.container()?),
            node: Name::new(&format!("worker-{:05}", self.0 % NODES))?,
        })
    }

    /// Its request for `eth0` from the pools of these names, with a ticket.
    ///
    /// # Errors
    /// As [`Pod::holder`].
    pub fn request(self, pools: &PoolNames, ticket: u64) -> Result<Request, BadName> {
        Ok(Request {
            holder: self.holder()?,
            attachment: Name::new("eth0")?,
            network: Name::new("underlay")?,
            subject: self.subject(),
            sources: Sources { pod: Some(pools.clone()), ..Sources::default() },
            named: Vec::new(),
            routes: Vec::new(),
            clean_gateway: false,
            families: FamilyPolicy::Require,
            only: None,
            master: None,
            ticket,
        })
    }

    /// Its DEL, with a ticket.
    ///
    /// # Errors
    /// As [`Pod::holder`].
    pub fn release(self, ticket: u64) -> Result<Release, BadName> {
        Ok(Release { container: self.container()?, attachment: None, ticket })
    }

    fn subject(self) -> Subject {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        Subject {
            pod_labels: labels(&[
                ("app", "web"),
                ("pod-template-hash", "6d4cf56db6"),
                ("tier", "front"),
            ]),
            namespace: "shop".to_owned(),
            namespace_labels: labels(&[("kubernetes.io/metadata.name", "shop"), ("team", "sales")]),
            node_labels: labels(&[("kubernetes.io/os", "linux"), ("zone", "z1")]),
            networks: [("eth0".to_owned(), "kube-system/underlay".to_owned())].into(),
        }
    }

    fn uid(self) -> String {
        let mut chance = Chance::new(self.0);
        let (high, low) = (chance.draw(), chance.draw());
        let [a, b, c] = [high >> 32, (high >> 16) & 0xffff, high & 0xfff];
        format!("{a:08x}-{b:04x}-4{c:03x}-9{:03x}-{:012x}", (low >> 52), low & 0xffff_ffff_ffff)
    }

    fn container(self) -> Result<Name, BadName> {
        let mut chance = Chance::new(!self.0);
        let words = [chance.draw(), chance.draw(), chance.draw(), chance.draw()];
        Name::new(&words.map(|word| format!("{word:016x}")).concat())
    }
}

/// Where a grant through `pool` belongs.
///
/// # Errors
/// When `pool` is no name.
pub fn placement(pool: &str) -> Result<Placement, BadName> {
    let (pool, attachment) = (Name::new(pool)?, Name::new("eth0")?);
    Ok(Placement { pool, attachment, network: Some(Name::new("underlay")?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_usual_lengths() {
        for number in [0, 1, 99_999_999] {
            let holder = Pod(number).holder().unwrap();
            assert_eq!(holder.pod_uid.unwrap().len(), 36);
            assert_eq!(holder.container.unwrap().len(), 64);
            assert_eq!(holder.node.len(), 12);
        }
    }
}
