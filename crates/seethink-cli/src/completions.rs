//! `seethink completions`: completion of command lines in a shell.

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::Write;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Shell to write the script for.
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    std::io::stdout().write_all(&script(args.shell)).context("cannot write the script")
}

/// Script that completes command lines of this program in a shell.
fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::Arguments::command(), "seethink", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Command;

    /// Names of a command's subcommands, nested ones included.
    fn names(command: &Command) -> Vec<String> {
        let nested = command.get_subcommands().flat_map(|one| [vec![one.get_name().to_owned()], names(one)].concat());
        nested.collect()
    }

    #[test]
    fn every_subcommand_is_completed_in_every_shell() {
        let names = names(&crate::Arguments::command());
        for expected in ["train", "init", "export", "completions", "pass-rate", "show"] {
            assert!(names.iter().any(|name| name == expected), "{expected}");
        }
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).unwrap();
            for name in &names {
                // Where words are offered, and not in a help text.
                let is_offered = match shell {
                    Shell::Bash => script.split_whitespace().any(|word| word.trim_matches(['"', '\'']) == name),
                    Shell::Zsh => script.contains(&format!("'{name}:")),
                    _ => script.contains(&format!("-a \"{name}\"")),
                };
                assert!(is_offered, "{shell}: {name}");
            }
        }
    }
}
