//! x
pub mod address;
pub mod name;
pub mod moment;
pub mod label;
pub mod definition;
