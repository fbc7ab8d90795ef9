//! The steps of a rule: what is loaded, masked, compared and set.
//!
//! `contents` makes rules of them and compares rules by them. A rule of ours works in one register
//! of four bytes (sixteen for a link's name), register 1; whatever uses another one, or has an
//! attribute that is not known here, is [`Expression::Foreign`] and equal to nothing of ours.
//! Numbers and layouts are those of the kernel's `include/uapi/linux/netfilter/nf_tables.h`; what
//! goes through a register is in the machine's byte order. Invariants:
//!
//! 1. What is written is read back the same (`expressions_are_read_as_they_were_written`).
//! 2. Only what is known to the last attribute is taken for ours
//!    (`an_unknown_attribute_makes_an_expression_foreign`).

use super::attribute::{Attributes, attribute, list, nested, number, text};

/// `NFTA_LIST_ELEM`.
const ELEMENT: u16 = 1;
/// `NFTA_EXPR_NAME`.
const NAME: u16 = 1;
/// `NFTA_EXPR_DATA`.
const BODY: u16 = 2;
/// `NFTA_DATA_VALUE`.
const VALUE: u16 = 1;
/// `NFT_REG_1`.
const REGISTER: u32 = 1;
/// Bytes of a mark.
const MARK_LEN: u32 = 4;

/// `NFTA_META_DREG` and `NFTA_CT_DREG`.
const TARGET: u16 = 1;
/// `NFTA_META_KEY` and `NFTA_CT_KEY`.
const KEY: u16 = 2;
/// `NFTA_META_SREG`.
const META_SOURCE: u16 = 3;
/// `NFTA_CT_SREG`.
const CT_SOURCE: u16 = 4;

/// What a step loads or sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// The name of the link that the packet came in by (`NFT_META_IIFNAME`), 16 bytes.
    InputName,
    /// The packet's mark (`NFT_META_MARK`).
    PacketMark,
    /// The state of its connection, one bit each (`NFT_CT_STATE`).
    ConnectionState,
    /// Its connection's mark (`NFT_CT_MARK`).
    ConnectionMark,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    /// Puts a field into the register.
    Load(Field),
    /// Puts the register into a field.
    Set(Field),
    /// `(register & kept) ^ flipped`.
    Mask { kept: u32, flipped: u32 },
    /// Goes on if the register equals the bytes.
    Equal(Vec<u8>),
    /// Goes on if it does not.
    Differ(Vec<u8>),
    /// Anything else.
    Foreign,
}

/// The value of `NFTA_RULE_EXPRESSIONS`, as a list of elements.
pub(super) fn write(expressions: &[Expression]) -> Vec<Vec<u8>> {
    expressions.iter().filter_map(element).collect()
}

/// Reads the value of `NFTA_RULE_EXPRESSIONS`.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Expression>, String> {
    list(bytes)?
        .into_iter()
        .map(|(kind, value)| match kind {
            ELEMENT => {
                let element = Attributes::read(value)?;
                let body = element.nested(BODY)?;
                Ok(known(element.text(NAME), &body)?.unwrap_or(Expression::Foreign))
            }
            _ => Ok(Expression::Foreign),
        })
        .collect()
}

impl Field {
    /// The expression's name, the field's key in it, and the attribute to set it from a register.
    fn place(self) -> (&'static str, u32, u16) {
        match self {
            Self::InputName => ("meta", 6, META_SOURCE),
            Self::PacketMark => ("meta", 3, META_SOURCE),
            Self::ConnectionState => ("ct", 0, CT_SOURCE),
            Self::ConnectionMark => ("ct", 3, CT_SOURCE),
        }
    }

    fn at(name: &str, key: u32) -> Option<Self> {
        [Self::InputName, Self::PacketMark, Self::ConnectionState, Self::ConnectionMark]
            .into_iter()
            .find(|field| matches!(field.place(), (n, k, _) if n == name && k == key))
    }
}

