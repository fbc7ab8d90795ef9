//! What each role lets its holder ask: the whole of it, compared with a list that is checked in.
//!
//! Every verb of every resource that the server has, and of those of other projects that a role names,
//! is asked for everybody by a SelfSubjectAccessReview, for all namespaces and for Spiderpool's own. What
//! every authenticated user may do is left out.

use crate::room::{create, eventually, is_oldest, shared};
use serde_json::{Value, json};
use spiderpool_kube_lab::Identity;
use std::collections::{BTreeMap, BTreeSet};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// Verbs that say more than any request does, and what they are about.
const SPECIAL: [(&str, &str, &[&str]); 9] = [
    ("", "groups", &["impersonate"]),
    ("", "serviceaccounts", &["impersonate"]),
    ("", "users", &["impersonate"]),
    ("rbac.authorization.k8s.io", "clusterroles", &["bind", "escalate"]),
    ("rbac.authorization.k8s.io", "roles", &["bind", "escalate"]),
    ("spiderpool.spidernet.io", "spiderblocks", &["operate"]),
    ("spiderpool.spidernet.io", "spiderippools", &["operate"]),
    ("spiderpool.spidernet.io", "spiderledgers", &["operate"]),
    ("authentication.k8s.io", "userextras", &["impersonate"]),
];

/// Resources of other projects that the laboratory's server does not have.
const ELSEWHERE: [(&str, &str); 9] = [
    ("apps.kruise.io", "clonesets"),
    ("cilium.io", "ciliumpodippools"),
    ("crd.projectcalico.org", "ippools"),
    ("k8s.cni.cncf.io", "network-attachment-definitions"),
    ("kubevirt.io", "virtualmachineinstances"),
    ("kubevirt.io", "virtualmachines"),
    ("monitoring.coreos.com", "servicemonitors"),
    ("networking.k8s.io", "servicecidrs"),
    ("sriovnetwork.openshift.io", "sriovnetworknodepolicies"),
];

const VERBS: [&str; 8] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// A resource in its group, and verbs.
type Catalogue = BTreeMap<(String, String), BTreeSet<String>>;

/// Every resource of the server with the verbs that it knows, and the others of this file.
fn catalogue(admin: &Identity) -> Catalogue {
    let groups = admin.call("GET", "/apis", None).unwrap();
    let groups = groups["groups"].as_array().unwrap().iter();
    let group = |group: &Value| {
        let version = group["preferredVersion"]["groupVersion"].as_str().unwrap().to_owned();
        (group["name"].as_str().unwrap().to_owned(), format!("/apis/{version}"))
    };
    let groups = groups.map(group).chain([(String::new(), "/api/v1".to_owned())]);
    let mut all = Catalogue::new();
    for (group, path) in groups {
        let list = admin.call("GET", &path, None).unwrap();
        for resource in list["resources"].as_array().unwrap() {
            let key = (group.clone(), resource["name"].as_str().unwrap().to_owned());
            let verbs = resource["verbs"].as_array().unwrap().iter();
            let verbs = verbs.map(|verb| verb.as_str().unwrap().to_owned());
            all.entry(key).or_default().extend(verbs);
        }
    }
    let elsewhere = ELSEWHERE.iter().map(|(group, resource)| (*group, *resource, &VERBS[..]));
    for (group, resource, verbs) in SPECIAL.into_iter().chain(elsewhere) {
        let key = (group.to_owned(), resource.to_owned());
        all.entry(key).or_default().extend(verbs.iter().map(|verb| (*verb).to_owned()));
    }
    all
}

fn may(who: &Identity, attributes: &Value) -> bool {
    let review = json!({ "spec": { "resourceAttributes": attributes } });
    create(who, REVIEWS, &review)["status"]["allowed"].as_bool().unwrap()
}

/// Where somebody may do something: `everywhere`, or `in spiderpool` only.
fn asked(who: &Identity, (group, resource): &(String, String), verb: &str) -> Option<&'static str> {
    let (name, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let ask = |namespace: &str| {
        may(
            who,
            &json!({
                "group": group, "resource": name, "subresource": subresource, "verb": verb,
                "namespace": namespace,
            }),
        )
    };
    // What is allowed everywhere is allowed there, too, and most is allowed nowhere.
    ask("spiderpool").then(|| if ask("") { "everywhere" } else { "in spiderpool" })
}

