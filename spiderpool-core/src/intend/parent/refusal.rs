//! Why pods' interfaces cannot have the parent that is configured.

use crate::net::{BadBond, LinkName};

/// Why pods' interfaces cannot have the parent that is configured; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParentRefusal {
    /// There is nothing to rest on.
    #[error("no interface is given: name at least one in `interfaces`")]
    NoInterface,
    /// One interface is named twice.
    #[error("the interface `{name}` is given twice: give it once")]
    Repeated {
        /// The interface.
        name: LinkName,
    },
    /// Several interfaces and nothing that makes them one.
    #[error(
        "{interfaces} are several interfaces: give `bond` to make one of them, or name just one"
    )]
    NoBond {
        /// The interfaces.
        interfaces: String,
    },
    /// An interface is not there.
    #[error("the node has no interface `{name}`; it has {there}")]
    NoLink {
        /// The interface.
        name: LinkName,
        /// Those that are there.
        there: String,
    },
    /// A link of that name is something else.
    #[error(
        "`{name}` is {found}, and {wanted} is wanted under that name: delete it, or choose another name"
    )]
    OtherLink {
        /// The name.
        name: LinkName,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// The VLAN is there under another name.
    #[error(
        "{tag} is on `{parent}` already, as `{found}`, and a link has each number once: rename it to `{wanted}`, delete it, or choose another number"
    )]
    OtherName {
        /// The VLAN.
        tag: String,
        /// The link below.
        parent: LinkName,
        /// The name that it has.
        found: LinkName,
        /// The name that it should have.
        wanted: LinkName,
    },
    /// A VLAN's name would be too long.
    #[error(
        "`{name}` is too long for a link's name: rename `{parent}` (`ip link set {parent} name …`), or name the bond, with {most} bytes or fewer"
    )]
    LongName {
        /// The name.
        name: String,
        /// The link below.
        parent: LinkName,
        /// How long the parent's name may be, in bytes.
        most: usize,
    },
    /// A parent cannot carry packets of that size.
    #[error(
        "an MTU of {mtu} bytes is more than `{parent}` carries: give {most} or less, or set that of `{parent}` first"
    )]
    LargeMtu {
        /// What is wished for, in bytes.
        mtu: u32,
        /// The link below.
        parent: LinkName,
        /// What it has, in bytes.
        most: u32,
    },
    /// A bond's options are wrong.
    #[error("the bond's options cannot be had")]
    BadBond(#[source] BadBond),
    /// A bond would be its own port.
    #[error("the bond `{bond}` cannot be its own port: choose another `bond.name`")]
    OwnPort {
        /// The bond.
        bond: LinkName,
    },
    /// An option names a port that the bond does not have.
    #[error(
        "the bond option `{option}` is `{port}`, which is no port of the bond: choose one of {ports}"
    )]
    Stranger {
        /// The kernel's name of the option.
        option: &'static str,
        /// What it names.
        port: LinkName,
        /// The ports.
        ports: String,
    },
    /// A link cannot be a port.
    #[error(
        "`{port}` cannot be a bond's port: name links to the network, neither loopback nor a bond"
    )]
    NoPort {
        /// The link.
        port: LinkName,
    },
    /// A port belongs to another bond or bridge.
    #[error(
        "`{port}` is a port of `{controller}`: take it from there (`ip link set {port} nomaster`), or name another"
    )]
    OthersPort {
        /// The port.
        port: LinkName,
        /// What it is a port of.
        controller: LinkName,
    },
    /// The bond has a port that is not configured: it is somebody else's bond.
    #[error(
        "the bond `{bond}` has the port `{port}`, and only {ports} are configured: name it too, take it from the bond, or choose another `bond.name`"
    )]
    ForeignPort {
        /// The bond.
        bond: LinkName,
        /// The port.
        port: LinkName,
        /// The ports that are configured.
        ports: String,
    },
    /// A bond that works has an option that only a bond without ports can be given.
    #[error(
        "the bond `{bond}` has {option} {found}, and {option} {wanted} is wanted: that cannot change while it has ports ({ports}), and pods may be using it; configure what it has, take its ports away first, or choose another `bond.name`"
    )]
    Fixed {
        /// The bond.
        bond: LinkName,
        /// The kernel's name of the option.
        option: &'static str,
        /// Its value.
        found: String,
        /// The value wished for.
        wanted: String,
        /// The bond's ports.
        ports: String,
    },
    /// The node would lose its addresses.
    #[error(
        "`{port}` carries {carries}, which a bond's port loses: move it to the bond first, name another interface, or set `takeOverAddresses` to give it up"
    )]
    Carries {
        /// The port to be.
        port: LinkName,
        /// What it carries.
        carries: String,
    },
}
