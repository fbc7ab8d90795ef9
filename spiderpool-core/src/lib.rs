//! x
pub mod address;
pub mod name;
pub mod moment;
pub mod label;
pub mod definition;
pub mod owner;
pub mod slots;
pub mod event;
pub mod view;
pub mod request;
pub mod command;
pub mod refusal;
pub mod decide;
pub mod audit;
pub mod memory;
