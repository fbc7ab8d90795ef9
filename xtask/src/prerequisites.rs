//! What the tests need of the machine.
//!
//! Owns the questions "am I root, is that program there, is that Go recent enough". The tiers ask
//! before they run, `setup` asks to know what to install. Invariant: a refusal says how to mend it
//! (`a_refusal_names_the_remedy`).

use std::path::{Path, PathBuf};

use crate::call::{Call, Fault};

/// Where Debian puts the CNI plugins.
pub(crate) const CNI_PLUGINS: &str = "/usr/lib/cni";

/// Where Debian puts the statically linked busybox.
pub(crate) const BUSYBOX: &str = "/bin/busybox";

const REMEDY: &str = "run `cargo xtask setup` as root";

/// Refuses unless this process is root.
///
/// # Errors
/// The reason, for the closing table.
pub(crate) fn root() -> Result<(), String> {
    if is_root() { Ok(()) } else { Err("needs root: run it with sudo".to_owned()) }
}

/// Whether this process's effective user is root.
pub(crate) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    user.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

/// Refuses unless each program is in `PATH`.
///
/// # Errors
/// The reason, for the closing table.
pub(crate) fn need(programs: &[&str]) -> Result<(), String> {
    match programs.iter().find(|program| find(program).is_none()) {
        None => Ok(()),
        Some(missing) => Err(format!("`{missing}` is missing: {REMEDY}")),
    }
}

/// Refuses unless the file is there.
///
/// # Errors
/// The reason, for the closing table.
pub(crate) fn need_file(path: &Path) -> Result<(), String> {
    if path.exists() { Ok(()) } else { Err(format!("{} is missing: {REMEDY}", path.display())) }
}

/// Gives the path of a program, as a shell would find it.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian leaves the directories of administration out of a plain user's PATH.
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.map(|place| place.join(program)).find(|candidate| candidate.is_file())
}

/// Refuses unless Go is there and at least as new as the module asks for.
///
/// # Errors
/// The reason, for the closing table.
pub(crate) fn go(module: &Path) -> Result<(), String> {
    let asked = std::fs::read_to_string(module.join("go.mod"))
        .map_err(|error| format!("cannot read {}/go.mod: {error}", module.display()))?;
    let asked = asked.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or("1.0");
    let own =
        go_version().map_err(|_| format!("`go` is missing: {REMEDY}, or install Go {asked}"))?;
    if version(&own) >= version(asked) {
        return Ok(());
    }
    Err(format!("Go {own} is too old: install Go {asked} or later"))
}

/// Gives the version of the installed Go, such as `1.26.8`.
fn go_version() -> Result<String, Fault> {
    let call = Call::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local");
    let text = call.dir(Path::new("/")).output()?;
    Ok(text.trim().trim_start_matches("go").to_owned())
}

/// Gives the first three numbers of a version; what is missing counts as 0.
fn version(text: &str) -> [u64; 3] {
    let mut numbers = [0; 3];
    for (number, part) in numbers.iter_mut().zip(text.split('.')) {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        *number = digits.parse().unwrap_or(0);
    }
    numbers
}

/// Whether the program at that path needs no dynamic loader, so that it runs in an empty image.
pub(crate) fn is_static(path: &Path) -> bool {
    let listing = Call::new("ldd").arg(path).env("LC_ALL", "C").capture();
    listing.is_ok_and(|(_, out, err)| format!("{out}{err}").contains("not a dynamic executable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_remedy() {
        let reason = need(&["sh", "sp-no-such-program"]).unwrap_err();
        assert_eq!(reason, "`sp-no-such-program` is missing: run `cargo xtask setup` as root");
        assert!(need(&["sh"]).is_ok());
        assert!(need_file(Path::new("/does/not/exist")).unwrap_err().contains("xtask setup"));
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(version("1.26.8") > version("1.25"));
        assert!(version("1.9") < version("1.25"));
        assert_eq!(version("1.26rc1"), [1, 26, 0]);
    }

    #[test]
    fn a_shell_script_is_not_static_and_neither_is_sh() {
        assert!(!is_static(Path::new("/bin/sh")));
        assert!(!is_static(Path::new("/does/not/exist")));
    }
}
