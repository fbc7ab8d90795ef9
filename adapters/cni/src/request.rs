//! The front door: environment and standard input in, one complete request out.
//!
//! Called by every plugin's `main`, inside [`crate::serve`]. Invariants:
//!
//! 1. A request holds what its verb requires, and its version has the verb
//!    (`a_verb_needs_its_version`).
//! 2. VERSION is answered whatever else the runtime says (`version_asks_for_nothing`).

use std::{ffi::OsStr, path::PathBuf};

use crate::{
    call::{Call, Env},
    conf::NetConf,
    error::CniError,
    verb::Verb,
    version::SpecVersion,
};

/// What the runtime asks, with all that the verb requires.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Attach, and answer with a [`crate::CniResult`].
    Add {
        /// Which attachment.
        call: Call<PathBuf>,
        /// To which network.
        conf: Box<NetConf>,
    },
    /// Detach. The namespace may be gone, and there may be no `prevResult`, or a broken one.
    Del {
        /// Which attachment.
        call: Call<Option<PathBuf>>,
        /// From which network.
        conf: Box<NetConf>,
    },
    /// Say whether an attachment is as it was made.
    Check {
        /// Which attachment.
        call: Call<PathBuf>,
        /// To which network.
        conf: Box<NetConf>,
    },
    /// Say whether ADD could be served.
    Status {
        /// For which network.
        conf: Box<NetConf>,
        /// `CNI_PATH`.
        path: Vec<PathBuf>,
    },
    /// Forget what is not in [`NetConf::valid_attachments`].
    Gc {
        /// In which network.
        conf: Box<NetConf>,
        /// `CNI_PATH`.
        path: Vec<PathBuf>,
    },
    /// Name the supported versions, with [`SpecVersion::version_reply`].
    Version {
        /// The version that was asked, or the newest.
        answer_in: SpecVersion,
    },
}

impl Request {
    /// The verb that was asked.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Add { .. } => Verb::Add,
            Self::Del { .. } => Verb::Del,
            Self::Check { .. } => Verb::Check,
            Self::Status { .. } => Verb::Status,
            Self::Gc { .. } => Verb::Gc,
            Self::Version { .. } => Verb::Version,
        }
    }
}

/// The request that one invocation makes.
///
/// **The one place where the environment enters:** `env` is what [`std::env::vars_os`] gives, handed in by
/// `main` as `stdin` is; variables that do not begin with `CNI_` are passed over. Of standard input, read no
/// more than [`crate::MAX_STDIN_BYTES`] and one byte: longer input is refused unread.
///
/// ```
/// use spiderpool_cni::{Request, receive};
///
/// let env = [("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c0ffee"), ("CNI_IFNAME", "eth0"), ("CNI_NETNS", "")];
/// let Request::Del { call, conf } = receive(env, br#"{"cniVersion": "0.4.0", "name": "blue"}"#)? else {
///     unreachable!("DEL was asked");
/// };
/// assert_eq!((call.ifname.as_str(), call.netns, conf.prev_result), ("eth0", None, None));
///
/// let error = receive([("CNI_COMMAND", "add")], b"").unwrap_err();
/// assert_eq!(error.code, spiderpool_cni::code::BAD_ENVIRONMENT);
/// # Ok::<(), spiderpool_cni::CniError>(())
/// ```
///
/// # Errors
///
/// With code 4 for the environment, 1 for a version that is unsupported or lacks the verb, 6 for what
/// cannot be decoded, 7 for a configuration that is wrong. The environment is judged first.
pub fn receive<K: AsRef<OsStr>, V: AsRef<OsStr>>(
    env: impl IntoIterator<Item = (K, V)>,
    stdin: &[u8],
) -> Result<Request, CniError> {
    let env = Env::new(env);
    let verb = env.verb()?;
    let conf = || conf(stdin, verb);
    Ok(match verb {
        Verb::Add => Request::Add { call: env.attachment(verb)?, conf: conf()? },
        Verb::Del => Request::Del { call: env.detachment()?, conf: conf()? },
        Verb::Check => Request::Check { call: env.attachment(verb)?, conf: conf()? },
        Verb::Status => Request::Status { path: env.path(), conf: conf()? },
        Verb::Gc => Request::Gc { path: env.path(), conf: conf()? },
        Verb::Version => Request::Version { answer_in: SpecVersion::asked_in(stdin) },
    })
}

fn conf(stdin: &[u8], verb: Verb) -> Result<Box<NetConf>, CniError> {
    let conf = NetConf::parse(stdin)?;
    conf.version.permits(verb)?;
    Ok(Box::new(conf))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(verb: &str, version: &str) -> Result<Request, CniError> {
        let env = [
            ("CNI_COMMAND", verb),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_NETNS", "/run/netns/a"),
            ("CNI_IFNAME", "eth0"),
        ];
        receive(env, format!(r#"{{"cniVersion": "{version}", "name": "blue"}}"#).as_bytes())
    }

    #[test]
    fn a_verb_needs_its_version() {
        for verb in Verb::ALL {
            for version in SpecVersion::ALL {
                let answer = ask(verb.as_str(), version.as_str());
                if version >= verb.since() || verb == Verb::Version {
                    assert_eq!(answer.unwrap().verb(), verb);
                } else {
                    assert_eq!(answer.unwrap_err().code, 1, "{verb} {version}");
                }
            }
        }
    }

    #[test]
    fn version_asks_for_nothing() {
        let env = [("CNI_COMMAND", "VERSION"), ("CNI_IFNAME", "a/b"), ("CNI_ARGS", "x")];
        let answered = |answer_in| Ok(Request::Version { answer_in });
        assert_eq!(receive(env, b""), answered(SpecVersion::NEWEST));
        assert_eq!(receive(env, b"{"), answered(SpecVersion::NEWEST));
        assert_eq!(receive(env, br#"{"cniVersion": "0.3.0"}"#), answered(SpecVersion::V0_3_0));
        assert_eq!(receive(env, br#"{"cniVersion": "9.9.9"}"#), answered(SpecVersion::NEWEST));
    }

    #[test]
    fn the_environment_is_judged_first() {
        assert_eq!(receive([("CNI_COMMAND", "ADD")], b"").unwrap_err().code, 4);
        assert_eq!(receive([("CNI_COMMAND", "GC")], b"").unwrap_err().code, 6);
    }
}
