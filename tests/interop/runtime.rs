//! Runtimes of other languages: where they are, and how a driver is run in one.
//!
//! A driver takes its inputs from the environment and prints JSON. It fails only on what it does
//! not expect: a refusal is a result.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

use crate::support::left_out::or_left_out;

/// A program that runs drivers, and text in its language.
#[derive(Clone)]
pub struct Runtime {
    program: PathBuf,
    /// Where its drivers and its clients are.
    folder: &'static str,
    /// What comes before text to be run.
    text_follows: &'static [&'static str],
}

/// Python with the clients of `requirements.txt`, or else the calling test is left out.
#[track_caller]
pub fn python() -> Option<Runtime> {
    let program = Some(venv().join("python")).filter(|program| program.exists());
    let runtime = program.map(|program| Runtime {
        program,
        folder: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/python"),
        text_follows: &["-c"],
    });
    or_left_out(runtime, "Python with the clients", REMEDY)
}

/// schemathesis, of the same environment, or else the calling test is left out.
#[track_caller]
pub fn schemathesis() -> Option<Runtime> {
    let program = Some(venv().join("schemathesis")).filter(|program| program.exists());
    let runtime = program.map(|program| Runtime {
        program,
        folder: "/",
        text_follows: &[],
    });
    or_left_out(runtime, "schemathesis", REMEDY)
}

/// Node.js with the clients of `package.json`, or else the calling test is left out.
#[track_caller]
pub fn node() -> Option<Runtime> {
    static RECENT: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        // Beside the Python clients lies one for systems whose own is too old.
        let candidates = [PathBuf::from("node"), venv().join("node")];
        candidates
            .into_iter()
            .find(|program| is_recent_node(program))
    });
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/node");
    let installed = Path::new(folder).join("node_modules/jose").exists();
    let program = RECENT.clone().filter(|_| installed);
    let runtime = program.map(|program| Runtime {
        program,
        folder,
        text_follows: &["--input-type=module", "--eval"],
    });
    or_left_out(runtime, "Node.js with the clients", REMEDY)
}

/// Go with the modules of `docs/resource-servers/go`, or else the calling test is left out.
#[track_caller]
pub fn go() -> Option<Runtime> {
    static RECENT: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        // Too old a one refuses what go.mod says.
        let fits = |program: &PathBuf| {
            let mut asked = command(program);
            asked.args(["list", "-m"]).envs(go_places());
            output(asked.current_dir(GO_FOLDER)).is_some()
        };
        let candidates = [PathBuf::from("go"), venv().join("go")];
        candidates.into_iter().find(fits)
    });
    let installed = beside_venv("go/pkg/mod").exists();
    let program = RECENT.clone().filter(|_| installed);
    let runtime = program.map(|program| Runtime {
        program,
        folder: GO_FOLDER,
        text_follows: &[],
    });
    or_left_out(runtime, "Go with the modules", REMEDY)
}

