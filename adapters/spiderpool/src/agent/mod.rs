//! The agent of the node as the keeper of allocations, asked over its socket.
//!
//! Called by the verbs where `ledger` says so. The agent decides; what is asked on the wire, and when
//! another address is asked for, is the same as with the embedded store (`verb::settle`). Which addresses
//! are asked about is what the agent says of each, since it knows that a pod is a migration's target.
//! Invariants, kept by tests in `tests/agent`:
//!
//! 1. One exchange for an ADD that meets no trouble (`an_add_is_one_exchange`).
//! 2. An ADD that fails after a grant, or does not know whether there was one, gives back what its
//!    container was granted (`an_add_without_an_answer_gives_back`).
//! 3. A DEL needs container and interface only; an agent that is away is an error, which the runtime
//!    repeats, and an agent's own refusal is none: the collector is the safety net, as in the reference
//!    (`a_release_that_reaches_nobody_is_asked_again`, `a_release_that_is_refused_is_left_to_the_collector`).
//! 4. What the agent says is not believed where it contradicts itself (`hostile_replies_give_no_address`).

mod add;
mod lift;
mod verbs;

pub(crate) use add::Agent;
pub(crate) use verbs::{Held, check, collect, release, status};

use spiderpool_cni::Call;

/// The pod of a call, as far as the runtime says who it is.
#[derive(Clone, Debug, Default)]
struct Pod {
    namespace: String,
    name: String,
    uid: String,
}

impl Pod {
    fn of<N>(call: &Call<N>) -> Self {
        let argument = |key: &str| call.args.get(key).cloned().unwrap_or_default();
        Self {
            namespace: argument("K8S_POD_NAMESPACE"),
            name: argument("K8S_POD_NAME"),
            uid: argument("K8S_POD_UID"),
        }
    }
}
