//! Which attachment is meant: the arguments that `plan`, `diff`, `explain` and `repair` share.
//!
//! Invariant: a configuration means here what it means to the plugin, since the plugin's own reader
//! reads it (`the_plan_is_what_add_does`).

use super::fault;
use crate::failure::Failure;
use clap::Args;
use serde_json::Value;
use spiderpool_cni::NetConf;
use spiderpool_coordinator::conf::{Conf, STATE};
use spiderpool_coordinator::facts::{Configured, Facts as _, PodName};
use spiderpool_core::intend::{Configuration, Mode};
use spiderpool_core::net::LinkName;
use spiderpool_host::attachment::{Foreseen, Records, Subject, Wanted, foresee};
use spiderpool_netlink::Namespace;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The type that the plugin has in configurations.
const PLUGIN: &str = "coordinator";

/// Where records are, and how long to wait for a verb that is under way.
#[derive(Clone, Debug, Args)]
pub(crate) struct Place {
    /// The directory of the coordinator's records [default: the configuration's stateDir, or
    /// /run/spiderpool/coordinator]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// How long to wait while a verb of the same container is under way
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=100))]
    wait: u64,
}

/// A configuration of the plugin, read.
#[derive(Clone, Debug)]
pub(crate) struct Configuring {
    conf: Conf,
    network: String,
    configuration: Configuration,
    expected: Option<Vec<LinkName>>,
}

impl Place {
    /// The records; a configuration may say where they are.
    pub(crate) fn records(&self, configuring: Option<&Configuring>) -> Records {
        let said = configuring.map(|configuring| configuring.conf.state.clone());
        Records::at(self.state_dir.clone().or(said).unwrap_or_else(|| STATE.into()))
    }

    /// Where records are looked for, for people.
    pub(crate) fn dir(&self) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(|| STATE.into())
    }

    /// When waiting ends.
    pub(crate) fn until(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(Duration::from_secs(self.wait)).unwrap_or(now)
    }
}

impl Configuring {
    /// Reads a file, or standard input where it is `-`.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let what = format!("cannot use the configuration `{}`", file.display());
        Self::of(&body(file)?).map_err(|failure| failure.while_doing(what))
    }

    fn of(body: &[u8]) -> Result<Self, Failure> {
        let given: Value = serde_json::from_slice(body)
            .map_err(|error| Failure::bad("it is no JSON").because(&error))?;
        let element = element(given)?;
        let net = NetConf::parse(element.to_string().as_bytes())
            .map_err(|bad| Failure::bad("it is no CNI configuration").because(&bad))?;
        let conf = Conf::of(&net)
            .map_err(|bad| Failure::bad(format!("a value cannot be used: {}", bad.msg)))?;
        let facts = Configured { said: conf.draft.clone() }.of_pod(&PodName::default());
        let draft = facts.map_err(|fault| Failure::world(fault.to_string()))?;
        let configuration = draft.configuration();
        let configuration =
            configuration.map_err(|bad| Failure::bad("bug: there is no default").because(&bad))?;
        Ok(Self { conf, network: net.name, configuration, expected: draft.expected })
    }

    /// What the plugin passes over.
    pub(crate) fn remarks(&self) -> &[String] {
        &self.conf.remarks
    }

    /// The network's name.
    pub(crate) fn network(&self) -> &str {
        &self.network
    }

    /// What the plugin would do for an interface; `None` where it is told to do nothing.
    pub(crate) fn foresee(
        &self,
        place: &Place,
        (container, interface): (&str, &LinkName),
        netns: &Path,
    ) -> Result<Option<Foreseen>, Failure> {
        if self.configuration.mode == Mode::Disabled {
            return Ok(None);
        }
        let subject = Subject { container, interface, until: place.until() };
        let wanted = Wanted {
            subject,
            network: &self.network,
            netns,
            configuration: &self.configuration,
            expected: self.expected.clone(),
        };
        let foreseen = foresee(&place.records(Some(self)), &wanted);
        foreseen.map(Some).map_err(|fault| fault::of(&fault))
    }
}

fn body(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut body).map(drop)
    } else {
        fs::read(file).map(|read| body = read)
    };
    let what = || format!("cannot read the configuration `{}`", file.display());
    read.map_err(|error| Failure::bad(what()).because(&error))?;
    Ok(body)
}

