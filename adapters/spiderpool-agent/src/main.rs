//! `spiderpool-agent`: the daemon of a node.

fn main() -> std::process::ExitCode {
    spiderpool_agent::run::main()
}
