//! One file for each verb; each parses, asks and answers.

mod add;
mod check;
mod del;
mod gc;
mod status;

use serde_json::Value;
use spiderpool_cni::{CniError, Request};

/// Does what was asked, and gives the JSON to print, if the verb has any.
///
/// # Errors
/// Whatever the verb has to tell the runtime.
pub(crate) fn run(request: Request) -> Result<Option<Value>, CniError> {
    match request {
        Request::Add { call, conf } => add::run(&call, &conf).map(Some),
        Request::Del { call, conf } => del::run(&call, &conf).map(|()| None),
        Request::Check { call, conf } => check::run(&call, &conf).map(|()| None),
        Request::Status { conf, .. } => status::run(&conf).map(|()| None),
        Request::Gc { conf, .. } => gc::run(&conf).map(|()| None),
        Request::Version { answer_in } => Ok(Some(answer_in.version_reply())),
    }
}
