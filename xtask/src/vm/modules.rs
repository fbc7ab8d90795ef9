//! Kernel modules in the order in which they can be loaded.
//!
//! Owns the list of modules that every VM has, and the walk along their dependencies. `image` calls
//! it. The dependencies are read from the modules themselves (`depends=` in their `.modinfo`): the
//! packages are unpacked, not installed, so no `modules.dep` was made. Invariants:
//!
//! 1. A module comes after all that it depends on (`what_is_needed_comes_first`).
//! 2. A module that is nowhere is an error, unless the kernel has it built in
//!    (`a_module_that_is_nowhere_is_named`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::unpack;
use crate::call::Fault;

/// The modules that a VM has, and their parameters. No bond or dummy that nobody asked for.
const WANTED: [(&str, &str); 21] = [
    ("8021q", ""),
    ("bonding", "max_bonds=0"),
    ("bridge", ""),
    ("dummy", "numdummies=0"),
    ("ipvlan", ""),
    ("macvlan", ""),
    ("macvtap", ""),
    ("nf_conntrack_netlink", ""),
    ("nf_tables", ""),
    ("nft_ct", ""),
    ("tun", ""),
    ("veth", ""),
    ("vrf", ""),
    ("vxlan", ""),
    ("ib_core", ""),
    ("ib_uverbs", ""),
    ("rdma_ucm", ""),
    ("rdma_cm", ""),
    ("rdma_rxe", ""),
    ("fakerdma", ""),
    ("fakenic", ""),
];

/// What a module asks for by name when it is used, and so does not list: hash functions.
const UNLISTED: [(&str, &str); 3] =
    [("libcrc32c", "crc32c_generic"), ("rdma_rxe", "crc32_generic"), ("crc32c", "crc32c_generic")];

/// A module to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// Its name, with `_` for `-`.
    pub(crate) name: String,
    /// Its parameters, separated by blanks.
    pub(crate) parameters: String,
    /// Its content.
    pub(crate) content: Vec<u8>,
}

/// Where modules are.
#[derive(Debug)]
pub(crate) struct Library {
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
    expanded: PathBuf,
}

impl Library {
    /// Gives the modules below the directories; of one name, the later directory's.
    ///
    /// `expanded` keeps what had to be decompressed.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub(crate) fn open(directories: &[PathBuf], expanded: PathBuf) -> Result<Self, Fault> {
        let mut library = Self { files: BTreeMap::new(), built_in: BTreeSet::new(), expanded };
        for directory in directories {
            library.walk(directory)?;
        }
        let made = std::fs::create_dir_all(&library.expanded);
        made.map_err(Fault::file("create", &library.expanded))?;
        Ok(library)
    }

    fn walk(&mut self, directory: &Path) -> Result<(), Fault> {
        let refused = || Fault::file("read", directory);
        for entry in std::fs::read_dir(directory).map_err(refused())? {
            let entry = entry.map_err(refused())?;
            let path = entry.path();
            if entry.file_type().map_err(refused())?.is_dir() {
                self.walk(&path)?;
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "modules.builtin" {
                let list = std::fs::read_to_string(&path).map_err(Fault::file("read", &path))?;
                self.built_in.extend(list.lines().filter_map(module_name));
            } else if let Some(name) = module_name(&name) {
                self.files.insert(name, path);
            }
        }
        Ok(())
    }

    /// Gives the wanted modules and all that they need, in loading order. `parameters` are those that
    /// one VM has beside the usual: `ib_core netns_mode=0`.
    ///
    /// # Errors
    /// When a module is nowhere or cannot be read.
    pub(crate) fn load(&self, parameters: &[String]) -> Result<Vec<Module>, Fault> {
        let mut chosen: BTreeMap<String, String> = WANTED
            .iter()
            .map(|(name, parameters)| ((*name).to_owned(), (*parameters).to_owned()))
            .collect();
        for line in parameters {
            let (name, parameters) = line.split_once(' ').unwrap_or((line, ""));
            chosen.insert(plain(name), parameters.to_owned());
        }
        let mut order = Order { library: self, chosen: &chosen, done: BTreeSet::new() };
        let mut modules = Vec::new();
        for name in chosen.keys() {
            order.visit(name, &mut modules)?;
        }
        Ok(modules)
    }

    fn content(&self, name: &str, path: &Path) -> Result<Vec<u8>, Fault> {
        if path.extension().is_some_and(|ending| ending == "ko") {
            return std::fs::read(path).map_err(Fault::file("read", path));
        }
        let expanded = self.expanded.join(format!("{name}.ko"));
        if !expanded.is_file() {
            unpack::module(path, &expanded)?;
        }
        std::fs::read(&expanded).map_err(Fault::file("read", &expanded))
    }
}