/// All that somebody may do, one line for each resource.
fn rights(who: &Identity, catalogue: &Catalogue) -> BTreeSet<String> {
    let mut lines: BTreeMap<(String, &str), BTreeSet<&str>> = BTreeMap::new();
    for (key, verbs) in catalogue {
        let (group, resource) = key;
        let dot = if group.is_empty() { "" } else { "." };
        for verb in verbs {
            if let Some(place) = asked(who, key, verb) {
                let line = (format!("{resource}{dot}{group}"), place);
                lines.entry(line).or_default().insert(verb);
            }
        }
    }
    let line = |((resource, place), verbs): ((String, &str), BTreeSet<&str>)| {
        let verbs: Vec<_> = verbs.into_iter().collect();
        format!("{resource} {place}: {}", verbs.join(" "))
    };
    lines.into_iter().map(line).collect()
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn each_role_allows_what_is_listed_and_nothing_else() {
    let room = shared();
    let nobody = room.cluster.kubeconfig_for("nobody-in-particular", &[]).unwrap();
    let catalogue = &catalogue(room.cluster.admin());
    let people = [
        ("nobody", &nobody),
        ("agent", &room.agent_a),
        ("controller", &room.controller),
        ("init", &room.init),
        ("operate", &room.operator),
        ("view", &room.viewer),
    ];
    let mut found = std::thread::scope(|scope| {
        let asked = people.map(|(name, who)| (name, scope.spawn(|| rights(who, catalogue))));
        asked.map(|(name, thread)| (name, thread.join().unwrap()))
    });
    let [(_, everybody), ..] = found.clone();
    let mut text = String::new();
    for (name, lines) in &mut found[1..] {
        lines.retain(|line| !everybody.contains(line));
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        text.push_str(&format!("{name}\n    {}\n", lines.join("\n    ")));
    }
    let listed = include_str!("rights.txt");
    assert!(text == listed, "roles allow what `rights.txt` does not say; they allow\n{text}");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn names_bound_what_the_controller_reads_and_holds() {
    let room = shared();
    let (lease, map) = (("coordination.k8s.io", "leases"), ("", "configmaps"));
    let cases = [
        ("spiderpool", lease, "spiderpool-controller", "update", true),
        ("spiderpool", lease, "another", "update", false),
        ("kube-system", lease, "spiderpool-controller", "update", false),
        ("kube-system", map, "kubeadm-config", "get", true),
        ("kube-system", map, "cilium-config", "watch", true),
        ("kube-system", map, "coredns", "get", false),
        ("kube-system", map, "kubeadm-config", "patch", false),
        ("spiderpool", map, "spiderpool-policy", "get", false),
        ("spiderpool", map, "spiderpool-policy", "patch", false),
    ];
    for (namespace, (group, resource), name, verb, expected) in cases {
        let attributes = json!({
            "namespace": namespace, "group": group, "resource": resource, "name": name, "verb": verb,
        });
        assert_eq!(may(&room.controller, &attributes), expected, "{attributes}");
        let is_agent_let = may(&room.agent_a, &attributes);
        assert!(!is_agent_let, "an agent: {attributes}");
    }
}

/// Roles are put together by a controller, which is built for the newest Kubernetes only: the oldest is
/// asked whether the roles are as that controller needs them.
#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn owners_of_other_projects_are_added_by_a_label() {
    let room = shared();
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let role = json!({
        "metadata": {
            "name": "owners-rollouts", "labels": { "ipam.spidernet.io/aggregate-to-owners": "true" },
        },
        "rules": [{ "apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["get"] }],
    });
    let attributes = json!({ "group": "argoproj.io", "resource": "rollouts", "verb": "get" });
    assert!(!may(&room.agent_a, &attributes));
    create(room.cluster.admin(), roles, &role);
    if is_oldest() {
        let path = format!("{roles}/spiderpool-owners");
        let role = room.cluster.admin().call("GET", &path, None).unwrap();
        let label = role.pointer("/aggregationRule/clusterRoleSelectors/0/matchLabels");
        assert_eq!(label, Some(&json!({ "ipam.spidernet.io/aggregate-to-owners": "true" })));
        return;
    }
    for who in [&room.agent_a, &room.controller] {
        eventually("the owners' role has the rule", || match may(who, &attributes) {
            true => Ok(()),
            false => Err(who.user.clone()),
        });
    }
    assert!(!may(&room.init, &attributes));
}
