//! What a restore says of root keys: which is current again, which may be later, which is missing.

use std::io::{self, Write};

use serde::Serialize;

use super::report::Report;
use crate::app::StartError;
use crate::cli::Failure;
use crate::cli::exit::{Exit, Failed};
use crate::manage::Management;
use crate::manage::restore::{MissingRootKey, UnknownRootKeys, unknown_root_keys};
use crate::store::error::StoreError;

/// Root keys that the database does not know, of which one may have taken the place of its current
/// one after the backup, as because that leaked. What it did was not done again.
#[derive(PartialEq, Eq, Debug, Serialize)]
pub(super) struct Later {
    /// The one that is current now.
    current: String,
    /// Those that are held, in the order in which they are given.
    held: Vec<String>,
    /// The one that was current in what was served here last, if it is unknown.
    served: Option<String>,
    /// The last that became current as the operator's log tells, if it is unknown.
    told: Option<String>,
    /// The one to go over to: the first that there is of these, or the last of those held.
    go_over_to: String,
}

impl Later {
    /// Holds what is held, what the operator's log `told` of, and what was `served`, against what the
    /// database knows by now.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub(super) async fn find(
        management: &Management,
        told: &[String],
        served: Option<String>,
    ) -> Result<Option<Self>, StoreError> {
        let Some(unknown) = unknown_root_keys(management, &[]).await? else {
            return Ok(None);
        };
        let (told, served) = (unknown.last_of(told), unknown.last_of(served.as_slice()));
        let UnknownRootKeys { current, held, .. } = unknown;
        let go_over_to = served.as_ref().or(told.as_ref()).or(held.last()).cloned();
        Ok(go_over_to.map(|go_over_to| Self {
            current,
            held,
            served,
            told,
            go_over_to,
        }))
    }

    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let Self {
            current,
            held,
            served,
            told,
            go_over_to,
        } = self;
        writeln!(
            out,
            "ATTENTION: root key {current} is current now, also if another took its place after what \
             is told here, as because it leaked"
        )?;
        if !held.is_empty() {
            let held = held.join(", ");
            writeln!(out, "held besides, and unknown to this database: {held}")?;
        }
        let lacking = !held.contains(go_over_to);
        match (served, told) {
            (Some(served), _) => writeln!(
                out,
                "root key {served} was current in the database that was served here last"
            )?,
            (None, Some(told)) => writeln!(
                out,
                "root key {told} became current after the backup, as the operator's log tells"
            )?,
            (None, None) if held.len() > 1 => writeln!(
                out,
                "of these the last in ROOT_KEY_FILE, {go_over_to}, is the latest, unless it was \
                 written there by hand"
            )?,
            (None, None) => {}
        }
        if lacking {
            writeln!(
                out,
                "it is not held: put it beside the others in ROOT_KEY_FILE first"
            )?;
        }
        writeln!(
            out,
            "go over to it before a server starts: `tenmint root-key rotate --to {go_over_to}`. A root \
             key that was added and never current needs none of this"
        )
    }
}

/// Tells of all root keys that somebody has to look after.
pub(super) fn show(out: &mut impl Write, report: &Report) -> io::Result<()> {
    if let Some(root_key) = &report.root_key {
        writeln!(
            out,
            "root key {root_key} is current again: keep the one of the backup until `tenmint root-key \
             status` says that nothing needs it"
        )?;
    }
    for (root_key, ended) in &report.ended_with {
        writeln!(
            out,
            "root key {root_key} was given up after the backup, and {ended} API keys ended with it. \
             Which, no log tells: what `tenmint root-key status` names as needing it and is not \
             disabled is in force again. Disable what should not be, or end all of it by `tenmint \
             root-key drop {root_key} --force`, before a server starts"
        )?;
    }
    for missing in &report.missing_root_keys {
        let MissingRootKey {
            id,
            superseded_at,
            organizations,
            signing_keys,
            api_keys,
        } = missing;
        writeln!(
            out,
            "root key {id}, current until {superseded_at}, is not held, and {api_keys} API keys, \
             {signing_keys} signing keys and {organizations} organizations need it: no server starts. \
             Put it beside the others in ROOT_KEY_FILE; `tenmint root-key drop {id} --force` ends \
             what needs it"
        )?;
    }
    match &report.unknown_root_keys {
        Some(unknown) => unknown.show(out),
        None => Ok(()),
    }
}

/// Says of what is to be restored, and does not open, which root key is missing where. Any other
/// reason is told as it is.
pub(super) fn lacking(why: StartError, what: &str) -> Failure {
    let (root_key, put) = match why {
        StartError::RootKeyWrong {
            expected,
            place,
            given,
        } => {
            let put = format!("{place} holds {given} alone: put it there too, one a line");
            (expected, put)
        }
        StartError::RootKeyMissing { expected, path } => {
            let put = format!("there is no {}: put it there", path.display());
            (expected, put)
        }
        other => return other.into(),
    };
    let text = format!(
        "{what} opens with root key {root_key}, which was current when it was taken, and {put}, from \
         where root keys are kept, also if another took its place since. With any other it is of no \
         use"
    );
    Failed::new(Exit::Refused, text).into()
}
