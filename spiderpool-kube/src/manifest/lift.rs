//! Between manifests and what the core works with: `lift` to drafts, `lower` from checked forms.
//!
//! Lifting judges only what the core cannot see: selectors, names of networks and the unit of a
//! duration. All else goes as text to the core, which checks it. Called by every program that holds
//! a manifest. Invariants:
//! 1. Lowering writes each choice out, so that it means the same wherever it is read
//!    (`lowering_leaves_nothing_to_defaults`).
//! 2. A checked definition survives lowering and lifting (`tests/round_trip`:
//!    `manifests_round_trip`), but for two things that manifests cannot say: that an object is being
//!    deleted, and a part of a second (`a_part_of_a_second_is_rounded_up`).

use super::OWNER_SUBNET_LABEL;
use super::error::{BadManifest, LiftFlaw};
use super::object::{Spec, SpiderIPPool, SpiderReservedIP, SpiderSubnet};
use super::spec::{Expression, LabelSelector, PoolSpec, ReservedIPSpec, SubnetSpec};
use spiderpool_core::definition::{
    Pool, PoolDraft, Reservation, ReservationDraft, Scope, Subnet, SubnetDraft,
};
use spiderpool_core::label::{Requirement, Selector, Test};
use spiderpool_core::name::Name;

/// The address space that needs no mention.
const DEFAULT_SPACE: &str = "default";

/// Collects what cannot be lifted, by path.
#[derive(Debug, Default)]
struct Flaws(Vec<(String, LiftFlaw)>);

impl Flaws {
    fn keep<T>(&mut self, path: String, result: Result<T, LiftFlaw>) -> Option<T> {
        result.map_err(|flaw| self.0.push((path, flaw))).ok()
    }

    fn selector(&mut self, path: &str, selector: Option<&LabelSelector>) -> Option<Selector> {
        let selector = selector?;
        let mut requirements = Vec::with_capacity(selector.match_expressions.len());
        for (at, Expression { key, operator, values }) in
            selector.match_expressions.iter().enumerate()
        {
            let parsed = Requirement::parse(key, operator, values.clone());
            let path = format!("{path}.matchExpressions[{at}]");
            requirements.extend(self.keep(path, parsed.map_err(LiftFlaw::from)));
        }
        Some(Selector { labels: selector.match_labels.clone(), requirements })
    }

    fn networks(&mut self, names: &[String], namespace: &str) -> Vec<String> {
        let names = names.iter().enumerate();
        names
            .filter_map(|(at, name)| {
                self.keep(format!("spec.multusName[{at}]"), network(name, namespace))
            })
            .collect()
    }
}

/// The full name of a network; a bare name lies in `namespace`.
fn network(name: &str, namespace: &str) -> Result<String, LiftFlaw> {
    let (space, bare) = name.split_once('/').unwrap_or((namespace, name));
    let fits = |part: &str| Name::new(part).is_ok() && !part.contains('/');
    if fits(space) && fits(bare) {
        Ok(format!("{space}/{bare}"))
    } else {
        let namespace = namespace.to_owned();
        Err(LiftFlaw::Network { got: name.to_owned(), namespace })
    }
}