/// Where Go keeps what it has fetched and built. `.ci/run` says the same; here nothing is fetched.
pub fn go_places() -> [(&'static str, String); 6] {
    let place = |name| beside_venv(name).to_str().unwrap().to_owned();
    [
        ("GOPATH", place("go")),
        ("GOCACHE", place("go/cache")),
        ("GOPROXY", "off".to_owned()),
        ("GOFLAGS", "-mod=readonly -buildvcs=false".to_owned()),
        ("GOTOOLCHAIN", "local".to_owned()),
        ("CGO_ENABLED", "0".to_owned()),
    ]
}

const GO_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/resource-servers/go");

/// Java with the program of `docs/resource-servers/java` and what `beside` adds to it, built, or else
/// the calling test is left out.
#[track_caller]
pub fn java(beside: &Path, into: &Path) -> Option<Runtime> {
    let packages = beside_venv("m2");
    // It is put there when all others are.
    let complete = packages.join("pom.xml");
    let works = |name: &str, flag: &str| output(command(name).arg(flag)).is_some();
    let is_there = complete.exists() && works("java", "--version") && works("mvn", "--version");
    or_left_out(is_there.then_some(()), "Java with the packages", REMEDY)?;
    let sources = into.join("src/main/java/example");
    std::fs::create_dir_all(&sources).unwrap();
    std::fs::create_dir_all(into.join("src/main/resources")).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/resource-servers/java");
    for place in ["", "src/main/resources", "src/main/java/example"] {
        copy_files(&folder.join(place), &into.join(place));
    }
    copy_files(beside, &sources);
    let mut build = command("mvn");
    // Nothing is fetched.
    build.args(["--offline", "--batch-mode", "--quiet", "package"]);
    build.arg(format!("-Dmaven.repo.local={}", packages.display()));
    let built = build.current_dir(into).output().unwrap();
    let said = String::from_utf8_lossy(&built.stdout);
    assert!(built.status.success(), "{said}");
    Some(program("java".into()))
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Lua as nginx and Envoy have it, with nginx's JSON, or else the calling test is left out.
#[track_caller]
pub fn lua() -> Option<Runtime> {
    let found = output(command("luajit").args(["-e", r#"require("cjson")"#])).is_some();
    let runtime = found.then(|| Runtime {
        program: "luajit".into(),
        folder: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/lua"),
        text_follows: &["-e"],
    });
    or_left_out(runtime, "LuaJIT", REMEDY)
}

/// A program that needs no runtime.
pub fn program(program: PathBuf) -> Runtime {
    Runtime {
        program,
        folder: "/",
        text_follows: &[],
    }
}

/// A shell that has curl, or else the calling test is left out.
#[track_caller]
pub fn shell_with_curl() -> Option<Runtime> {
    let found = output(command("curl").arg("--version")).is_some();
    let runtime = found.then(|| Runtime {
        program: "sh".into(),
        folder: env!("CARGO_MANIFEST_DIR"),
        text_follows: &["-c"],
    });
    or_left_out(runtime, "curl", "install curl")
}

const REMEDY: &str = "run .ci/run once";

/// A program that serves until this is dropped.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Runtime {
    /// Runs a driver and reads the JSON that it prints.
    pub async fn run(&self, driver: &str, inputs: &[(&str, &str)]) -> Value {
        let printed = self.finish(&[driver], inputs).await;
        serde_json::from_str(&printed).unwrap_or_else(|why| panic!("{why}: {printed}"))
    }

    /// Runs text in the runtime's language and gives what it prints.
    pub async fn run_text(&self, text: &str, inputs: &[(&str, &str)]) -> String {
        self.finish(&[self.text_follows, &[text]].concat(), inputs)
            .await
    }

    /// Runs a program that judges something, and gives its verdict and what it says for it.
    pub async fn judge(
        &self,
        arguments: &[&str],
        inputs: &[(&str, &str)],
        folder: &Path,
    ) -> (bool, String) {
        let output = self.output(arguments, inputs, folder).await;
        let report = [output.stdout, output.stderr].concat();
        let report = String::from_utf8_lossy(&report).into_owned();
        (output.status.success(), report)
    }

    /// Starts a program that goes on by itself.
    pub fn start(&self, arguments: &[&str], inputs: &[(&str, &str)], folder: &Path) -> Running {
        let mut command = command(&self.program);
        command.args(arguments).envs(inputs.iter().copied());
        command.current_dir(folder).stdout(Stdio::null());
        Running(command.spawn().unwrap())
    }

    async fn finish(&self, arguments: &[&str], inputs: &[(&str, &str)]) -> String {
        let folder = Path::new(self.folder);
        let output = self.output(arguments, inputs, folder).await;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "it failed: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Inputs go by the environment, never by arguments: every user of a machine can read those.
    async fn output(&self, arguments: &[&str], inputs: &[(&str, &str)], folder: &Path) -> Output {
        let mut command = command(&self.program);
        command
            .args(arguments)
            .envs(inputs.iter().copied())
            .current_dir(folder);
        let output = tokio::task::spawn_blocking(move || command.output());
        output.await.unwrap().unwrap()
    }
}

fn is_recent_node(program: &Path) -> bool {
    let version = output(command(program).arg("--version"));
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    version
        .as_deref()
        .and_then(|version| version.strip_prefix('v')?.split('.').next()?.parse().ok())
        .is_some_and(|major: u32| major >= 20)
}

fn output(command: &mut Command) -> Option<Output> {
    command
        .output()
        .ok()
        .filter(|output| output.status.success())
}

/// A program that sees nothing of this process's environment but the way to other programs: a
/// proxy or a switch set there would make another client of it.
#[expect(
    clippy::disallowed_methods,
    reason = "a test process holds no root key"
)]
fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    // Drivers lie in the source tree; Python would leave compiled ones beside them.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// The programs of the environment that `.ci/run` makes in the target directory.
fn venv() -> PathBuf {
    beside_venv("venv/bin")
}

/// What `.ci/run` puts into the target directory for the tests of this binary.
pub fn beside_venv(path: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("interop").join(path)
}
