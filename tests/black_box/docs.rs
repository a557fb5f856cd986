//! The documents say what the program does: settings and the quickstart transcript.

use std::fs;
use std::path::Path;

use crate::support::process::Process;
use crate::support::server::Place;
use crate::support::shown::without_ids;

/// `docs/configuration.md` has one row for each setting, in the words of `--help`.
#[test]
fn every_setting_is_documented_as_help_has_it() {
    let command = tenmint::cli::command();
    let serve = command.find_subcommand("serve").expect("there is serve");
    let rows: Vec<String> = serve
        .get_arguments()
        .filter(|argument| argument.get_env().is_some())
        .map(|argument| {
            let name = argument.get_long().unwrap();
            let variable = argument.get_env().unwrap().to_str().unwrap();
            let help = argument.get_help().unwrap().to_string();
            let default = argument.get_default_values().first();
            let default = default.map_or(String::new(), |text| {
                format!("`{}`", text.to_str().unwrap())
            });
            let values: Vec<_> = argument.get_possible_values();
            let values = if argument.get_action().takes_values() && !values.is_empty() {
                let names: Vec<_> = values
                    .iter()
                    .map(clap::builder::PossibleValue::get_name)
                    .collect();
                format!(" ({})", names.join(", "))
            } else {
                String::new()
            };
            format!("| `--{name}` | `{variable}` | {default} | {help}{values} |")
        })
        .collect();
    assert!(rows.len() > 15);
    let document = read("docs/configuration.md");
    let missing: Vec<_> = rows.iter().filter(|row| !document.contains(*row)).collect();
    assert!(
        missing.is_empty(),
        "docs/configuration.md lacks:\n{missing:#?}"
    );
    let documented = document
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .count();
    assert_eq!(
        documented,
        rows.len(),
        "it has rows of settings that are gone"
    );
}

/// `docs/cli.md` names each command and its verbs.
#[test]
fn every_command_is_documented() {
    let document = read("docs/cli.md");
    for command in tenmint::cli::command().get_subcommands() {
        let name = format!("`tenmint {}`", command.get_name());
        let line = document.lines().find(|line| line.contains(&name));
        let line = line.unwrap_or_else(|| panic!("docs/cli.md lacks {name}"));
        for verb in command.get_subcommands().map(clap::Command::get_name) {
            let verb = format!("`{verb}`");
            assert!(line.contains(&verb), "docs/cli.md: {name} lacks {verb}");
        }
    }
}

/// The transcript in the README is what the program prints, but for ids, secrets, the port and
/// the place of the program.
#[tokio::test(flavor = "multi_thread")]
async fn the_readme_shows_what_quickstart_prints() {
    let place = Place::sqlite();
    let process = Process::serve(&place, &["quickstart"], &[]);
    while !process.out().contains("Ctrl-C") {
        tokio::task::yield_now().await;
    }
    let readme = read("README.md");
    let shown = readme
        .split("<!-- transcript -->\n```text\n")
        .nth(1)
        .unwrap();
    let shown = shown.split("```").next().unwrap();
    let printed = process
        .out()
        .replace(&process.base, "http://127.0.0.1:8080")
        .replace(env!("CARGO_BIN_EXE_tenmint"), "./target/release/tenmint")
        .replace("./target/debug/tenmint", "./target/release/tenmint")
        .replace(&place.database_url(), "sqlite:data/tenmint.db")
        .replace(place.root_key_file().to_str().unwrap(), "keys/root.key");
    assert_eq!(without_ids(&printed), without_ids(shown));
    assert!(process.stop());
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}
