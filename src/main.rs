//! Arguments → library → exit status.

use std::io::{self, BufWriter};
use std::process::ExitCode;

use ckdiff::cli::Cli;
use ckdiff::run::{Status, run};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let status = run(&cli, &cli.style(), &mut out, &mut io::stderr()).unwrap_or_else(|failure| {
        // Where standard error is closed too there is nobody left to tell.
        let _ = failure.write(&cli.error_style(), &mut io::stderr().lock());
        Status::Unfinished
    });
    ExitCode::from(status.code())
}
