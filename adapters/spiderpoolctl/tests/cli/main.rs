//! The real binary on stores of its own: transcripts, simulations that come true, and what Debian's
//! host-local wrote.

#![cfg(test)]

mod golden;
mod host_local;
mod simulate;
mod support;

/// Manual pages and completions come from the same definition as the help.
#[test]
fn manuals_and_completions_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let ctl = |arguments: &[&str]| {
        let (stdout, stderr, code) = support::run(support::ctl(dir.path(), 0).args(arguments));
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        stdout
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = ctl(&["completion", shell]);
        assert!(script.contains("simulate") && script.contains("dry-run"), "{shell}");
    }
    assert!(ctl(&["man"]).contains("audit found leaks"));
    ctl(&["man", "pages"]);
    for page in [
        "spiderpoolctl.1",
        "spiderpoolctl-ip-release.1",
        "spiderpoolctl-net-plan.1",
        "spiderpoolctl-import-host-local.1",
    ] {
        let text = std::fs::read_to_string(dir.path().join("pages").join(page)).unwrap();
        assert!(text.contains("audit found leaks") && text.contains("Examples"), "{page}: {text}");
    }
}
