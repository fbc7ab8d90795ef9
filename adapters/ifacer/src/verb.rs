//! One file for each verb that does something; each parses, asks and answers.

mod add;
mod check;
mod status;

use serde_json::Value;
use spiderpool_cni::{CniError, Request};

/// Does what was asked, and gives the JSON to print, if the verb has any.
///
/// # Errors
///
/// Whatever the verb has to tell the runtime.
pub(crate) fn run(request: Request) -> Result<Option<Value>, CniError> {
    match request {
        Request::Add { conf, .. } => add::run(&conf).map(Some),
        Request::Check { conf, .. } => check::run(&conf).map(|()| None),
        Request::Status { conf, .. } => status::run(&conf).map(|()| None),
        // The links are the node's: other pods rest on them, and the next ADD wants them again. A
        // configuration that is wrong by now must not keep a pod from going.
        Request::Del { .. } | Request::Gc { .. } => Ok(None),
        Request::Version { answer_in } => Ok(Some(answer_in.version_reply())),
    }
}
