//! Definitions as they are written in manifests: read, checked, turned into commands and back.
//!
//! Called by `apply`, `edit`, `delete`, `get`, `describe` and `simulate`. Invariants:
//! 1. Nothing is tried before every file reads well, and the flaws of all files are told together
//!    (`flaws_of_all_files_are_told`); within one file, values are judged once its shape is right.
//! 2. An object is defined once in all files together (`an_object_is_defined_once_in_all_files`).

use crate::failure::Failure;
use clap::ValueEnum;
use spiderpool_core::command::Command;
use spiderpool_core::definition::{Pool, Reservation, Subnet};
use spiderpool_core::name::Name;
use spiderpool_core::view::View;
use spiderpool_kube::manifest::{
    Document, Manifest, SpiderIPPool, SpiderReservedIP, SpiderSubnet, read_manifests,
};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// What can be defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// Prefixes that pools are carved from.
    #[value(name = "subnets", aliases = ["subnet", "spidersubnet", "spidersubnets", "ss"])]
    Subnet,
    /// Addresses that nobody may be given.
    #[value(
        name = "reservations",
        aliases = ["reservation", "spiderreservedip", "spiderreservedips", "sr"]
    )]
    Reservation,
    /// Addresses to allocate from.
    #[value(name = "pools", aliases = ["pool", "spiderippool", "spiderippools", "sp"])]
    Pool,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subnet => "subnet",
            Self::Reservation => "reservation",
            Self::Pool => "pool",
        })
    }
}

/// A definition that has been checked by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "most definitions are pools, and there are few of them"
)]
pub(crate) enum Definition {
    /// A subnet.
    Subnet(Subnet),
    /// A reservation.
    Reservation(Reservation),
    /// A pool.
    Pool(Pool),
}

impl Definition {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Subnet(_) => Kind::Subnet,
            Self::Reservation(_) => Kind::Reservation,
            Self::Pool(_) => Kind::Pool,
        }
    }

    pub(crate) const fn name(&self) -> &Name {
        match self {
            Self::Subnet(subnet) => subnet.name(),
            Self::Reservation(reservation) => reservation.name(),
            Self::Pool(pool) => pool.name(),
        }
    }

    /// The command that makes or changes it.
    pub(crate) fn define(&self) -> Command {
        match self.clone() {
            Self::Subnet(subnet) => Command::DefineSubnet(subnet),
            Self::Reservation(reservation) => Command::DefineReservation(reservation),
            Self::Pool(pool) => Command::DefinePool(pool),
        }
    }

    /// Its manifest.
    pub(crate) fn lower(&self) -> Manifest {
        match self {
            Self::Subnet(subnet) => Manifest::Subnet(SpiderSubnet::lower(subnet)),
            Self::Reservation(reservation) => {
                Manifest::Reservation(SpiderReservedIP::lower(reservation))
            }
            Self::Pool(pool) => Manifest::Pool(SpiderIPPool::lower(pool)),
        }
    }

    /// The definition of that name in a state.
    pub(crate) fn find(view: &View, kind: Kind, name: &str) -> Option<Self> {
        Self::all(view, kind).into_iter().find(|definition| &**definition.name() == name)
    }

    /// Every definition of a kind, by name; none when the view is partial, which it never is here.
    pub(crate) fn all(view: &View, kind: Kind) -> Vec<Self> {
        match kind {
            Kind::Subnet => {
                let subnets = view.subnets().into_iter().flatten();
                subnets.map(|subnet| Self::Subnet((**subnet).clone())).collect()
            }
            Kind::Reservation => view
                .reservations()
                .map(|reserved| Self::Reservation((**reserved).clone()))
                .collect(),
            Kind::Pool => {
                let pools = view.pools().into_iter().flatten();
                pools.map(|entry| Self::Pool((*entry.pool).clone())).collect()
            }
        }
    }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// The command that removes a definition.
pub(crate) fn removal(kind: Kind, name: Name) -> Command {
    match kind {
        Kind::Subnet => Command::RemoveSubnet(name),
        Kind::Reservation => Command::RemoveReservation(name),
        Kind::Pool => Command::RemovePool(name),
    }
}

/// What was read: definitions in the order of the files, and what has no effect in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) definitions: Vec<Definition>,
    /// The manifest of each definition, as it was written.
    pub(crate) manifests: Vec<(Kind, Name, Manifest)>,
    pub(crate) warnings: Vec<String>,
}

