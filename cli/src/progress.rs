//! Progress on standard error, where that is a terminal; elsewhere nothing is drawn.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A turning wheel with a text, for what takes an unknown time. Call `finish_and_clear` at its end.
pub fn spinner(text: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(text);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// A bar of steps under a text of any number of lines. Call `finish_and_clear` at its end.
pub fn steps() -> ProgressBar {
    let bar = ProgressBar::new(0);
    bar.set_style(style("{msg}\n{bar:30.cyan/dim} {pos} of {len} steps  {elapsed:.dim}"));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one_indicatif_knows() {
        assert!(
            ProgressStyle::with_template(
                "{msg}\n{bar:30.cyan/dim} {pos} of {len} steps  {elapsed:.dim}"
            )
            .is_ok()
        );
        assert!(steps().is_hidden() || console::user_attended_stderr());
    }
}
