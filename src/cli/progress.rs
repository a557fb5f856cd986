//! Progress of what takes long, on standard error, where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for this many steps; nothing for one.
pub(super) fn bar(steps: usize) -> ProgressBar {
    if steps < 2 {
        return ProgressBar::hidden();
    }
    styled(
        ProgressBar::new(steps as u64),
        "{pos} of {len} {wide_bar} {eta} left",
    )
}

/// A count that grows towards nobody knows what.
pub(super) fn count(of: &'static str) -> ProgressBar {
    let bar = styled(ProgressBar::new_spinner(), "{spinner} {pos} {msg}");
    bar.with_message(of)
}

/// One step that takes a while.
pub(super) fn waiting(on: String) -> ProgressBar {
    let bar = styled(ProgressBar::new_spinner(), "{spinner} {msg} ({elapsed})");
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.with_message(on)
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