impl SpiderIPPool {
    /// The pool as the core drafts it; a bare name in `multusName` lies in `agent_namespace`.
    ///
    /// A manifest without `policy` gets the core's default; set the field before, if it should be
    /// another one.
    ///
    /// # Errors
    /// [`BadManifest`] lists every selector, network and duration that cannot be lifted.
    ///
    /// ```
    /// use spiderpool_core::definition::Pool;
    /// use spiderpool_kube::manifest::{PoolSpec, SpiderIPPool};
    /// let spec = PoolSpec {
    ///     subnet: "10.6.0.0/16".into(),
    ///     ips: vec!["10.6.0.10-10.6.0.99".into()],
    ///     multus_name: vec!["macvlan".into()],
    ///     ..PoolSpec::default()
    /// };
    /// let pool = Pool::try_from(SpiderIPPool::named("blue", spec).lift("spiderpool")?)?;
    /// assert_eq!(pool.scope().networks, ["spiderpool/macvlan"]);
    /// assert_eq!(SpiderIPPool::lower(&pool).spec.ip_version, Some(4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lift(&self, agent_namespace: &str) -> Result<PoolDraft, BadManifest> {
        let Self { metadata, spec } = self;
        let mut flaws = Flaws::default();
        let scope = Scope {
            pods: flaws.selector("spec.podAffinity", spec.pod_affinity.as_ref()),
            namespaces: flaws.selector("spec.namespaceAffinity", spec.namespace_affinity.as_ref()),
            namespace_names: spec.namespace_name.clone(),
            nodes: flaws.selector("spec.nodeAffinity", spec.node_affinity.as_ref()),
            node_names: spec.node_name.clone(),
            networks: flaws.networks(&spec.multus_name, agent_namespace),
        };
        let seconds = spec.cool_down_seconds.unwrap_or_default();
        let cool_down = seconds.checked_mul(1000).ok_or(LiftFlaw::TooLong { got: seconds });
        let cool_down = flaws.keep("spec.coolDownSeconds".to_owned(), cool_down);
        if !flaws.0.is_empty() {
            let object = format!("{} {}", PoolSpec::KIND, metadata.name);
            return Err(BadManifest { object, fields: flaws.0 });
        }
        Ok(PoolDraft {
            name: metadata.name.clone(),
            space: spec.space.clone().unwrap_or_default(),
            version: spec.ip_version,
            prefix: spec.subnet.clone(),
            ranges: spec.ips.clone(),
            excluded: spec.exclude_ips.clone(),
            gateway: spec.gateway.clone(),
            routes: spec.routes.clone(),
            scope,
            is_default: spec.default.unwrap_or_default(),
            disabled: spec.disable.unwrap_or_default(),
            deleting: false,
            policy: spec.policy.unwrap_or_default(),
            cool_down_ms: cool_down.unwrap_or_default(),
            subnet: metadata.labels.get(OWNER_SUBNET_LABEL).cloned(),
        })
    }

    /// The manifest of a pool; a cool-down is rounded up to whole seconds.
    #[must_use]
    pub fn lower(pool: &Pool) -> Self {
        let draft = PoolDraft::from(pool.clone());
        let scope = draft.scope;
        let spec = PoolSpec {
            ip_version: draft.version,
            subnet: draft.prefix,
            ips: draft.ranges,
            exclude_ips: draft.excluded,
            gateway: draft.gateway,
            routes: draft.routes,
            pod_affinity: scope.pods.map(lower_selector),
            namespace_affinity: scope.namespaces.map(lower_selector),
            namespace_name: scope.namespace_names,
            node_affinity: scope.nodes.map(lower_selector),
            node_name: scope.node_names,
            multus_name: scope.networks,
            default: Some(draft.is_default),
            disable: Some(draft.disabled),
            policy: Some(draft.policy),
            cool_down_seconds: Some(draft.cool_down_ms.div_ceil(1000)).filter(|s| *s > 0),
            space: lower_space(draft.space),
        };
        let mut object = Self::named(&draft.name, spec);
        let owner = draft.subnet.map(|subnet| (OWNER_SUBNET_LABEL.to_owned(), subnet));
        object.metadata.labels.extend(owner);
        object
    }
}

impl SpiderSubnet {
    /// The subnet as the core drafts it.
    #[must_use]
    pub fn lift(&self) -> SubnetDraft {
        let Self { metadata, spec } = self;
        SubnetDraft {
            name: metadata.name.clone(),
            space: spec.space.clone().unwrap_or_default(),
            version: spec.ip_version,
            prefix: spec.subnet.clone(),
            ranges: spec.ips.clone(),
            excluded: spec.exclude_ips.clone(),
            gateway: spec.gateway.clone(),
            routes: spec.routes.clone(),
        }
    }

    /// The manifest of a subnet.
    #[must_use]
    pub fn lower(subnet: &Subnet) -> Self {
        let draft = SubnetDraft::from(subnet.clone());
        let spec = SubnetSpec {
            ip_version: draft.version,
            subnet: draft.prefix,
            ips: draft.ranges,
            exclude_ips: draft.excluded,
            gateway: draft.gateway,
            routes: draft.routes,
            space: lower_space(draft.space),
        };
        Self::named(&draft.name, spec)
    }
}

impl SpiderReservedIP {
    /// The reservation as the core drafts it.
    #[must_use]
    pub fn lift(&self) -> ReservationDraft {
        let Self { metadata, spec } = self;
        ReservationDraft {
            name: metadata.name.clone(),
            space: spec.space.clone().unwrap_or_default(),
            version: spec.ip_version,
            ranges: spec.ips.clone(),
        }
    }

