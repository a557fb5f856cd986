//! What a bench is asked for on its command line, and what it answers its caller.

use std::error::Error;
use std::process::ExitCode;

/// What stands on the command line.
pub struct Asked(Vec<String>);

impl Asked {
    /// Of this process.
    pub fn of_process() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// Whether a flag is there.
    pub fn has(&self, flag: &str) -> bool {
        self.0.iter().any(|argument| argument == flag)
    }

    /// Whether a try of some seconds will do. Cargo says --bench in `cargo bench` alone, and not
    /// in `cargo test --all-targets`.
    pub fn is_quick(&self) -> bool {
        self.has("--quick") || !self.has("--bench")
    }

    /// What is there beside flags.
    pub fn words(&self) -> Vec<&str> {
        let words = self.0.iter().map(String::as_str);
        words.filter(|word| !word.starts_with("--")).collect()
    }

    /// All of it.
    pub fn all(&self) -> &[String] {
        &self.0
    }
}

/// How the process ends; it says why it came to nothing.
pub fn exit(done: Result<(), Box<dyn Error + Send + Sync>>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
