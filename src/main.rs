//! Arguments → library → exit status.

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use ckdiff::cli::Cli;
use ckdiff::run::{Failure, Status, run};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let style = cli.style();
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let status = run(&cli, &style, &mut out).unwrap_or_else(|Failure(why)| {
        // Nothing is left to do when standard error is closed too.
        let _ = writeln!(io::stderr(), "ckdiff: {why}");
        Status::Unfinished
    });
    ExitCode::from(status.code())
}
