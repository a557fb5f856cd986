//! The program itself, run as a person runs it: its output, its exit, its server.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::server::Place;

/// A command of the program that was run to its end.
pub struct Run {
    pub success: bool,
    /// What it exited with.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// `tenmint serve`, or `quickstart`, in a process of its own. Dropped, it is killed.
pub struct Process {
    /// Where it serves.
    pub base: String,
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
}

/// The program with none of this process's settings, in an empty environment.
pub fn program(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    program_under(&[], arguments, environment)
}

/// The same by another program, which is told this one and its arguments, and becomes it.
fn program_under(by: &[&str], arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let line = [by, &[env!("CARGO_BIN_EXE_tenmint")], arguments].concat();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test process holds no root key"
    )]
    let mut command = Command::new(line[0]);
    command
        .args(&line[1..])
        .env_clear()
        .env("TENMINT_METRICS_LISTEN", "off")
        // Two that are to be refused must not meet at the port that is there by default.
        .envs(
            arguments
                .starts_with(&["serve"])
                .then_some(("TENMINT_LISTEN", "127.0.0.1:0")),
        )
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    program(arguments, environment).output().unwrap().into()
}

/// Runs a command to its end with something on its standard input.
pub fn run_with_input(arguments: &[&str], input: &str) -> Run {
    let mut command = program(arguments, &[]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap().into()
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            success: output.status.success(),
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Process {
    /// Starts a serving command at a place, on a port that is free, and waits until it serves.
    pub fn serve(place: &Place, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::serve_under(&[], place, arguments, environment)
    }

    /// The same by another program, which is told this one and its arguments, and becomes it.
    pub fn serve_under(
        by: &[&str],
        place: &Place,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let (url, root) = (place.database_url(), place.root_key_file());
        let mut all = vec![
            ("TENMINT_DATABASE_URL", &*url),
            ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
            ("TENMINT_LISTEN", "127.0.0.1:0"),
        ];
        all.extend(environment);
        let mut child = program_under(by, arguments, &all).spawn().unwrap();
        let out = follow(child.stdout.take().unwrap());
        let err = follow(child.stderr.take().unwrap());
        let base = loop {
            let said = format!("{}{}", out.lock().unwrap(), err.lock().unwrap());
            // Quickstart goes on to say more, and this is how it ends.
            let said_all = arguments[0] != "quickstart" || said.contains("Ctrl-C");
            if let Some(base) = base_in(&said).filter(|_| said_all) {
                break base;
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended: {said}");
            std::thread::sleep(Duration::from_millis(10));
        };
        Self {
            base,
            child,
            out,
            err,
        }
    }

    /// `tenmint serve` under what a shell's `ulimit` is told: `-Sn 1024`.
    pub fn serve_within(place: &Place, ulimit: &str, environment: &[(&str, &str)]) -> Self {
        let within = format!("ulimit {ulimit} && exec \"$0\" \"$@\"");
        Self::serve_under(&["sh", "-c", &within], place, &["serve"], environment)
    }

    /// What it wrote to standard output until now.
    pub fn out(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    /// What it wrote to standard error until now: its log.
    pub fn log(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, and waits; whether it ended well.
    pub fn stop(mut self) -> bool {
        self.signal("TERM");
        self.child.wait().unwrap().success()
    }

    /// SIGHUP: to look at its certificate now.
    pub fn hang_up(&self) {
        self.signal("HUP");
    }

    /// Waits until its log holds this, so many times.
    pub fn says(&self, text: &str, times: usize) {
        let began = std::time::Instant::now();
        while self.log().matches(text).count() < times {
            assert!(
                began.elapsed() < Duration::from_mins(1),
                "no {text} in\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test process holds no root key"
        )]
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects what a pipe says, for as long as it says anything.
fn follow(pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let collected = Arc::clone(&said);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut said = collected.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
        }
    });
    said
}

/// The address in the log line or the sentence that says where it serves.
fn base_in(said: &str) -> Option<String> {
    let line = said.lines().find(|line| line.contains("serving"))?;
    let of_url = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || ":/.-[]".contains(*c))
            .collect()
    };
    let here = ["http://", "https://127.0.0.1:", "https://localhost:"];
    if let Some(from) = here.iter().find_map(|base| line.find(base)) {
        return Some(of_url(&line[from..]));
    }
    // Its public URL is elsewhere.
    let listens = line.split("listen").nth(1)?;
    let address = listens.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '[');
    Some(format!("http://{}", of_url(address)))
}
