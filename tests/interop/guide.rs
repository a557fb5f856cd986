//! The commands of the management guide, in its order, against a running server: each answers as
//! the guide shows.

use std::path::Path;

use serde_json::{Deserializer, Value};

use crate::readme::BASE;
use crate::runtime::{Runtime, shell_with_curl};
use crate::support::process::Process;
use crate::support::server::Place;
use crate::support::shown::{is_as_shown, without_ids};

#[tokio::test(flavor = "multi_thread")]
async fn every_command_answers_as_the_guide_shows_on_sqlite() {
    if let Some(shell) = shell_with_curl() {
        follow_the_guide(&shell, &Place::sqlite()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_answers_as_the_guide_shows_on_postgres() {
    let Some(shell) = shell_with_curl() else {
        return;
    };
    if let Some(place) = Place::postgres().await {
        follow_the_guide(&shell, &place).await;
    }
}

/// Commands, and what the guide shows of their answers, if anything.
struct Step<'a> {
    commands: &'a str,
    shown: Option<&'a str>,
}

/// Comes between the output of two steps.
const NEXT: char = '\u{1e}';

async fn follow_the_guide(shell: &Runtime, place: &Place) {
    let guide = include_str!("../../docs/management.md");
    let steps = steps(guide);
    assert!(steps.len() > 25);
    let usage = ("TENMINT_USAGE_FLUSH_INTERVAL", "1s");
    let server = Process::serve(place, &["serve"], &[usage]);

    let mut script = "set -eu; cd \"$FOLDER\"\n".to_owned();
    for step in &steps {
        script.push_str(step.commands);
        script.push_str("printf '\\036'\n");
    }
    let script = script
        .replace(BASE, &server.base)
        // Uses are written ten times as often as by default.
        .replace("sleep 11 ", "sleep 2 ");
    let program = Path::new(env!("CARGO_BIN_EXE_tenmint")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let (path, root_key) = (
        format!("{}:{path}", program.display()),
        place.root_key_file(),
    );
    let inputs = [
        ("PATH", &*path),
        ("FOLDER", place.folder().to_str().unwrap()),
        ("TENMINT_DATABASE_URL", &place.database_url()),
        ("TENMINT_ROOT_KEY_FILE", root_key.to_str().unwrap()),
    ];
    let printed = shell.run_text(&script, &inputs).await;

    let outputs: Vec<_> = printed.split_terminator(NEXT).collect();
    assert_eq!(outputs.len(), steps.len());
    let wrong: Vec<_> = steps
        .iter()
        .zip(outputs)
        .filter_map(|(step, printed)| {
            let why = step.check(printed).err()?;
            let commands = step.commands;
            Some(format!("\n{commands}{why}\nit printed:\n{printed}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
    assert!(server.stop());
}

/// All blocks of commands, each with the block of answers that comes right behind it.
fn steps(guide: &str) -> Vec<Step<'_>> {
    let blocks = guide.split("```sh\n").skip(1);
    blocks
        .map(|rest| {
            let (commands, behind) = rest.split_once("```\n").unwrap();
            let answers = ["```json\n", "```text\n"];
            let shown = answers
                .iter()
                .find_map(|opening| behind.strip_prefix(opening));
            let shown = shown.map(|rest| rest.split_once("```").unwrap().0);
            Step { commands, shown }
        })
        .collect()
}

impl Step<'_> {
    fn check(&self, printed: &str) -> Result<(), String> {
        let printed = answers(printed)?;
        let Some(shown) = self.shown else {
            let refused = printed
                .iter()
                .any(|answer| answer.get("error").or(answer.get("code")).is_some());
            return if refused {
                Err("it is refused".to_owned())
            } else {
                Ok(())
            };
        };
        let shown = answers(shown)?;
        if printed.len() != shown.len() {
            let (printed, shown) = (printed.len(), shown.len());
            return Err(format!("{printed} answers, of which {shown} are shown"));
        }
        let mut each = printed.iter().zip(&shown);
        each.try_for_each(|(printed, shown)| is_as_shown(printed, shown))
    }
}

/// JSON values, one behind the other, and lines that are none.
fn answers(text: &str) -> Result<Vec<Value>, String> {
    let mut answers = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if rest.starts_with('{') {
            let mut values = Deserializer::from_str(rest).into_iter();
            let value = values.next().expect("there is a brace");
            answers.push(value.map_err(|why| why.to_string())?);
            rest = rest[values.byte_offset()..].trim_start();
        } else {
            let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
            answers.push(without_ids(line.trim_end()).into());
            rest = behind.trim_start();
        }
    }
    Ok(answers)
}
