//! tenmint, the program: parses the command line, runs the command, and alone exits.

#![allow(clippy::print_stderr, reason = "a person reads why a command failed")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match tenmint::cli::parse() {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tenmint: {failure}");
            ExitCode::from(tenmint::cli::exit_code(&failure))
        }
    }
}
