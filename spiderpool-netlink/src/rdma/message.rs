//! The messages of `NETLINK_RDMA`: what is asked, and what its answers mean.

use std::fmt;
use std::os::fd::RawFd;

use neli::consts::genl::NlAttrType;
use neli::consts::nl::NlType;
use neli::genl::{AttrTypeBuilder, Nlattr, NlattrBuilder};
use neli::types::{Buffer, GenlBuffer};

use super::fault::text;

/// Commands, with the client number of device management (`RDMA_NL_NLDEV` is 5, shifted by 10).
#[neli::neli_enum(serialized_type = "u16")]
pub(super) enum Command {
    Get = (5 << 10) + 1,
    Set = (5 << 10) + 2,
    NewLink = (5 << 10) + 3,
    PortGet = (5 << 10) + 5,
    SysGet = (5 << 10) + 6,
    SysSet = (5 << 10) + 7,
}

impl NlType for Command {}

/// Attributes (`enum rdma_nldev_attr`).
#[neli::neli_enum(serialized_type = "u16")]
pub(super) enum Field {
    DevIndex = 1,
    DevName = 2,
    PortIndex = 3,
    FwVersion = 5,
    NodeGuid = 6,
    SysImageGuid = 7,
    NdevIndex = 50,
    NdevName = 51,
    LinkType = 65,
    SysNetnsMode = 66,
    DevProtocol = 67,
    NetNsFd = 68,
}

impl NlAttrType for Field {}

/// There is no header of the family: attributes follow the netlink header.
pub(super) type Attributes = GenlBuffer<Field, Buffer>;

/// Whether each network namespace has its own RDMA devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SharingMode {
    /// A device is in one namespace, and can be moved.
    Exclusive,
    /// Every namespace sees every device.
    Shared,
}

impl fmt::Display for SharingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
        })
    }
}

/// An RDMA device, seen from the namespace that it is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RdmaDevice {
    /// Its name.
    pub name: String,
    /// Its number, which it keeps when it moves.
    pub index: u32,
    /// Its node GUID; 0 if it does not say.
    pub node_guid: u64,
    /// The GUID of the system image, which the functions of one card share; 0 if it does not say.
    pub system_image_guid: u64,
    /// The firmware's version, if it says.
    pub firmware: Option<String>,
    /// The protocol: `ib`, `roce`, `iw`; if it says.
    pub protocol: Option<String>,
}

/// A port of an RDMA device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RdmaLink {
    /// The device's name.
    pub device: String,
    /// The port's number, from 1.
    pub port: u32,
    /// The network device behind it, where it is in the same namespace.
    pub netdev: Option<String>,
}

/// A request under construction.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: Command,
    fields: Vec<(Field, Vec<u8>)>,
}

impl Request {
    pub(super) const fn new(command: Command) -> Self {
        Self { command, fields: Vec::new() }
    }

    pub(super) fn device(self, index: u32) -> Self {
        self.with(Field::DevIndex, index.to_ne_bytes())
    }

    pub(super) fn name(self, name: &str) -> Self {
        self.with(Field::DevName, terminated(name))
    }

    pub(super) fn kind(self, kind: &str) -> Self {
        self.with(Field::LinkType, terminated(kind))
    }

    pub(super) fn netdev(self, name: &str) -> Self {
        self.with(Field::NdevName, terminated(name))
    }

    pub(super) fn namespace(self, fd: RawFd) -> Self {
        self.with(Field::NetNsFd, fd.to_ne_bytes())
    }

    pub(super) fn mode(self, mode: SharingMode) -> Self {
        self.with(Field::SysNetnsMode, [u8::from(mode == SharingMode::Shared)])
    }

    fn with(mut self, field: Field, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((field, value.into()));
        self
    }

    pub(super) fn attributes(&self) -> Result<Attributes, String> {
        self.fields.iter().map(|(field, value)| attribute(*field, value)).collect()
    }
}

fn attribute(field: Field, value: &[u8]) -> Result<Nlattr<Field, Buffer>, String> {
    let kind = AttrTypeBuilder::default().nla_type(field).build();
    let kind = kind.map_err(|error| error.to_string())?;
    let built = NlattrBuilder::default().nla_type(kind).nla_payload(Buffer::from(value)).build();
    built.map_err(|error| error.to_string())
}

fn terminated(text: &str) -> Vec<u8> {
    text.bytes().chain([0]).collect()
}

/// The system's mode, if this answer has it.
pub(super) fn sharing_mode(answer: &Attributes) -> Option<SharingMode> {
    match value(answer, Field::SysNetnsMode)? {
        [0] => Some(SharingMode::Exclusive),
        [_] => Some(SharingMode::Shared),
        _ => None,
    }
}

/// The device that an answer is about.
pub(super) fn device(answer: &Attributes) -> Result<RdmaDevice, String> {
    Ok(RdmaDevice {
        name: word(answer, Field::DevName).ok_or("a device without a name")?,
        index: number(answer, Field::DevIndex).ok_or("a device without a number")?,
        node_guid: guid(answer, Field::NodeGuid),
        system_image_guid: guid(answer, Field::SysImageGuid),
        firmware: word(answer, Field::FwVersion),
        protocol: word(answer, Field::DevProtocol),
    })
}

