//! A recorded run as operations on files, and the disks that a power cut could leave of it.
//!
//! The model: what was written to a file before its last fsync is there. Of what was written
//! afterwards any sectors of 512 bytes may be there, in any order, and the file may have its old or
//! any newer length. A name that was made, linked or removed since the last fsync of its directory
//! may be in its old or its new state, in the order of a journalling file system: a later change is
//! there only if the earlier ones are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug)]
enum Op {
    Name { path: String, file: usize },
    Unname { path: String },
    Write { file: usize, at: u64, bytes: Vec<u8> },
    Cut { file: usize, length: u64 },
    Sync { file: usize },
    SyncDir,
    Say(String),
}

#[derive(Debug)]
pub(crate) struct Trace {
    ops: Vec<Op>,
    files: usize,
}

#[derive(Default)]
struct Parser {
    ops: Vec<Op>,
    files: usize,
    names: BTreeMap<String, usize>,
    ends: BTreeMap<usize, u64>,
    pending: BTreeMap<String, String>,
}

impl Trace {
    /// Reads what `strace -f -y -xx` wrote; names are taken relative to `dir`.
    pub(crate) fn parse(text: &str, dir: &Path) -> Self {
        let mut parser = Parser::default();
        for line in text.lines() {
            let (thread, call) = line.split_once(' ').unwrap();
            let call = call.trim_start();
            if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
                parser.pending.insert(thread.to_owned(), begun.to_owned());
            } else if let Some((_, rest)) = call.split_once(" resumed>") {
                let begun = parser.pending.remove(thread).unwrap();
                parser.call(&format!("{begun}{rest}"), dir);
            } else {
                parser.call(call, dir);
            }
        }
        Self { ops: parser.ops, files: parser.files }
    }

    /// The points at which the power may go: before each operation, and at the end.
    pub(crate) fn cuts(&self) -> impl Iterator<Item = usize> + use<> {
        0..=self.ops.len()
    }

    pub(crate) fn said_before(&self, cut: usize) -> impl Iterator<Item = &str> {
        let said = self.ops[..cut].iter();
        said.filter_map(|op| if let Op::Say(text) = op { Some(text.as_str()) } else { None })
            .flat_map(str::lines)
    }

    pub(crate) fn syncs(&self) -> usize {
        self.ops.iter().filter(|op| matches!(op, Op::Sync { .. } | Op::SyncDir)).count()
    }

    /// For each acknowledgement, how many writes to the file were not on the disk by then.
    pub(crate) fn unsynced_at_acks(&self, name: &str) -> Vec<usize> {
        let mut unsynced = 0;
        let mut files = Vec::new();
        let mut at_acks = Vec::new();
        for op in &self.ops {
            match op {
                Op::Name { path, file } if path == name => files.push(*file),
                Op::Write { file, .. } if files.contains(file) => unsynced += 1,
                Op::Sync { file } if files.contains(file) => unsynced = 0,
                Op::Say(text) if text.starts_with("add") || text.starts_with("del") => {
                    at_acks.push(unsynced);
                }
                _ => {}
            }
        }
        assert!(!files.is_empty(), "`{name}` was never made");
        at_acks
    }

    /// Writes one of the disks that a power cut before operation `cut` could leave.
    pub(crate) fn rebuild(&self, cut: usize, variant: u64, dir: &Path) {
        let mut dice = Dice(variant.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (cut as u64 + 1));
        let ops = &self.ops[..cut];
        let mut contents = vec![Vec::new(); self.files];
        for (file, content) in contents.iter_mut().enumerate() {
            *content = surviving(ops, file, variant, &mut dice);
        }
        let synced = ops.iter().rposition(|op| matches!(op, Op::SyncDir)).map_or(0, |at| at + 1);
        let late: Vec<_> = (synced..cut).filter(|at| is_name(&ops[*at])).collect();
        let kept = match variant {
            0 => 0,
            1 => late.len(),
            _ => usize::try_from(dice.next() % (late.len() as u64 + 1)).unwrap(),
        };
        let last = late.get(kept).copied().unwrap_or(cut);
        let mut names = BTreeMap::new();
        for op in &ops[..last] {
            match op {
                Op::Name { path, file } => drop(names.insert(path.clone(), *file)),
                Op::Unname { path } => drop(names.remove(path)),
                _ => {}
            }
        }
        for (path, file) in names {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &contents[file]).unwrap();
        }
    }
}

const fn is_name(op: &Op) -> bool {
    matches!(op, Op::Name { .. } | Op::Unname { .. })
}

/// The bytes of one file: all up to its last fsync, then what chance leaves of the rest.
fn surviving(ops: &[Op], file: usize, variant: u64, dice: &mut Dice) -> Vec<u8> {
    let is_sync = |op: &Op| matches!(op, Op::Sync { file: f } if *f == file);
    let synced = ops.iter().rposition(is_sync).map_or(0, |at| at + 1);
    let mut content = Vec::new();
    for op in &ops[..synced] {
        apply(&mut content, op, file, |_| true);
    }
    // Variant 0 loses all the rest, variant 1 none; the others tear and reorder it.
    for op in &ops[synced..] {
        match variant {
            0 => {}
            1 => apply(&mut content, op, file, |_| true),
            _ => {
                let share = dice.next() % 4;
                apply(&mut content, op, file, |_| dice.next() % 4 <= share);
            }
        }
    }
    content
}

