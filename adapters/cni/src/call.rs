//! The environment variables of one invocation.
//!
//! Called by `request` only. Which variables a verb requires is told once, in [`Env::attachment`] and its
//! callers. Invariants:
//!
//! 1. A [`Call`] holds a container id and an interface name that passed the specification's rules
//!    (`container_ids`, `interface_names`).
//! 2. An empty variable counts as absent: runtimes repeat DEL with an empty `CNI_NETNS`
//!    (`an_empty_variable_is_absent`).
//! 3. All that is missing is named at once (`all_that_is_missing_is_named`).

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use thiserror::Error;

use crate::{args, verb::Verb};

/// What the environment says about one attachment (CNI spec 1.1.0, section 2, "Parameters").
///
/// `N` is `PathBuf` where the verb requires a network namespace, and `Option<PathBuf>` in DEL, where it may
/// be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<N> {
    /// `CNI_CONTAINERID`: a letter or digit, then letters, digits, `_`, `.` and `-`.
    pub container_id: String,
    /// `CNI_IFNAME`: the interface inside the container, 1 to 15 bytes.
    pub ifname: String,
    /// `CNI_NETNS`: the path of the container's network namespace; nobody has looked whether it exists.
    pub netns: N,
    /// `CNI_ARGS`, whatever order it came in.
    pub args: BTreeMap<String, String>,
    /// `CNI_PATH`: where to look for other plugins, in order.
    pub path: Vec<PathBuf>,
}

/// Why the environment cannot be served; always CNI code 4.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadEnv {
    /// Variables that the verb requires are absent or empty.
    #[error("{} must be set{}", names.join(", "), for_verb(*verb))]
    Missing {
        /// The verb, unless it is what is missing.
        verb: Option<Verb>,
        /// The variables, in the order of the specification.
        names: Vec<&'static str>,
    },
    /// A variable is not UTF-8.
    #[error("{name} is not UTF-8: `{got}`")]
    NotText {
        /// The variable.
        name: &'static str,
        /// Its value, with what is not UTF-8 replaced.
        got: String,
    },
    /// `CNI_COMMAND` is no verb.
    #[error("CNI_COMMAND is `{got}`; it must be one of ADD, DEL, CHECK, STATUS, GC, VERSION")]
    UnknownVerb {
        /// What was given.
        got: String,
    },
    /// `CNI_CONTAINERID` breaks the rules.
    #[error(
        "CNI_CONTAINERID is `{got}`; it must start with a letter or digit, and go on with letters, digits, `_`, `.` and `-`"
    )]
    BadContainerId {
        /// What was given.
        got: String,
    },
    /// `CNI_IFNAME` breaks the rules.
    #[error("CNI_IFNAME is `{got}`; it must {rule}")]
    BadIfName {
        /// What was given.
        got: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A piece of `CNI_ARGS` is not a pair.
    #[error("CNI_ARGS: piece {position}, `{got}`, is not KEY=VALUE")]
    NotAPair {
        /// Counted from 1, empty pieces included.
        position: usize,
        /// The piece.
        got: String,
    },
    /// `CNI_ARGS` gives one key two values.
    #[error("CNI_ARGS: `{key}` is given twice, as `{first}` and as `{second}`")]
    Contradiction {
        /// The key.
        key: String,
        /// Its first value.
        first: String,
        /// Its second value.
        second: String,
    },
}

fn for_verb(verb: Option<Verb>) -> String {
    verb.map(|verb| format!(" for {verb}")).unwrap_or_default()
}

/// The variables whose names begin with `CNI_`, empty ones left out.
#[derive(Debug)]
pub(crate) struct Env {
    vars: BTreeMap<OsString, OsString>,
}

