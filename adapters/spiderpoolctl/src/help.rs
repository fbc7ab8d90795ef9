//! What every command's help ends with: its examples, and the exit codes.
//!
//! Invariant: the numbers are those of [`crate::failure::Exit`] (`help_states_the_exit_codes`).

/// Examples, then the exit codes.
macro_rules! after {
    ($examples:literal) => {
        concat!(
            "Examples:\n",
            $examples,
            "\n\nExit codes:\n",
            "  0  done\n",
            "  1  the rules said no: nothing was changed, or what was is listed\n",
            "  2  the arguments or an input cannot be used\n",
            "  3  the store or the system failed (missing, damaged, busy, full)\n",
            "  4  audit found leaks, and nothing worse\n",
            "  5  audit or replay found something broken"
        )
    };
}
pub(crate) use after;

#[cfg(test)]
mod tests {
    use crate::failure::Exit;

    #[test]
    fn help_states_the_exit_codes() {
        let help = after!("x");
        let all = [Exit::Done, Exit::Refused, Exit::Bad, Exit::World, Exit::Leaks, Exit::Broken];
        for exit in all {
            assert!(help.contains(&format!("\n  {}  ", exit.code())), "{exit:?}");
        }
    }
}
