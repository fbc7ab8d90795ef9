//! Why there is no intent.

use super::Style;
use crate::net::LinkName;

/// Why an attachment cannot be coordinated as things are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The interface is not there.
    #[error(
        "interface `{interface}` is not in the pod: put the coordinator after the plugin that makes it"
    )]
    NoInterface {
        /// The interface.
        interface: LinkName,
    },
    /// The interface has the name of the pair's end.
    #[error(
        "interface `{interface}` has the name that the pair to the node takes: name the pod's interface otherwise"
    )]
    NameReserved {
        /// The interface.
        interface: LinkName,
    },
    /// The interface has no address that can be used beyond its link.
    #[error(
        "interface `{interface}` has no usable IP addresses: only link-local ones or none; \
         give the plugin that makes it an IPAM, or let the coordinator be `disabled` for it"
    )]
    NoAddresses {
        /// The interface.
        interface: LinkName,
    },
    /// The container's id gives no link's name.
    #[error(
        "container id `{container}` gives the pair no name on the node: use an id of letters and digits"
    )]
    BadContainer {
        /// The id.
        container: String,
        /// What is wrong with the name.
        #[source]
        source: crate::net::BadLinkName,
    },
    /// The coordinator was not called for the first interface.
    #[error(
        "interface `{interface}` cannot be joined to the node: there is no pair `veth0` in the pod, \
         and `{default_nic}` is no veth; the coordinator must be enabled on `{default_nic}` as well"
    )]
    NoPair {
        /// The interface.
        interface: LinkName,
        /// The pod's first interface.
        default_nic: LinkName,
    },
    /// The mode does not suit what the pod has.
    #[error("mode overlay is not for interface `{interface}`: {reason}; use mode auto or underlay")]
    NotOverlay {
        /// The interface.
        interface: LinkName,
        /// Why.
        reason: String,
    },
    /// The pod is joined to its node in another way.
    #[error(
        "interface `{interface}` cannot be attached in this mode: \
         `{other}` joined the pod to its node the other way ({style:?}); use one mode for all, or auto"
    )]
    TwoStyles {
        /// The interface.
        interface: LinkName,
        /// An attachment of the pod.
        other: LinkName,
        /// How that one did it.
        style: Style,
    },
    /// The first interface cannot carry traffic to the node.
    #[error(
        "the pod's first interface `{default_nic}` does not lead to the node: {reason}; \
         set podDefaultCniNic to the interface of the cluster's default CNI plugin, \
         or enable the coordinator on `{default_nic}` in mode underlay"
    )]
    NoWayToNode {
        /// The pod's first interface.
        default_nic: LinkName,
        /// Why.
        reason: &'static str,
    },
    /// A link that is not ours has a name that the pair needs.
    #[error("`{link}` is taken in the {side}'s namespace: {reason}; remove or rename that link")]
    LinkTaken {
        /// Where.
        side: crate::net::Side,
        /// The name.
        link: LinkName,
        /// What it is.
        reason: String,
    },
    /// IPv6 does not run over such a link.
    #[error(
        "vethMTU {mtu} is too small: the pod has IPv6, which needs 1280 bytes (RFC 8200, section 5); raise vethMTU"
    )]
    SmallMtu {
        /// The bytes.
        mtu: u32,
    },
    /// The hardware address of such an interface cannot be chosen.
    #[error(
        "podMACPrefix cannot be applied to `{interface}`: {reason}; leave podMACPrefix out for this network"
    )]
    FixedMac {
        /// The interface.
        interface: LinkName,
        /// Why.
        reason: &'static str,
    },
    /// The chosen interface will never be there.
    #[error(
        "podDefaultRouteNic `{chosen}` doesn't exist in pod: it has, or will have, {}; name one of them",
        list(.known)
    )]
    NoSuchNic {
        /// The interface that was chosen.
        chosen: LinkName,
        /// The pod's interfaces.
        known: Vec<LinkName>,
    },
    /// All tables are in use.
    #[error("no table is free for `{interface}`: every number up to {last} is in use in the pod")]
    NoTable {
        /// The interface.
        interface: LinkName,
        /// The last number that was tried.
        last: u32,
    },
    /// The record is of a version that is not known here.
    #[error(
        "the record of `{interface}` has format {format}, and this version reads {}: \
         use the version that wrote it, or a later one",
        super::Record::FORMAT
    )]
    BadFormat {
        /// The interface.
        interface: LinkName,
        /// The format's number.
        format: u32,
    },
}

fn list(names: &[LinkName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
