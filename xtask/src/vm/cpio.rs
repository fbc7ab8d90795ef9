//! Archives that the kernel takes for its first file system.
//!
//! Owns the writing of the "newc" format (kernel: Documentation/driver-api/early-userspace/
//! buffer-format.rst). `image` calls it. Invariants:
//!
//! 1. Directories come before what is in them, each once (`directories_come_first_and_once`).
//! 2. A name is written once: the first one wins (`the_first_file_of_a_name_wins`).

use std::collections::BTreeSet;
use std::path::Path;

const DIRECTORY: u32 = 0o040_755;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive that grows.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    names: BTreeSet<String>,
}

impl Archive {
    /// Adds a directory and those above it.
    pub(crate) fn directory(&mut self, path: &Path) {
        if let Some(parent) = path.parent() {
            self.directory(parent);
        }
        if let Some(name) = self.claim(path) {
            self.entry(&name, DIRECTORY, (0, 0), &[]);
        }
    }

    /// Adds a file with its permission bits.
    pub(crate) fn file(&mut self, path: &Path, permissions: u32, content: &[u8]) {
        self.put(path, REGULAR | (permissions & 0o777), (0, 0), content);
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: &Path, target: &str) {
        self.put(path, LINK, (0, 0), target.as_bytes());
    }

    /// Adds a character device of the numbers major and minor.
    pub(crate) fn device(&mut self, path: &Path, numbers: (u32, u32)) {
        self.put(path, CHARACTER_DEVICE, numbers, &[]);
    }

    /// Whether there is an entry of that path.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        self.names.contains(&name_of(path))
    }

    /// Gives the whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn put(&mut self, path: &Path, mode: u32, numbers: (u32, u32), content: &[u8]) {
        if let Some(parent) = path.parent() {
            self.directory(parent);
        }
        if let Some(name) = self.claim(path) {
            self.entry(&name, mode, numbers, content);
        }
    }

    /// Gives the path's name in the archive, unless it is the root or there already.
    fn claim(&mut self, path: &Path) -> Option<String> {
        let name = name_of(path);
        (!name.is_empty() && self.names.insert(name.clone())).then_some(name)
    }

    fn entry(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        let inode = self.names.len();
        let (size, length) = (content.len(), name.len() + 1);
        self.bytes.extend_from_slice(
            format!(
                "070701{inode:08X}{mode:08X}{:08X}{:08X}{:08X}{:08X}{size:08X}{:08X}{:08X}\
                 {major:08X}{minor:08X}{length:08X}{:08X}{name}\0",
                0, 0, 1, 0, 0, 0, 0
            )
            .as_bytes(),
        );
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn name_of(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each entry's name, mode and content, read as the kernel reads them.
    fn listing(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut at = 0;
        let mut entries = Vec::new();
        while at < bytes.len() {
            let field = |index: usize| {
                let start = at + 6 + index * 8;
                let text = std::str::from_utf8(&bytes[start..start + 8]).unwrap();
                usize::from_str_radix(text, 16).unwrap()
            };
            assert_eq!(&bytes[at..at + 6], b"070701");
            let (mode, size, length) = (field(1), field(6), field(11));
            let name = &bytes[at + 110..at + 110 + length - 1];
            let start = (at + 110 + length).next_multiple_of(4);
            let mode = u32::try_from(mode).unwrap();
            let name = String::from_utf8(name.to_vec()).unwrap();
            entries.push((name, mode, bytes[start..start + size].to_vec()));
            at = (start + size).next_multiple_of(4);
        }
        entries
    }

    fn names(archive: Archive) -> Vec<String> {
        listing(&archive.finish()).into_iter().map(|(name, ..)| name).collect()
    }

    #[test]
    fn directories_come_first_and_once() {
        let mut archive = Archive::default();
        archive.file(Path::new("/a/b/c"), 0o755, b"hello");
        archive.link(Path::new("/a/b/d"), "c");
        archive.directory(Path::new("/a"));
        assert!(archive.holds(Path::new("/a/b/d")) && !archive.holds(Path::new("/a/e")));
        assert_eq!(names(archive), ["a", "a/b", "a/b/c", "a/b/d", "TRAILER!!!"]);
    }

    #[test]
    fn the_first_file_of_a_name_wins() {
        let mut archive = Archive::default();
        archive.file(Path::new("/a"), 0o644, b"one");
        archive.file(Path::new("/a"), 0o755, b"two");
        archive.device(Path::new("/console"), (5, 1));
        let entries = listing(&archive.finish());
        assert_eq!(entries[0], ("a".to_owned(), 0o100_644, b"one".to_vec()));
        assert_eq!(entries[1], ("console".to_owned(), 0o020_600, Vec::new()));
        assert_eq!(entries.len(), 3);
    }
}
