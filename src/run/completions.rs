//! `ckdiff completions SHELL` and `ckdiff man`: what shells and `man` read, made of the definitions of the command line.

use std::io::{self, Write};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::{Failure, Status, deliver};
use crate::cli::{Cli, CompletionsArgs};

/// Writes a completion script.
pub(super) fn completions(cli: &Cli, args: &CompletionsArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    // Into memory first: the generator gives up where a pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ckdiff", &mut script);
    deliver(cli, out, |out| out.write_all(&script))?;
    Ok(Status::Holds)
}

/// Writes the manual page.
pub(super) fn man(cli: &Cli, out: &mut dyn Write) -> Result<Status, Failure> {
    deliver(cli, out, page)?;
    Ok(Status::Holds)
}

/// One page for all commands, so that one search finds any flag: the verdict first, then a section for each command.
fn page(out: &mut dyn Write) -> io::Result<()> {
    let root = Cli::command();
    let man = Man::new(root.clone());
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    for command in root.get_subcommands().filter(|c| !c.is_hide_set()) {
        section(command, out)?;
    }
    examples(&root, out)?;
    man.render_version_section(out)
}

/// The section of one command, its parts as subsections.
fn section(command: &Command, out: &mut dyn Write) -> io::Result<()> {
    let name = format!("ckdiff {}", command.get_name());
    // As a command of its own, so that the flags of every command are not told with each.
    let man = Man::new(command.clone().bin_name(&name).disable_help_flag(true));
    let mut text = Vec::new();
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut text)?;
    }
    writeln!(out, ".SH \"{}\"", name.to_uppercase())?;
    for line in String::from_utf8_lossy(&text).lines() {
        match line.strip_prefix(".SH ") {
            Some("SYNOPSIS" | "DESCRIPTION") => writeln!(out, ".PP")?,
            Some(_) => {}
            None => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}

/// What stands behind the flags in `--help`, line by line as it is there.
fn examples(root: &Command, out: &mut dyn Write) -> io::Result<()> {
    let text = root.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    writeln!(out, ".SH EXAMPLES\n.nf")?;
    for line in text.trim_start_matches("Examples:").trim().lines() {
        // A full stop or an apostrophe at the beginning of a line would be a request.
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        writeln!(out, "{guard}{line}")?;
    }
    writeln!(out, ".fi")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        let mut out = Vec::new();
        page(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_manual_has_every_command_and_every_flag_of_it() {
        let text = text();
        for command in Cli::command().get_subcommands() {
            assert!(text.contains(&format!(".SH \"CKDIFF {}\"", command.get_name().to_uppercase())), "{command}");
            for flag in command.get_arguments().filter_map(|a| a.get_long()) {
                assert!(text.contains(&format!("\\-\\-{}", flag.replace('-', "\\-"))), "{command} --{flag}");
            }
        }
        assert!(text.contains("\\-\\-level"));
    }

    #[test]
    fn a_flag_of_every_command_is_told_once() {
        assert_eq!(text().matches("\\fB\\-\\-color\\fR").count(), 1, "not once more with each command");
    }
}
