//! Manifests and annotations: what is read is written and read back the same, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spiderpool_core::definition::{Pool, Reservation, Subnet};
use spiderpool_kube::annotation::{self, NamespaceAnnotations, PodAnnotations};
use spiderpool_kube::manifest::{
    Manifest, SpiderIPPool, SpiderReservedIP, SpiderSubnet, read_manifests, write_manifest,
};
use std::collections::BTreeMap;

fuzz_target!(|text: &str| {
    if let Ok(documents) = read_manifests(text) {
        for document in documents {
            lift(&document.manifest);
            let written = write_manifest(&document.manifest).expect("what was read can be written");
            let again = read_manifests(&written).expect("what was written can be read");
            assert_eq!(again.first().map(|d| &d.manifest), Some(&document.manifest), "{written}");
        }
    }
    let keys = [
        annotation::IPPOOL,
        annotation::IPPOOLS,
        annotation::ROUTES,
        annotation::NETWORKS,
        annotation::DEFAULT_NETWORK,
        annotation::DEFAULT_V4,
        annotation::DEFAULT_V6,
    ];
    for key in keys {
        let annotations = BTreeMap::from([(key.to_owned(), text.to_owned())]);
        let told = PodAnnotations::read(&annotations).map_err(|flaws| flaws.to_string());
        assert_eq!(told, PodAnnotations::read(&annotations).map_err(|flaws| flaws.to_string()));
        let told = NamespaceAnnotations::read(&annotations).map_err(|flaws| flaws.to_string());
        assert!(told.is_ok() || told.is_err_and(|text| !text.is_empty()));
    }
});

/// A definition that is made of it and written back makes the same definition.
fn lift(manifest: &Manifest) {
    match manifest {
        Manifest::Pool(pool) => {
            let lift = |pool: &SpiderIPPool| Pool::try_from(pool.lift("kube-system").ok()?).ok();
            if let Some(pool) = lift(pool) {
                assert_eq!(lift(&SpiderIPPool::lower(&pool)), Some(pool));
            }
        }
        Manifest::Subnet(subnet) => {
            let lift = |subnet: &SpiderSubnet| Subnet::try_from(subnet.lift()).ok();
            if let Some(subnet) = lift(subnet) {
                assert_eq!(lift(&SpiderSubnet::lower(&subnet)), Some(subnet));
            }
        }
        Manifest::Reservation(reservation) => {
            let lift = |it: &SpiderReservedIP| Reservation::try_from(it.lift()).ok();
            if let Some(reservation) = lift(reservation) {
                assert_eq!(lift(&SpiderReservedIP::lower(&reservation)), Some(reservation));
            }
        }
    }
}