/// The port that an answer is about.
pub(super) fn link(answer: &Attributes) -> Result<RdmaLink, String> {
    Ok(RdmaLink {
        device: word(answer, Field::DevName).ok_or("a port without a device")?,
        port: number(answer, Field::PortIndex).ok_or("a port without a number")?,
        netdev: word(answer, Field::NdevName),
    })
}

fn value(answer: &Attributes, field: Field) -> Option<&[u8]> {
    let found = answer.iter().find(|attribute| *attribute.nla_type().nla_type() == field)?;
    Some(found.nla_payload().as_ref())
}

fn word(answer: &Attributes, field: Field) -> Option<String> {
    value(answer, field).map(text).filter(|text| !text.is_empty())
}

fn number(answer: &Attributes, field: Field) -> Option<u32> {
    value(answer, field)?.try_into().ok().map(u32::from_ne_bytes)
}

fn guid(answer: &Attributes, field: Field) -> u64 {
    let bytes = value(answer, field).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u64::from_ne_bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use neli::consts::nl::NlmF;
    use neli::nl::{NlPayload, NlmsghdrBuilder};
    use neli::{Size, ToBytes};
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(request: &Request, flags: NlmF) -> Vec<u8> {
        let message = NlmsghdrBuilder::default()
            .nl_type(request.command)
            .nl_flags(flags)
            .nl_seq(7)
            .nl_payload(NlPayload::Payload(request.attributes().unwrap()))
            .build()
            .unwrap();
        let mut buffer = Cursor::new(vec![0; message.padded_size()]);
        message.to_bytes(&mut buffer).unwrap();
        buffer.into_inner()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes
            .chunks(4)
            .map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect())
            .collect::<Vec<String>>()
            .join(" ")
    }

    #[test]
    fn requests_are_what_the_header_says() {
        let check = |request: Request, flags: NlmF, expected: &str| {
            assert_eq!(hex(&bytes_of(&request, flags)), expected, "{request:?}");
        };
        // Length, type and flags, sequence, port; then for each attribute length, type, value.
        let ask = NlmF::REQUEST | NlmF::ACK;
        check(Request::new(Command::SysGet), ask, "10000000 06140500 07000000 00000000");
        check(
            Request::new(Command::SysSet).mode(SharingMode::Exclusive),
            ask,
            "18000000 07140500 07000000 00000000 05004200 00000000",
        );
        check(
            Request::new(Command::Get),
            NlmF::REQUEST | NlmF::DUMP,
            "10000000 01140103 07000000 00000000",
        );
        check(
            Request::new(Command::Set).device(1).namespace(9),
            ask,
            "20000000 02140500 07000000 00000000 08000100 01000000 08004400 09000000",
        );
        check(
            Request::new(Command::Set).device(2).name("roce7"),
            ask,
            "24000000 02140500 07000000 00000000 08000100 02000000 0a000200 726f6365 37000000",
        );
        check(
            Request::new(Command::NewLink).name("a").kind("rxe").netdev("e0"),
            ask,
            "28000000 03140500 07000000 00000000 06000200 61000000 08004100 72786500 07003300 65300000",
        );
        check(
            Request::new(Command::PortGet).device(3),
            NlmF::REQUEST | NlmF::DUMP,
            "18000000 05140103 07000000 00000000 08000100 03000000",
        );
    }

    fn answer(fields: Vec<(Field, Vec<u8>)>) -> Attributes {
        Request { command: Command::Get, fields }.attributes().unwrap()
    }

    #[test]
    fn a_device_is_read() {
        let told = answer(vec![
            (Field::DevIndex, 4_u32.to_ne_bytes().into()),
            (Field::DevName, b"mlx5_2\0".to_vec()),
            (Field::NodeGuid, 0x0200_00ff_fe00_0001_u64.to_ne_bytes().into()),
            (Field::FwVersion, b"\0".to_vec()),
        ]);
        let expected = RdmaDevice {
            name: "mlx5_2".into(),
            index: 4,
            node_guid: 0x0200_00ff_fe00_0001,
            system_image_guid: 0,
            firmware: None,
            protocol: None,
        };
        assert_eq!(device(&told), Ok(expected));
        assert_eq!(device(&answer(Vec::new())), Err("a device without a name".into()));
        assert_eq!(
            sharing_mode(&answer(vec![(Field::SysNetnsMode, vec![0])])),
            Some(SharingMode::Exclusive)
        );
        assert_eq!(
            sharing_mode(&answer(vec![(Field::SysNetnsMode, vec![1])])),
            Some(SharingMode::Shared)
        );
        assert_eq!(sharing_mode(&answer(vec![(Field::SysNetnsMode, vec![])])), None);
    }

    proptest! {
        #[test]
        fn hostile_answers_end_in_an_error(
            fields in prop::collection::vec((0_u16..80, prop::collection::vec(any::<u8>(), 0..20)), 0..8),
        ) {
            let told = answer(fields.into_iter().map(|(kind, value)| (Field::from(kind), value)).collect());
            if let Ok(device) = device(&told) {
                prop_assert!(!device.name.is_empty());
            }
            if let Ok(link) = link(&told) {
                prop_assert!(!link.device.is_empty());
            }
            let _mode: Option<SharingMode> = sharing_mode(&told);
        }
    }
}
