//! What a restore asks: how to go on where something is not known.

use std::fmt::Write;

use super::plan::Plan;
use crate::cli::exit::{Exit, Failed};
use crate::cli::output::visible;

/// Requires that somebody chose, where something is not known; and explains between what.
///
/// # Errors
/// What is not known, and what there is to choose between.
pub(super) fn require(plan: &Plan) -> Result<(), Failed> {
    let (missing, another_history) = (plan.known.missing, plan.known.another_history);
    let all_logged = missing == 0 && !another_history;
    let all_known = plan.untold.is_empty() && all_logged && plan.needing == 0;
    if plan.unknown.is_some() || all_known {
        return Ok(());
    }
    let mut text = String::from(
        "keys that were revoked, switched off or narrowed after the backup would be as they \
         were before, and nobody would notice. Nothing was changed.\n",
    );
    for (organization, why) in plan.untold.iter().take(20) {
        let _ = writeln!(text, "  {organization}: {why}");
    }
    if plan.untold.len() > 20 {
        let more = plan.untold.len() - 20;
        let _ = writeln!(text, "  and {more} more organizations");
    }
    for export in &plan.empty_exports {
        let _ = writeln!(text, "  {} is empty, and tells of nothing", visible(export));
    }
    if missing > 0 {
        let _ = writeln!(
            text,
            "  {missing} acts were done after the backup of which no log tells"
        );
    }
    if another_history {
        let _ = writeln!(
            text,
            "  the database that was served here before had another history (a fork): what was done \
             there, neither this one nor a log that was given tells of"
        );
    }
    if plan.needing > 0 {
        for (root_key, ended) in &plan.known.ended_with {
            let _ = writeln!(
                text,
                "  root key {root_key} was given up after the backup, and {ended} API keys that \
                 needed it ended with it: no log tells which"
            );
        }
        let needing = plan.needing;
        let _ = writeln!(
            text,
            "  {needing} API keys of the backup need such a root key, and would be in force"
        );
    }
    text.push_str(
        "Say how to go on:\n  \
         --audit-export FILE    what `tenmint audit export` wrote as operator, one for each\n  \
         \x20                      organization: what it tells of is done again\n  \
         --audit-database FILE  another copy of the database, damaged or not: likewise\n  \
         --quarantine           every key of these organizations, and every key that needs\n  \
         \x20                      such a root key, is switched off, until somebody has looked\n  \
         \x20                      at it and switches it on\n  \
         --accept-resurrected   they are taken as they are in the backup",
    );
    Err(Failed::new(Exit::Conflict, text))
}