/// The plugin's own object: the whole, or its element of a list, with the list's name and version, as a
/// runtime would hand it over (CNI spec 1.1.0, section 3, "Deriving request configuration from plugin
/// configuration").
fn element(given: Value) -> Result<Value, Failure> {
    let is_ours = |one: &Value| one.get("type").and_then(Value::as_str) == Some(PLUGIN);
    let Some(plugins) = given.get("plugins") else {
        if is_ours(&given) {
            return Ok(given);
        }
        let kind = given.get("type").and_then(Value::as_str).unwrap_or("none");
        return Err(Failure::bad(format!("its type is `{kind}`, not `{PLUGIN}`"))
            .try_this("give the coordinator's own configuration, or a list that has it"));
    };
    let found = plugins.as_array().and_then(|plugins| plugins.iter().find(|one| is_ours(one)));
    let Some(Value::Object(found)) = found else {
        return Err(Failure::bad(format!("the list has no plugin of type `{PLUGIN}`"))
            .try_this("give the list of the chain that the coordinator is in"));
    };
    let mut own = found.clone();
    for key in ["name", "cniVersion"] {
        if let Some(value) = given.get(key) {
            own.insert(key.to_owned(), value.clone());
        }
    }
    Ok(Value::Object(own))
}

/// The path of a namespace that is given by path, by process or by name. What has a `/` is a path, and
/// what are digits alone is a process.
///
/// # Errors
/// Exit code 2 when there is no network namespace.
pub(crate) fn netns(text: &str) -> Result<PathBuf, Failure> {
    let found = match text.parse::<u32>() {
        _ if text.contains('/') => Namespace::by_path(text),
        Ok(pid) => Namespace::by_pid(pid),
        Err(_) => Namespace::by_name(text),
    };
    let found = found.map_err(|bad| {
        Failure::bad(format!("cannot use the namespace `{text}`"))
            .because(&bad)
            .try_this("ip netns, for names; /proc/PID/ns/net or the PID, for a process's own")
    })?;
    Ok(found.path().to_owned())
}

/// There is no record of a container.
pub(crate) fn unrecorded(container: &str, place: &Place) -> Failure {
    let dir = place.dir();
    Failure::bad(format!("there is no record of container `{container}` in `{}`", dir.display()))
        .try_this("spiderpoolctl net diff, which lists all that is recorded; or --state-dir")
}

/// A container's id (CNI spec 1.1.0, section 2, "Parameters"); it is part of a path here.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn container(text: &str) -> Result<String, String> {
    let is_first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if is_first && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err("a container's id has letters, digits, `_`, `.` and `-`, and begins with one of the first two"
        .to_owned())
}

/// An interface's name.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn interface(text: &str) -> Result<LinkName, String> {
    LinkName::new(text).map_err(|bad| bad.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: &Value) -> Result<Configuring, Failure> {
        Configuring::of(value.to_string().as_bytes())
    }

    #[test]
    fn a_list_gives_its_name_to_the_element() {
        let element =
            json!({"type": "coordinator", "serviceCIDR": ["10.96.0.0/12"], "mdoe": "auto"});
        let list = json!({"cniVersion": "1.0.0", "name": "blue", "plugins": [{"type": "macvlan"}, element]});
        let read = read(&list).unwrap();
        assert_eq!(read.network(), "blue");
        assert_eq!(read.configuration.service_prefixes, ["10.96.0.0/12".parse().unwrap()]);
        // What the reference's chart would say where the configuration is silent, as in the plugin.
        assert_eq!(read.configuration.hijack_prefixes, ["169.254.0.0/16".parse().unwrap()]);
        assert!(read.remarks()[0].contains("mdoe"));
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        let told = |value: Value| read(&value).unwrap_err().to_string();
        assert!(told(json!({"type": "macvlan"})).contains("its type is `macvlan`"));
        assert!(told(json!({"plugins": [{"type": "bridge"}]})).contains("has no plugin"));
        assert!(
            told(json!({"cniVersion": "1.0.0", "name": "n", "type": "coordinator", "mode": "x"}))
                .contains("a value cannot be used")
        );
        assert!(told(json!({"type": "coordinator"})).contains("no CNI configuration"));
    }

    #[test]
    fn ids_that_are_paths_are_refused() {
        for bad in ["", "../x", "a/b", ".", "-x"] {
            assert!(container(bad).is_err(), "{bad}");
        }
        assert_eq!(container("c0ffee_1.2-3").unwrap(), "c0ffee_1.2-3");
    }
}