/// Nothing for what cannot be written.
fn element(expression: &Expression) -> Option<Vec<u8>> {
    let (name, body) = match expression {
        Expression::Load(field) => {
            let (name, key, _) = field.place();
            (name, vec![number(KEY, key), number(TARGET, REGISTER)])
        }
        Expression::Set(field) => {
            let (name, key, source) = field.place();
            (name, vec![number(KEY, key), number(source, REGISTER)])
        }
        Expression::Mask { kept, flipped } => ("bitwise", bitwise::write(*kept, *flipped)),
        Expression::Equal(bytes) => ("cmp", compare::write(compare::EQUAL, bytes)),
        Expression::Differ(bytes) => ("cmp", compare::write(compare::DIFFER, bytes)),
        Expression::Foreign => return None,
    };
    Some(nested(ELEMENT, &[text(NAME, name), nested(BODY, &body)]))
}

fn known(name: Option<&str>, body: &Attributes<'_>) -> Result<Option<Expression>, String> {
    match name {
        Some(name @ ("meta" | "ct")) => Ok(load_or_set(name, body)),
        Some("bitwise") => bitwise::read(body),
        Some("cmp") => compare::read(body),
        _ => Ok(None),
    }
}

fn load_or_set(name: &str, body: &Attributes<'_>) -> Option<Expression> {
    let field = Field::at(name, body.number(KEY)?)?;
    let (_, _, source) = field.place();
    let kinds = body.kinds();
    if kinds == [TARGET, KEY] && body.number(TARGET) == Some(REGISTER) {
        Some(Expression::Load(field))
    } else if kinds == [KEY, source] && body.number(source) == Some(REGISTER) {
        Some(Expression::Set(field))
    } else {
        None
    }
}

fn data(body: &Attributes<'_>, kind: u16) -> Result<Option<Vec<u8>>, String> {
    let value = body.nested(kind)?;
    Ok(if value.kinds() == [VALUE] { value.bytes(VALUE).map(<[u8]>::to_vec) } else { None })
}

/// `NFTA_BITWISE_*`.
mod bitwise {
    use super::{
        Attributes, Expression, MARK_LEN, REGISTER, VALUE, attribute, data, nested, number,
    };

    const SOURCE: u16 = 1;
    const TARGET: u16 = 2;
    const LENGTH: u16 = 3;
    const MASK: u16 = 4;
    const XOR: u16 = 5;
    /// Kernels before 5.6 have no such attribute; 0, mask and xor, is what they do.
    const OPERATION: u16 = 6;

    pub(super) fn write(kept: u32, flipped: u32) -> Vec<Vec<u8>> {
        vec![
            number(SOURCE, REGISTER),
            number(TARGET, REGISTER),
            number(LENGTH, MARK_LEN),
            nested(MASK, &[attribute(VALUE, &kept.to_ne_bytes())]),
            nested(XOR, &[attribute(VALUE, &flipped.to_ne_bytes())]),
        ]
    }

    pub(super) fn read(body: &Attributes<'_>) -> Result<Option<Expression>, String> {
        let mut kinds = body.kinds();
        if body.number(OPERATION) == Some(0) {
            kinds.retain(|kind| *kind != OPERATION);
        }
        let is_ours = kinds == [SOURCE, TARGET, LENGTH, MASK, XOR]
            && body.number(SOURCE) == Some(REGISTER)
            && body.number(TARGET) == Some(REGISTER)
            && body.number(LENGTH) == Some(MARK_LEN);
        let (kept, flipped) = (word(body, MASK)?, word(body, XOR)?);
        Ok(match (kept, flipped) {
            (Some(kept), Some(flipped)) if is_ours => Some(Expression::Mask { kept, flipped }),
            _ => None,
        })
    }

    fn word(body: &Attributes<'_>, kind: u16) -> Result<Option<u32>, String> {
        Ok(data(body, kind)?.and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes))
    }
}