/// A walk along the dependencies.
struct Order<'a> {
    library: &'a Library,
    chosen: &'a BTreeMap<String, String>,
    done: BTreeSet<String>,
}

impl Order<'_> {
    fn visit(&mut self, name: &str, modules: &mut Vec<Module>) -> Result<(), Fault> {
        if self.library.built_in.contains(name) || !self.done.insert(name.to_owned()) {
            return Ok(());
        }
        let missing = || Fault::Wrong(format!("this kernel has no module {name}"));
        let path = self.library.files.get(name).ok_or_else(missing)?;
        let content = self.library.content(name, path)?;
        for needed in needs(&content) {
            self.visit(&needed, modules)?;
        }
        for (_, unlisted) in UNLISTED.into_iter().filter(|(asking, _)| *asking == name) {
            if self.library.files.contains_key(unlisted) {
                self.visit(unlisted, modules)?;
            }
        }
        let parameters = self.chosen.get(name).cloned().unwrap_or_default();
        modules.push(Module { name: name.to_owned(), parameters, content });
        Ok(())
    }
}

/// Gives the module's name if the file is one: `snd-pcm.ko.xz` is `snd_pcm`.
fn module_name(file: &str) -> Option<String> {
    let file = file.rsplit('/').next()?;
    let (name, ending) = file.split_once(".ko")?;
    matches!(ending, "" | ".xz" | ".zst" | ".gz").then(|| plain(name))
}

fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// Gives what a module says that it depends on.
fn needs(content: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"depends=";
    let fields = content.split(|byte| *byte == 0);
    let list = fields.filter_map(|field| field.strip_prefix(KEY)).next().unwrap_or_default();
    let list = String::from_utf8_lossy(list);
    list.split(',').filter(|name| !name.is_empty()).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library of all that is wanted by default, and of the given modules with what they need.
    fn library(given: &[(&str, &str)]) -> (tempfile::TempDir, Library) {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, needed: &str| {
            let text = format!("license=GPL\0depends={needed}\0retpoline=Y\0");
            std::fs::write(directory.path().join(format!("{name}.ko")), text).unwrap();
        };
        WANTED.iter().for_each(|(name, _)| write(name, ""));
        given.iter().for_each(|(name, needed)| write(name, needed));
        let builtin = directory.path().join("modules.builtin");
        std::fs::write(builtin, "kernel/net/core.ko\n").unwrap();
        let expanded = directory.path().join("expanded");
        let library = Library::open(&[directory.path().to_path_buf()], expanded).unwrap();
        (directory, library)
    }

    fn position(modules: &[Module], name: &str) -> usize {
        modules.iter().position(|module| module.name == name).unwrap()
    }

    #[test]
    fn what_is_needed_comes_first() {
        let given = [
            ("vxlan", "udp_tunnel,ip6-udp-tunnel"),
            ("udp_tunnel", "core"),
            ("ip6-udp-tunnel", "udp_tunnel"),
        ];
        let (_directory, library) = library(&given);
        let modules = library.load(&["ib_core netns_mode=0".to_owned()]).unwrap();
        assert_eq!(modules.len(), WANTED.len() + 2);
        let [last, inner, first] =
            ["vxlan", "ip6_udp_tunnel", "udp_tunnel"].map(|name| position(&modules, name));
        assert!(first < inner && inner < last);
        let ib_core = &modules[position(&modules, "ib_core")];
        assert_eq!(ib_core.parameters, "netns_mode=0");
        assert_eq!(modules[position(&modules, "bonding")].parameters, "max_bonds=0");
    }

    #[test]
    fn a_module_that_is_nowhere_is_named() {
        let (_directory, library) = library(&[("veth", "nowhere")]);
        let fault = library.load(&[]).unwrap_err();
        assert_eq!(fault.to_string(), "this kernel has no module nowhere");
    }

    #[test]
    fn names_of_files_are_names_of_modules() {
        assert_eq!(module_name("kernel/a/snd-pcm.ko.xz"), Some("snd_pcm".to_owned()));
        assert_eq!(module_name("a.ko"), Some("a".to_owned()));
        assert_eq!(module_name("modules.order"), None);
        assert_eq!(module_name("a.ko.debug"), None);
    }
}