    /// The manifest of a reservation.
    #[must_use]
    pub fn lower(reservation: &Reservation) -> Self {
        let draft = ReservationDraft::from(reservation.clone());
        let spec = ReservedIPSpec {
            ip_version: draft.version,
            ips: draft.ranges,
            space: lower_space(draft.space),
        };
        Self::named(&draft.name, spec)
    }
}

fn lower_space(space: String) -> Option<String> {
    Some(space).filter(|space| space != DEFAULT_SPACE)
}

fn lower_selector(selector: Selector) -> LabelSelector {
    let match_expressions = selector.requirements.into_iter().map(lower_requirement).collect();
    LabelSelector { match_labels: selector.labels, match_expressions }
}

fn lower_requirement(requirement: Requirement) -> Expression {
    let (operator, values) = match requirement.test {
        Test::In(values) => ("In", values),
        Test::NotIn(values) => ("NotIn", values),
        Test::Exists => ("Exists", Vec::new()),
        Test::Absent => ("DoesNotExist", Vec::new()),
    };
    Expression { key: requirement.key, operator: operator.to_owned(), values }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spiderpool_core::definition::Policy;

    fn pool(edit: impl FnOnce(&mut PoolSpec)) -> SpiderIPPool {
        let mut spec = PoolSpec { subnet: "10.6.0.0/16".into(), ..PoolSpec::default() };
        edit(&mut spec);
        SpiderIPPool::named("blue", spec)
    }

    #[test]
    fn networks_get_their_namespace() {
        let check = |name: &str, expected: Result<&str, &str>| {
            let got = network(name, "kube-system").map_err(|flaw| flaw.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), expected, "for {name}");
        };
        check("a", Ok("kube-system/a"));
        check("ns/a", Ok("ns/a"));
        for bad in ["", "ns/", "/a", "a/b/c", "a b"] {
            let told = format!(
                "`{bad}` does not name a network; write `namespace/name`, or `name` for one in kube-system"
            );
            check(bad, Err(&told));
        }
    }

    #[test]
    fn every_flaw_is_told_with_its_path() {
        let near = Expression { key: "zone".into(), operator: "Near".into(), values: vec![] };
        let bad = pool(|spec| {
            spec.node_affinity =
                Some(LabelSelector { match_expressions: vec![near], ..LabelSelector::default() });
            spec.multus_name = vec!["ok".into(), "a/b/c".into()];
            spec.cool_down_seconds = Some(u64::MAX);
        });
        assert_eq!(
            bad.lift("kube-system").unwrap_err().to_string(),
            "SpiderIPPool blue: `spec.nodeAffinity.matchExpressions[0]`: the operator `Near` of key `zone` is unknown; write In, NotIn, Exists or DoesNotExist; \
             `spec.multusName[1]`: `a/b/c` does not name a network; write `namespace/name`, or `name` for one in kube-system; \
             `spec.coolDownSeconds`: 18446744073709551615 seconds are too long; write at most 18446744073709551"
        );
    }

    #[test]
    fn lowering_leaves_nothing_to_defaults() {
        let checked = Pool::try_from(pool(|_| {}).lift("x").unwrap()).unwrap();
        let spec = SpiderIPPool::lower(&checked).spec;
        assert_eq!((spec.default, spec.disable), (Some(false), Some(false)));
        assert_eq!((spec.policy, spec.ip_version), (Some(Policy::Sequential), Some(4)));
        assert_eq!((spec.space, spec.cool_down_seconds), (None, None));
    }

    #[test]
    fn a_part_of_a_second_is_rounded_up() {
        let mut draft = pool(|_| {}).lift("x").unwrap();
        draft.cool_down_ms = 1_001;
        let checked = Pool::try_from(draft).unwrap();
        assert_eq!(SpiderIPPool::lower(&checked).spec.cool_down_seconds, Some(2));
    }

    #[test]
    fn the_owner_is_a_label() {
        let mut manifest = pool(|_| {});
        manifest.metadata.labels.insert(OWNER_SUBNET_LABEL.into(), "mother".into());
        let checked = Pool::try_from(manifest.lift("x").unwrap()).unwrap();
        assert_eq!(checked.subnet().map(|name| name.as_str()), Some("mother"));
        assert_eq!(SpiderIPPool::lower(&checked).metadata, manifest.metadata);
    }
}
