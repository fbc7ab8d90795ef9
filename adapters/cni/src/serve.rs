//! From whatever a plugin does to what the runtime sees.
//!
//! Called by every plugin's `main`, which writes [`Reply::stdout`] and exits with [`Reply::exit`]; should that
//! write fail, it must exit with another code than 0. Invariants:
//!
//! 1. A panic is an error with code 999, never a success (`a_panic_is_an_error`).
//! 2. Standard output holds one JSON object, or nothing where success has nothing to say
//!    (`what_the_runtime_sees`).

use std::panic::{UnwindSafe, catch_unwind};

use serde_json::Value;

use crate::{
    error::{CniError, code},
    field::excerpt,
    version::SpecVersion,
};

/// What one invocation leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a reply that is not written leaves the runtime without an answer"]
pub struct Reply {
    /// The bytes for standard output.
    pub stdout: Vec<u8>,
    /// The exit code of the process: 0 for success, 1 for an error.
    pub exit: u8,
}

/// The reply of a plugin whose work is `work`, errors and panics told in `version`.
///
/// `version` is what [`SpecVersion::asked_in`] finds. `work` gives the JSON to print, if the verb has any. The
/// panic hook is left alone, so a panic also appears on standard error.
///
/// ```
/// use spiderpool_cni::{CniError, SpecVersion, code, serve};
///
/// let reply = serve(SpecVersion::V1_0_0, || Err(CniError::new(code::TRY_AGAIN_LATER, "busy")));
/// assert_eq!(reply.exit, 1);
/// assert_eq!(reply.stdout, b"{\"cniVersion\":\"1.0.0\",\"code\":11,\"msg\":\"busy\"}\n");
/// ```
pub fn serve(
    version: SpecVersion,
    work: impl FnOnce() -> Result<Option<Value>, CniError> + UnwindSafe,
) -> Reply {
    match catch_unwind(work) {
        Ok(Ok(None)) => Reply { stdout: Vec::new(), exit: 0 },
        Ok(Ok(Some(answer))) if answer.is_object() => Reply { stdout: line(&answer), exit: 0 },
        Ok(Ok(Some(other))) => failure(version, &no_object(&other)),
        Ok(Err(error)) => failure(version, &error),
        Err(payload) => {
            let error = panicked(payload.as_ref());
            // Dropping somebody's own payload could panic again, and nobody would catch that.
            std::mem::forget(payload);
            failure(version, &error)
        }
    }
}

fn failure(version: SpecVersion, error: &CniError) -> Reply {
    Reply { stdout: line(&error.lower(version)), exit: 1 }
}

fn line(object: &Value) -> Vec<u8> {
    format!("{object}\n").into_bytes()
}

fn no_object(got: &Value) -> CniError {
    CniError::new(code::INTERNAL, "the plugin's answer is not a JSON object")
        .with_details(format!("got `{}`; please report this", excerpt(got)))
}

fn panicked(payload: &(dyn std::any::Any + Send)) -> CniError {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text");
    CniError::new(code::INTERNAL, "the plugin panicked; please report this").with_details(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(work: impl FnOnce() -> Result<Option<Value>, CniError> + UnwindSafe) -> (Value, u8) {
        let reply = serve(SpecVersion::V0_4_0, work);
        let text = String::from_utf8(reply.stdout).unwrap();
        let value =
            if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        (value, reply.exit)
    }

    #[test]
    fn what_the_runtime_sees() {
        assert_eq!(seen(|| Ok(None)), (Value::Null, 0));
        assert_eq!(seen(|| Ok(Some(json!({"a": 1})))), (json!({"a": 1}), 0));
        let error = json!({"cniVersion": "0.4.0", "code": 7, "msg": "no"});
        assert_eq!(seen(|| Err(CniError::new(7, "no"))), (error, 1));
        let (answer, exit) = seen(|| Ok(Some(json!([]))));
        assert_eq!((&answer["code"], exit), (&json!(999), 1));
    }

    #[test]
    fn a_panic_is_an_error() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("the payload's own drop");
            }
        }
        let check = |(answer, exit): (Value, u8), details: &str| {
            assert_eq!(
                (&answer["code"], &answer["details"], exit),
                (&json!(999), &json!(details), 1)
            );
            assert_eq!(answer["cniVersion"], "0.4.0");
        };
        check(seen(|| panic!("plain")), "plain");
        check(seen(|| panic!("formatted {}", 1)), "formatted 1");
        check(seen(|| std::panic::panic_any(7_u8)), "a panic without text");
        check(seen(|| std::panic::panic_any(Bomb)), "a panic without text");
    }
}