fn apply(content: &mut Vec<u8>, op: &Op, file: usize, mut lives: impl FnMut(u64) -> bool) {
    match op {
        Op::Write { file: f, at, bytes } if *f == file => {
            for (index, sector) in bytes.chunks(512).enumerate() {
                let from = usize::try_from(*at).unwrap() + index * 512;
                if lives(from as u64) {
                    let end = from + sector.len();
                    content.resize(content.len().max(end), 0);
                    content[from..end].copy_from_slice(sector);
                }
            }
        }
        Op::Cut { file: f, length } if *f == file && lives(0) => {
            content.resize(usize::try_from(*length).unwrap(), 0);
        }
        _ => {}
    }
}

struct Dice(u64);

impl Dice {
    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

impl Parser {
    fn call(&mut self, call: &str, dir: &Path) {
        let Some((name, rest)) = call.split_once('(') else { return };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return };
        let arguments = arguments.trim_end().trim_end_matches(')');
        if result.starts_with('-') || result.starts_with('?') {
            return;
        }
        let fields: Vec<_> = arguments.split(", ").map(str::to_owned).collect();
        match name {
            "openat" => self.open(&fields, dir),
            "write" if fields[0].starts_with("1<") => {
                self.ops.push(Op::Say(String::from_utf8(unhex(&fields[1])).unwrap()));
            }
            "write" | "pwrite64" | "ftruncate" | "fsync" | "fdatasync" => {
                self.on_file(name, &fields, dir);
            }
            "link" => self.link(&fields[0], &fields[1], dir),
            "linkat" => self.link(&fields[1], &fields[3], dir),
            "unlink" => self.unlink(&fields[0], dir),
            "unlinkat" => self.unlink(&fields[1], dir),
            "mkdir" => {}
            other => assert!(relative(&fields[0], dir).is_none(), "{other} is not modelled"),
        }
    }

    fn on_file(&mut self, name: &str, fields: &[String], dir: &Path) {
        let path = described(&fields[0]);
        if name.ends_with("sync") && path.as_deref() == Some(dir) {
            return self.ops.push(Op::SyncDir);
        }
        let path = path.and_then(|path| Some(path.strip_prefix(dir).ok()?.to_str()?.to_owned()));
        let Some(file) = path.and_then(|path| self.names.get(&path).copied()) else { return };
        match name {
            "pwrite64" => self.write(file, fields[3].parse().unwrap(), unhex(&fields[1])),
            "write" => {
                let at = self.ends.get(&file).copied().unwrap_or(0);
                self.write(file, at, unhex(&fields[1]));
            }
            "ftruncate" => {
                let length = fields[1].parse().unwrap();
                self.ends.insert(file, length);
                self.ops.push(Op::Cut { file, length });
            }
            _ => self.ops.push(Op::Sync { file }),
        }
    }

    fn open(&mut self, fields: &[String], dir: &Path) {
        let Some(path) = relative(&fields[1], dir) else { return };
        let flags = &fields[2];
        // Locks and the index of the log are not part of what lasts.
        if path.starts_with("locks") || path.ends_with("-shm") || flags.contains("O_DIRECTORY") {
            return;
        }
        if flags.contains("O_CREAT") && !self.names.contains_key(&path) {
            let file = self.files;
            self.files += 1;
            self.names.insert(path.clone(), file);
            self.ops.push(Op::Name { path: path.clone(), file });
        }
        if flags.contains("O_TRUNC") {
            let file = self.names[&path];
            self.ends.insert(file, 0);
            self.ops.push(Op::Cut { file, length: 0 });
        }
    }

    fn write(&mut self, file: usize, at: u64, bytes: Vec<u8>) {
        let end = at + bytes.len() as u64;
        let known = self.ends.entry(file).or_insert(0);
        *known = (*known).max(end);
        self.ops.push(Op::Write { file, at, bytes });
    }

    fn link(&mut self, from: &str, to: &str, dir: &Path) {
        let (Some(from), Some(to)) = (relative(from, dir), relative(to, dir)) else { return };
        let file = self.names[&from];
        self.names.insert(to.clone(), file);
        self.ops.push(Op::Name { path: to, file });
    }

    fn unlink(&mut self, path: &str, dir: &Path) {
        if let Some(path) = relative(path, dir) {
            self.names.remove(&path);
            self.ops.push(Op::Unname { path });
        }
    }
}

/// The path that `-y` shows behind a file descriptor.
fn described(field: &str) -> Option<PathBuf> {
    let path = field.split_once('<')?.1.strip_suffix('>')?;
    Some(PathBuf::from(String::from_utf8(unhex(path)).ok()?))
}

fn relative(field: &str, dir: &Path) -> Option<String> {
    let path = PathBuf::from(String::from_utf8(unhex(field)).ok()?);
    Some(path.strip_prefix(dir).ok()?.to_str()?.to_owned())
}

/// Bytes as `-xx` shows them; what is not in that form is taken as it is.
fn unhex(text: &str) -> Vec<u8> {
    let text = text.trim_matches('"');
    if !text.starts_with("\\x") {
        return text.as_bytes().to_vec();
    }
    text.split("\\x").skip(1).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}
