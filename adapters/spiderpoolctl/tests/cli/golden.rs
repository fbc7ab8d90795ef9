//! Transcripts of the real binary: each file of `tests/golden` is a script with its expected output.
//!
//! `$ ` runs `spiderpoolctl` with the arguments that follow, `% ` prepares something (see [`prepare`]),
//! `# ` is a comment; `> ` is standard output, `! ` standard error, `= ` the exit code.
//! `UPDATE_GOLDEN=1 cargo test -p spiderpoolctl --test cli golden` writes what came out into the files.

use crate::support::{add, conflict, ctl, del, note_witness, run, store};
use spiderpool_core::moment::Moment;
use std::fs;
use std::path::{Path, PathBuf};

/// One transcript under way.
struct Run {
    dir: tempfile::TempDir,
    now_ms: u64,
    environment: Vec<(String, String)>,
}

/// Words, with single and double quotes as in a shell.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// `now MS`, `pod CONTAINER INTERFACES POOLS`, `gone CONTAINER`,
/// `witness CONTAINER INTERFACE alive|dead|hidden|rebooted`, `conflict ADDRESS`,
/// `write FILE TEXT`, `env NAME VALUE`, `sql STATEMENT`, `remove FILE`.
fn prepare(state: &mut Run, line: &str) {
    let words = words(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let dir = state.dir.path();
    let moment = Moment { now_ms: state.now_ms, seed: state.now_ms };
    match words.as_slice() {
        ["now", now] => state.now_ms = now.parse().unwrap(),
        ["pod", container, interfaces, pools] => {
            drop(add(&store(dir), (container, interfaces, pools), moment));
        }
        ["witness", container, interface, kind] => {
            note_witness(&store(dir), (container, interface), kind);
        }
        ["gone", container] => del(&store(dir), container, moment),
        ["conflict", address] => conflict(&store(dir), address, moment),
        ["write", file, text] => {
            let path = dir.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.replace("\\r", "\r").replace("\\n", "\n")).unwrap();
        }
        ["env", name, value] => state.environment.push(((*name).to_owned(), (*value).to_owned())),
        ["sql", statement] => {
            let db = rusqlite::Connection::open(dir.join("store/ledger.sqlite")).unwrap();
            db.execute_batch(statement).unwrap();
        }
        ["remove", file] => fs::remove_file(dir.join(file)).unwrap(),
        other => panic!("no such preparation: {other:?}"),
    }
}

fn command(state: &Run, line: &str) -> String {
    let mut process = ctl(state.dir.path(), state.now_ms);
    process.args(words(line)).envs(state.environment.iter().cloned());
    let (stdout, stderr, code) = run(&mut process);
    let told = |text: &str, mark: &str| -> String {
        text.lines()
            .map(|line| format!("{mark} {}", redact(line)).trim_end().to_owned() + "\n")
            .collect()
    };
    told(&stdout, ">") + &told(&stderr, "!") + &format!("= {code}\n")
}

/// Temporary names and random numbers say nothing.
fn redact(line: &str) -> String {
    let words = line.split_inclusive(['`', ' ', ',', '"']);
    words
        .map(|word| {
            let bare = word.trim_end_matches(['`', ' ', ',', '"']);
            let rest = &word[bare.len()..];
            let is_uuid = bare.len() == 36 && bare.matches('-').count() == 4;
            if is_uuid {
                format!("UUID{rest}")
            } else if bare.contains("/spiderpoolctl-") || bare.contains("/replaced-") {
                format!("TEMPORARY{rest}")
            } else {
                word.to_owned()
            }
        })
        .collect()
}

fn replay(script: &str) -> String {
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/inputs");
    let dir = tempfile::tempdir().unwrap();
    for input in fs::read_dir(inputs).unwrap() {
        let input = input.unwrap();
        fs::copy(input.path(), dir.path().join(input.file_name())).unwrap();
    }
    let mut state = Run { dir, now_ms: 1_767_225_600_000, environment: Vec::new() };
    let mut out = String::new();
    for line in script.lines() {
        let (mark, rest) = line.split_at_checked(2).unwrap_or((line, ""));
        match mark {
            ">" | "!" | "> " | "! " | "= " => continue,
            "$ " => out.push_str(&format!("{line}\n{}", command(&state, rest))),
            "% " => {
                prepare(&mut state, rest);
                out.push_str(&format!("{line}\n"));
            }
            "# " | "" => out.push_str(&format!("{line}\n")),
            other => panic!("a line begins with {other:?}: {line}"),
        }
    }
    out
}

#[test]
fn transcripts() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(files.len() >= 10, "the transcripts are gone");
    let mut differing = Vec::new();
    for file in files {
        let expected = fs::read_to_string(&file).unwrap();
        let got = replay(&expected);
        if got == expected {
            continue;
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &got).unwrap();
        } else {
            eprintln!("--- {} came out as\n{got}", file.display());
            differing.push(file);
        }
    }
    assert!(
        differing.is_empty(),
        "differing transcripts: {differing:?}; UPDATE_GOLDEN=1 takes them"
    );
}
