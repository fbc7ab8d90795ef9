//! How a CNI plugin's process begins and ends.
//!
//! Every plugin's `main` is one call of [`run`]: environment and standard input in, the reply of
//! [`serve`] out. What is read is limited, and a reply that cannot be written is a failure.

use serde_json::Value;
use spiderpool_cni::{CniError, MAX_STDIN_BYTES, Request, SpecVersion, code, receive, serve};
use std::io::{Read, Write};
use std::panic::UnwindSafe;
use std::process::ExitCode;

/// Serves the one request that this process was started for; `answer` gives the JSON to print, if the verb
/// has any.
pub fn run(
    answer: impl FnOnce(Request) -> Result<Option<Value>, CniError> + UnwindSafe,
) -> ExitCode {
    let mut stdin = Vec::new();
    let limit = u64::try_from(MAX_STDIN_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let read = std::io::stdin().lock().take(limit).read_to_end(&mut stdin);
    let read = read.map_err(|error| CniError::caused_by(code::IO_FAILURE, &error));
    let reply = serve(SpecVersion::asked_in(&stdin), || {
        read?;
        answer(receive(std::env::vars_os(), &stdin)?)
    });
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(&reply.stdout).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::from(reply.exit),
        Err(_) => ExitCode::FAILURE,
    }
}