/// `NFTA_CMP_*`.
mod compare {
    use super::{Attributes, Expression, REGISTER, VALUE, attribute, data, nested, number};

    /// `NFT_CMP_EQ`.
    pub(super) const EQUAL: u32 = 0;
    /// `NFT_CMP_NEQ`.
    pub(super) const DIFFER: u32 = 1;

    const SOURCE: u16 = 1;
    const OPERATION: u16 = 2;
    const DATA: u16 = 3;

    pub(super) fn write(operation: u32, bytes: &[u8]) -> Vec<Vec<u8>> {
        vec![
            number(SOURCE, REGISTER),
            number(OPERATION, operation),
            nested(DATA, &[attribute(VALUE, bytes)]),
        ]
    }

    pub(super) fn read(body: &Attributes<'_>) -> Result<Option<Expression>, String> {
        let is_ours =
            body.kinds() == [SOURCE, OPERATION, DATA] && body.number(SOURCE) == Some(REGISTER);
        Ok(match (body.number(OPERATION), data(body, DATA)?) {
            (Some(EQUAL), Some(bytes)) if is_ours => Some(Expression::Equal(bytes)),
            (Some(DIFFER), Some(bytes)) if is_ours => Some(Expression::Differ(bytes)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field() -> impl Strategy<Value = Field> {
        prop::sample::select(vec![
            Field::InputName,
            Field::PacketMark,
            Field::ConnectionState,
            Field::ConnectionMark,
        ])
    }

    fn expression() -> impl Strategy<Value = Expression> {
        prop_oneof![
            field().prop_map(Expression::Load),
            field().prop_map(Expression::Set),
            any::<(u32, u32)>().prop_map(|(kept, flipped)| Expression::Mask { kept, flipped }),
            prop::collection::vec(any::<u8>(), 1..17).prop_map(Expression::Equal),
            prop::collection::vec(any::<u8>(), 1..17).prop_map(Expression::Differ),
        ]
    }

    fn read_body(name: &str, body: &[Vec<u8>]) -> Expression {
        let bytes = nested(ELEMENT, &[text(NAME, name), nested(BODY, body)]);
        read(&bytes).unwrap().remove(0)
    }

    #[test]
    fn an_unknown_attribute_makes_an_expression_foreign() {
        let load = [number(TARGET, 1), number(KEY, 3)];
        assert_eq!(read_body("ct", &load), Expression::Load(Field::ConnectionMark));
        // A direction (`NFTA_CT_DIRECTION`) is a narrower question.
        let narrower = [&load[..], &[attribute(3, &[0])]].concat();
        assert_eq!(read_body("ct", &narrower), Expression::Foreign);

        let masked = [&bitwise::write(1, 1)[..], &[number(6, 0)]].concat();
        assert_eq!(read_body("bitwise", &masked), Expression::Mask { kept: 1, flipped: 1 });
        let shifted = [&bitwise::write(1, 1)[..], &[number(6, 1)]].concat();
        assert_eq!(read_body("bitwise", &shifted), Expression::Foreign);
    }

    #[test]
    fn other_registers_fields_and_names_are_foreign() {
        assert_eq!(read_body("meta", &[number(TARGET, 2), number(KEY, 3)]), Expression::Foreign);
        assert_eq!(read_body("meta", &[number(TARGET, 1), number(KEY, 4)]), Expression::Foreign);
        assert_eq!(read_body("counter", &[]), Expression::Foreign);
        assert_eq!(read_body("cmp", &compare::write(2, &[1])), Expression::Foreign, "less than");
        assert_eq!(read(&attribute(2, &[])).unwrap(), [Expression::Foreign], "no list element");
    }

    proptest! {
        #[test]
        fn expressions_are_read_as_they_were_written(
            expressions in prop::collection::vec(expression(), 0..9),
        ) {
            prop_assert_eq!(read(&write(&expressions).concat()), Ok(expressions));
        }
    }
}