/// Reads manifests from files, directories (every `.yaml`, `.yml` and `.json` in them) and `-`.
pub(crate) fn read(paths: &[PathBuf], agent_namespace: &str) -> Result<Reading, Failure> {
    let mut texts = Vec::new();
    for path in paths {
        collect(path, &mut texts)?;
    }
    let texts: Vec<_> = texts.iter().map(|(label, text)| (label.as_str(), text.as_str())).collect();
    read_texts(&texts, agent_namespace)
}

fn collect(path: &Path, texts: &mut Vec<(String, String)>) -> Result<(), Failure> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::bad("cannot read standard input").because(&error))?;
        texts.push(("standard input".to_owned(), text));
        return Ok(());
    }
    let fault = |error: &io::Error| {
        Failure::bad(format!("cannot read `{}`", path.display())).because(error)
    };
    if !path.is_dir() {
        let text = fs::read_to_string(path).map_err(|error| fault(&error))?;
        texts.push((path.display().to_string(), text));
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(|error| fault(&error))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| fault(&error))?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        let what = format!("`{}` holds no manifest", path.display());
        return Err(Failure::bad(what).try_this("files that end in .yaml, .yml or .json are read"));
    }
    files.sort();
    files.iter().try_for_each(|file| collect(file, texts))
}

/// Reads texts, each with the label that errors name it by.
pub(crate) fn read_texts(
    texts: &[(&str, &str)],
    agent_namespace: &str,
) -> Result<Reading, Failure> {
    let mut reading = Reading::default();
    let mut flaws = Vec::new();
    let mut seen: BTreeMap<(Kind, Name), &str> = BTreeMap::new();
    for (label, text) in texts {
        let documents = read_manifests(text).unwrap_or_else(|bad| {
            flaws.extend(bad.iter().map(|flaw| format!("{label}: {flaw}")));
            Vec::new()
        });
        for document in documents {
            let warnings = document.warnings.iter();
            reading.warnings.extend(warnings.map(|warning| format!("{label}: {warning}")));
            match check(&document, agent_namespace) {
                Err(flaw) => flaws.push(format!("{label}: document {}: {flaw}", document.number)),
                Ok(definition) => {
                    let key = (definition.kind(), definition.name().clone());
                    if let Some(earlier) =
                        seen.insert(key, label).filter(|earlier| earlier != label)
                    {
                        flaws
                            .push(format!("{label}: {definition} is defined in {earlier} as well"));
                    }
                    let manifest =
                        (definition.kind(), definition.name().clone(), document.manifest);
                    reading.manifests.push(manifest);
                    reading.definitions.push(definition);
                }
            }
        }
    }
    if flaws.is_empty() {
        return Ok(reading);
    }
    let failure = Failure::bad("the manifests cannot be used; nothing was changed");
    Err(failure.with_flaws(flaws))
}

fn check(document: &Document, agent_namespace: &str) -> Result<Definition, String> {
    match &document.manifest {
        Manifest::Pool(pool) => {
            let draft = pool.lift(agent_namespace).map_err(|bad| bad.to_string())?;
            Pool::try_from(draft).map(Definition::Pool)
        }
        Manifest::Subnet(subnet) => Subnet::try_from(subnet.lift()).map(Definition::Subnet),
        Manifest::Reservation(reservation) => {
            Reservation::try_from(reservation.lift()).map(Definition::Reservation)
        }
    }
    .map_err(|bad| bad.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: &str = "apiVersion: spiderpool.spidernet.io/v2beta1\nkind: SpiderReservedIP\nmetadata: {name: hosts}\nspec: {ips: [10.0.0.1]}\n";

    fn told(texts: &[(&str, &str)]) -> String {
        read_texts(texts, "x").unwrap_err().to_string()
    }

    #[test]
    fn flaws_of_all_files_are_told() {
        let bad = HOSTS.replace("10.0.0.1", "10.0.0");
        let told = told(&[("a.yaml", &bad), ("b.yaml", &HOSTS.replace("ips", "ipz"))]);
        assert!(told.contains("- a.yaml: document 1: reservation hosts: "), "{told}");
        assert!(told.contains("- b.yaml: document 1, line 4"), "{told}");
    }

    #[test]
    fn an_object_is_defined_once_in_all_files() {
        let told = told(&[("a.yaml", HOSTS), ("b.yaml", HOSTS)]);
        assert!(told.contains("b.yaml: reservation hosts is defined in a.yaml as well"), "{told}");
    }

    #[test]
    fn what_is_lowered_reads_back() {
        let read = read_texts(&[("a", HOSTS)], "x").unwrap().definitions;
        let json = read[0].lower().to_json().unwrap().to_string();
        assert_eq!(read_texts(&[("b", &json)], "x").unwrap().definitions, read);
    }
}
