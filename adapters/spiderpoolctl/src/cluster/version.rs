//! `version` on a cluster: the server, and which custom resources it knows.

use super::Cluster;
use super::fault::Fault;
use crate::failure::Failure;
use serde::Serialize;
use serde_json::Value;

/// The kinds that this program reads, each with its plural.
const KINDS: [(&str, &str); 7] = [
    ("SpiderIPPool", "spiderippools"),
    ("SpiderSubnet", "spidersubnets"),
    ("SpiderReservedIP", "spiderreservedips"),
    ("SpiderEndpoint", "spiderendpoints"),
    ("SpiderBlock", "spiderblocks"),
    ("SpiderBlockIndex", "spiderblockindexes"),
    ("SpiderLedger", "spiderledgers"),
];

const GROUP: &str = "spiderpool.spidernet.io";

/// What there is; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Versions {
    server: String,
    /// Such as `v1.33.1`.
    kubernetes: String,
    kinds: Vec<KindVersions>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KindVersions {
    kind: &'static str,
    /// The versions that are served; none when it is not installed.
    versions: Vec<String>,
}

/// Asks the server what it is and what it serves: both everybody may know who may ask it anything.
pub(crate) fn versions(cluster: &Cluster) -> Result<Versions, Failure> {
    let about =
        cluster.raw("/version").map_err(|fault| fault.tell("cannot ask for the version"))?;
    let git = about.pointer("/gitVersion").and_then(Value::as_str).unwrap_or("unknown");
    let mut kinds: Vec<_> =
        KINDS.iter().map(|(kind, _)| KindVersions { kind, versions: Vec::new() }).collect();
    for version in served(cluster)? {
        let path = format!("/apis/{GROUP}/{version}");
        let list = cluster.raw(&path).map_err(|fault| fault.tell("cannot ask for the kinds"))?;
        let resources = list.pointer("/resources").and_then(Value::as_array);
        for resource in resources.into_iter().flatten() {
            let name = resource.pointer("/name").and_then(Value::as_str);
            let at = KINDS.iter().position(|(_, plural)| name == Some(plural));
            if let Some(kind) = at.and_then(|at| kinds.get_mut(at)) {
                kind.versions.push(version.clone());
            }
        }
    }
    let server = cluster.url.trim_end_matches('/').to_owned();
    Ok(Versions { server, kubernetes: git.to_owned(), kinds })
}

/// The versions of the group; none when nothing of it is installed.
fn served(cluster: &Cluster) -> Result<Vec<String>, Failure> {
    let group = match cluster.raw(&format!("/apis/{GROUP}")) {
        Err(Fault::NoKind) => return Ok(Vec::new()),
        group => group.map_err(|fault| fault.tell("cannot ask for the custom resources"))?,
    };
    let versions = group.pointer("/versions").and_then(Value::as_array);
    let named = versions.into_iter().flatten().filter_map(|one| one.get("version")?.as_str());
    Ok(named.map(str::to_owned).collect())
}

impl Versions {
    /// For people.
    pub(crate) fn print(&self) -> String {
        let mut text = format!("server {}: Kubernetes {}\n", self.server, self.kubernetes);
        for KindVersions { kind, versions } in &self.kinds {
            let versions =
                if versions.is_empty() { "not installed".to_owned() } else { versions.join(", ") };
            text.push_str(&format!("  {kind:<16} {versions}\n"));
        }
        text
    }
}
