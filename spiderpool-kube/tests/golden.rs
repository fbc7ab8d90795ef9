//! Golden files: a manifest of each kind with every field, and what is said of bad ones.
//!
//! `UPDATE_GOLDEN=1 cargo test -p spiderpool-kube --features yaml --test golden` writes them anew.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use spiderpool_core::definition::{Pool, Reservation, Subnet};
use spiderpool_kube::manifest::{Document, Manifest, read_manifests, write_manifest};
use std::fs;
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn check(name: &str, got: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path(name), got).unwrap();
    }
    assert_eq!(got, read(name), "{name} differs; UPDATE_GOLDEN=1 writes it anew");
}

fn only(text: &str) -> Document {
    let mut documents = read_manifests(text).unwrap();
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

/// The manifest after a visit to the core.
fn through_the_core(manifest: &Manifest) -> Manifest {
    use spiderpool_kube::manifest::{SpiderIPPool, SpiderReservedIP, SpiderSubnet};
    match manifest {
        Manifest::Pool(pool) => {
            let pool = Pool::try_from(pool.lift("spiderpool").unwrap()).unwrap();
            Manifest::Pool(SpiderIPPool::lower(&pool))
        }
        Manifest::Subnet(subnet) => {
            let subnet = Subnet::try_from(subnet.lift()).unwrap();
            Manifest::Subnet(SpiderSubnet::lower(&subnet))
        }
        Manifest::Reservation(reservation) => {
            let reservation = Reservation::try_from(reservation.lift()).unwrap();
            Manifest::Reservation(SpiderReservedIP::lower(&reservation))
        }
    }
}

#[test]
fn every_field_of_every_kind() {
    for kind in ["pool", "pool-v6", "subnet", "reservation"] {
        let document = only(&read(&format!("{kind}.in.yaml")));
        let written = write_manifest(&document.manifest).unwrap();
        check(&format!("{kind}.out.yaml"), &written);
        assert_eq!(only(&written).manifest, document.manifest, "{kind} reads back");
        let lowered = write_manifest(&through_the_core(&document.manifest)).unwrap();
        check(&format!("{kind}.lowered.yaml"), &lowered);
        let json = serde_json::to_string(&document.manifest.to_json().unwrap()).unwrap();
        assert_eq!(only(&json).manifest, document.manifest, "{kind} reads back from JSON");
    }
}

#[test]
fn refusals() {
    let mut told = String::new();
    for flaw in read_manifests(&read("bad.in.yaml")).unwrap_err() {
        told.push_str(&format!("{flaw}\n"));
    }
    check("bad.out.txt", &told);
}

#[test]
fn warnings() {
    let warnings = only(&read("pool.in.yaml")).warnings;
    let told: Vec<_> = warnings.iter().map(|warning| format!("{warning}\n")).collect();
    check("pool.warnings.txt", &told.concat());
}
