//! One conversation, written down as it happens.

use crate::lab::{Ask, Heard, Lab, plain};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A lab and the record of what was said in it. The lab's directory is `$LAB` there.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) lab: Lab,
    file: PathBuf,
    text: String,
}

impl Talk {
    /// Begins the conversation that is kept in that file of `tests/golden/`.
    pub(crate) fn new(name: &str) -> Self {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        Self { lab: Lab::new(), file: golden.join(format!("{name}.txt")), text: String::new() }
    }

    /// Makes one call and writes it down.
    pub(crate) fn say(&mut self, ask: &Ask) -> Heard {
        let heard = ask.send_as(plain());
        let mut said = String::from(">>>");
        for (key, value) in ask.env.iter().filter(|(key, _)| *key != "CNI_PATH") {
            write!(said, " {}='{}'", key.trim_start_matches("CNI_"), value.to_string_lossy())
                .unwrap();
        }
        let input = String::from_utf8_lossy(&ask.input()).into_owned();
        let exit = heard.exit.unwrap_or(-1);
        let home = self.lab.path("").display().to_string();
        let text = format!("{said}\n{input}\n<<< exit {exit}\n{}\n", heard.stdout);
        self.text.push_str(&text.replace(&home, "$LAB/"));
        heard
    }
}

impl Drop for Talk {
    /// Compares with the file: the last act of every conversation that came to its end.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
            std::fs::write(&self.file, &self.text).unwrap();
            return;
        }
        let kept = std::fs::read_to_string(&self.file).unwrap_or_default();
        let file = self.file.display();
        assert_eq!(kept, self.text, "{file} differs; UPDATE_GOLDEN=1 writes it anew");
    }
}