impl Env {
    pub(crate) fn new<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let ours = |key: &OsStr| key.as_encoded_bytes().starts_with(b"CNI_");
        let vars = vars
            .into_iter()
            .filter(|(key, value)| ours(key.as_ref()) && !value.as_ref().is_empty())
            .map(|(key, value)| (key.as_ref().to_owned(), value.as_ref().to_owned()))
            .collect();
        Self { vars }
    }

    pub(crate) fn verb(&self) -> Result<Verb, BadEnv> {
        let text = self
            .text("CNI_COMMAND")?
            .ok_or_else(|| BadEnv::Missing { verb: None, names: vec!["CNI_COMMAND"] })?;
        Verb::named(text).ok_or_else(|| BadEnv::UnknownVerb { got: text.to_owned() })
    }

    /// What ADD and CHECK are told: the namespace is required.
    pub(crate) fn attachment(&self, verb: Verb) -> Result<Call<PathBuf>, BadEnv> {
        self.require(verb, &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"])?;
        self.call(self.netns().unwrap_or_default())
    }

    /// What DEL is told: the namespace may be gone.
    pub(crate) fn detachment(&self) -> Result<Call<Option<PathBuf>>, BadEnv> {
        self.require(Verb::Del, &["CNI_CONTAINERID", "CNI_IFNAME"])?;
        self.call(self.netns())
    }

    pub(crate) fn path(&self) -> Vec<PathBuf> {
        let Some(path) = self.var("CNI_PATH") else { return Vec::new() };
        std::env::split_paths(path).filter(|dir| !dir.as_os_str().is_empty()).collect()
    }

    fn call<N>(&self, netns: N) -> Result<Call<N>, BadEnv> {
        let container_id = self.text("CNI_CONTAINERID")?.unwrap_or_default();
        if !is_identifier(container_id) {
            return Err(BadEnv::BadContainerId { got: container_id.to_owned() });
        }
        let ifname = self.text("CNI_IFNAME")?.unwrap_or_default();
        if let Some(rule) = broken_ifname_rule(ifname) {
            return Err(BadEnv::BadIfName { got: ifname.to_owned(), rule });
        }
        Ok(Call {
            container_id: container_id.to_owned(),
            ifname: ifname.to_owned(),
            netns,
            args: args::parse(self.text("CNI_ARGS")?.unwrap_or_default())?,
            path: self.path(),
        })
    }

    fn netns(&self) -> Option<PathBuf> {
        self.var("CNI_NETNS").map(PathBuf::from)
    }

    fn require(&self, verb: Verb, names: &[&'static str]) -> Result<(), BadEnv> {
        let names: Vec<_> = names.iter().filter(|name| self.var(name).is_none()).copied().collect();
        if names.is_empty() { Ok(()) } else { Err(BadEnv::Missing { verb: Some(verb), names }) }
    }

    fn text(&self, name: &'static str) -> Result<Option<&str>, BadEnv> {
        let Some(value) = self.var(name) else { return Ok(None) };
        let not_text = || BadEnv::NotText { name, got: value.to_string_lossy().into_owned() };
        value.to_str().map(Some).ok_or_else(not_text)
    }

    fn var(&self, name: &str) -> Option<&OsStr> {
        self.vars.get(OsStr::new(name)).map(OsString::as_os_str)
    }
}

/// The pattern that the specification gives for container ids and network names (section 1 and 2).
pub(crate) fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// The rule for interface names (kernel: `dev_valid_name` in `net/core/dev.c`) that `name` breaks.
fn broken_ifname_rule(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > 15 {
        return Some("have 1 to 15 bytes");
    }
    if name == "." || name == ".." {
        return Some("not be `.` or `..`");
    }
    let forbidden = |c: char| c == '/' || c == ':' || c.is_whitespace();
    name.contains(forbidden).then_some("have no `/`, `:` or blank")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADD: [(&str, &str); 4] = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/a"),
        ("CNI_IFNAME", "eth0"),
    ];

    fn with(name: &'static str, value: &'static str) -> Env {
        Env::new(ADD.into_iter().chain([(name, value)]))
    }

    #[test]
    fn container_ids() {
        let check = |id: &str, good: bool| assert_eq!(is_identifier(id), good, "{id:?}");
        for good in ["a", "0", "c0ffee", "a_b.c-d", "Z9"] {
            check(good, true);
        }
        for bad in ["", "_a", ".a", "-a", "a/b", "a b", "é", "a\n", "a;b"] {
            check(bad, false);
        }
    }

    #[test]
    fn interface_names() {
        let check = |name: &str, good: bool| {
            assert_eq!(broken_ifname_rule(name).is_none(), good, "{name:?}");
        };
        for good in ["e", "eth0", "net1.100", "...", "exactly15bytes_", "é"] {
            check(good, true);
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\u{a0}b", "sixteen_bytes_xx"] {
            check(bad, false);
        }
    }

    #[test]
    fn an_empty_variable_is_absent() {
        assert_eq!(with("CNI_NETNS", "").detachment().unwrap().netns, Some("/run/netns/a".into()));
        let env = Env::new([
            ("CNI_COMMAND", "DEL"),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_NETNS", ""),
        ]);
        assert_eq!(env.verb(), Ok(Verb::Del));
        assert_eq!(env.detachment().unwrap().netns, None);
        assert_eq!(
            env.attachment(Verb::Add),
            Err(BadEnv::Missing { verb: Some(Verb::Add), names: vec!["CNI_NETNS"] }),
        );
    }

    #[test]
    fn all_that_is_missing_is_named() {
        let env = Env::new([("CNI_COMMAND", "CHECK"), ("PATH", "/bin")]);
        assert_eq!(
            env.attachment(Verb::Check).unwrap_err().to_string(),
            "CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME must be set for CHECK",
        );
        let nothing = Env::new([("PATH", "/bin")]);
        assert_eq!(nothing.verb().unwrap_err().to_string(), "CNI_COMMAND must be set");
    }

    #[test]
    fn the_path_is_a_list() {
        let path = with("CNI_PATH", "/opt/cni/bin::/usr/lib/cni").path();
        assert_eq!(path, [PathBuf::from("/opt/cni/bin"), "/usr/lib/cni".into()]);
        assert_eq!(Env::new(ADD).path(), Vec::<PathBuf>::new());
    }

    #[test]
    fn bad_values_are_shown() {
        let check = |name: &'static str, value: &'static str, expected: &str| {
            let error = with(name, value).attachment(Verb::Add).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check("CNI_IFNAME", "a/b", "CNI_IFNAME is `a/b`; it must have no `/`, `:` or blank");
        check("CNI_ARGS", "x", "CNI_ARGS: piece 1, `x`, is not KEY=VALUE");
        let verb = with("CNI_COMMAND", "add").verb().unwrap_err();
        assert_eq!(verb, BadEnv::UnknownVerb { got: "add".into() });
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_text_is_refused_but_in_paths() {
        use std::os::unix::ffi::OsStrExt;
        let odd = OsStr::from_bytes(b"/a\xff");
        let env = |name: &'static str| {
            let base = ADD.into_iter().map(|(k, v)| (OsStr::new(k), OsStr::new(v)));
            Env::new(base.chain([(OsStr::new(name), odd)])).attachment(Verb::Add)
        };
        assert_eq!(env("CNI_NETNS").unwrap().netns.as_os_str(), odd);
        let refused = BadEnv::NotText { name: "CNI_ARGS", got: "/a\u{fffd}".into() };
        assert_eq!(env("CNI_ARGS"), Err(refused));
    }
}
