//! [`resolve`](super::resolve) with the environment's settings and progress on the terminal.

use super::{DownloadProgress, HubError, HubOptions, resolve};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

/// Returns the folder of a model given as a folder or as a name on the hub; downloads missing files
/// and shows a line of progress on standard error.
///
/// # Errors
/// As [`resolve`].
pub fn fetch(model: &str) -> Result<PathBuf, HubError> {
    let bar = ProgressBar::hidden();
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    let mut current = String::new();
    let folder = resolve(model, &HubOptions::from_env(), &mut |DownloadProgress { file, done, total, .. }| {
        if current != file {
            current = file.to_owned();
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            bar.set_message(current.clone());
            bar.reset();
        }
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    folder
}
