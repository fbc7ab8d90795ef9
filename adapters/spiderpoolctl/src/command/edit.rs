//! `edit`: opens a manifest in an editor and applies what comes back.
//!
//! Whatever goes wrong afterwards, the text that was typed is kept in a file that the error names
//! (`tests/golden`: `edit`).

use crate::command::apply::apply;
use crate::command::get::{find, yaml};
use crate::definition::{Definition, Kind, Reading, read_texts};
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::session::Session;
use clap::Args;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// Edit one pool, subnet or reservation in $VISUAL or $EDITOR
///
/// The manifest is written to a file, the editor is run on it, and what comes back is checked and
/// applied like `apply -f` would. When it has a flaw or is refused, nothing is changed and the file is
/// kept.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl edit pool blue\n  \
       EDITOR=nano spiderpoolctl edit reservation routers"
))]
pub(crate) struct Edit {
    /// What to edit: pool, subnet or reservation
    kind: Kind,
    /// Its name
    name: String,
    /// The namespace of networks that multusName gives without one
    #[arg(long, default_value = "kube-system", value_name = "NAME")]
    agent_namespace: String,
}

impl Edit {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let sight = session.sight()?;
        let before = yaml(&sight, &[find(&sight.view, self.kind, &self.name)?])?;
        let fault = |error: &std::io::Error| {
            Failure::world("cannot keep the text for the editor").because(error)
        };
        let prefix = format!("spiderpoolctl-{}-", self.name.replace('/', "-"));
        let mut file = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".yaml")
            .tempfile()
            .map_err(|error| fault(&error))?;
        file.write_all(before.as_bytes()).map_err(|error| fault(&error))?;
        run_editor(file.path())?;
        let after = fs::read_to_string(file.path()).map_err(|error| fault(&error))?;
        if after == before {
            session.print(&format!("{} {} unchanged\n", self.kind, self.name))?;
            return Ok(Exit::Done);
        }
        let outcome = self.unchanged(session, &before).and_then(|()| self.take(session, &after));
        outcome.map_err(|failure| match file.keep() {
            Ok((_, path)) => {
                let path = path.display();
                failure.try_this(format!(
                    "your text is kept: mend `{path}`, then `spiderpoolctl apply -f {path}`"
                ))
            }
            Err(error) => failure.because(&error),
        })
    }

    /// Whether it is still as it was when the editor was opened.
    fn unchanged(&self, session: &Session, before: &str) -> Result<(), Failure> {
        let sight = session.sight()?;
        let present = Definition::find(&sight.view, self.kind, &self.name);
        let present = present.map(|definition| yaml(&sight, &[definition])).transpose()?;
        if present.as_deref() == Some(before) {
            return Ok(());
        }
        let (kind, name) = (self.kind, &self.name);
        Err(Failure::refused(format!(
            "somebody else changed {kind} {name} while it was edited; nothing was changed"
        )))
    }

    fn take(&self, session: &Session, text: &str) -> Result<Exit, Failure> {
        let Reading { definitions, manifests, warnings } =
            read_texts(&[("what you wrote", text)], &self.agent_namespace)?;
        warnings.iter().for_each(|warning| session.note(&format!("warning: {warning}")));
        match definitions.as_slice() {
            [one] if one.kind() == self.kind && **one.name() == *self.name => {
                apply(session, (definitions, manifests), false)
            }
            _ => Err(Failure::bad(format!(
                "what you wrote is not just {} {}; other definitions are made with apply",
                self.kind, self.name
            ))),
        }
    }
}

/// Runs the editor as a shell would, since it may come with arguments.
fn run_editor(path: &Path) -> Result<(), Failure> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into());
    let mut script = editor.clone();
    script.push(OsString::from(" \"$1\""));
    let ran = Command::new("/bin/sh").arg("-c").arg(script).arg("editor").arg(path).status();
    let told = editor.to_string_lossy();
    match ran {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::world(format!(
            "the editor `{told}` ended with {status}; nothing was changed"
        ))
        .try_this("set EDITOR to an editor that is installed")),
        Err(error) => {
            Err(Failure::world(format!("cannot run the editor `{told}`")).because(&error))
        }
    }
}
