//! Perception problems from the stamps of Tux Paint: real pictures with captions that people wrote,
//! and a script instead of models.
//!
//! The problems are not meant for training: the script knows a few colours and guesses the rest.
//! They show that every hop runs over real files, and the counts of each hop.

mod script;
mod server;

pub use script::{SCRIPTED, reply};
pub use server::ScriptedServer;

use anyhow::{Context, Result, ensure};
use seethink::data::perception::{CaptionKeys, KeepRule, Report, SplitShares, View, read_captions};
use seethink::eval::Remote;
use seethink::eval::perception::{Perception, PerceptionOptions};
use seethink::eval::{Endpoint, EndpointOptions};
use seethink::files;
use seethink::models::ImageLimits;
use seethink::rollout::{PromptFormat, Sampling};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Settings of a run over the stamps.
#[derive(Debug, Clone)]
pub struct Job {
    /// Folder of stamps.
    pub stamps: PathBuf,
    /// Folder of journals, report and problems.
    pub out: PathBuf,
    /// Maximum number of captions.
    pub limit: Option<usize>,
    /// Rule by which problems are kept, for each model.
    pub rule: KeepRule,
    /// Seed of all random draws.
    pub seed: u64,
}

impl Job {
    /// Writes `captions.jsonl`, and lets the script write questions and answer them.
    ///
    /// # Errors
    /// If there are no stamps, or files cannot be read or written.
    pub fn run(&self) -> Result<Report> {
        fs::create_dir_all(&self.out).with_context(|| format!("cannot create {}", self.out.display()))?;
        let path = self.out.join("captions.jsonl");
        let n = write_captions(&self.stamps, &path)?;
        ensure!(n > 0, "{} has no PNG with a caption in a .txt of the same name beside it", self.stamps.display());
        let captions = read_captions(&path, &CaptionKeys::default(), Some(&self.stamps), false, self.limit)?;
        let server = ScriptedServer::start().context("cannot listen on loopback")?;
        let sampling = Sampling::plain(256);
        let origin = |model: &str| -> Map<String, Value> {
            let settings = [("model", json!(model)), ("sampling", json!(sampling)), ("seed", json!(self.seed))];
            settings.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
        };
        let options = PerceptionOptions {
            seed: self.seed,
            tries: 2,
            rule: self.rule,
            shares: SplitShares { validation: 0.05, test: 0.1 },
            writer: origin("scripted-writer"),
            models: SCRIPTED.map(|model| (model.to_owned(), origin(model))).to_vec(),
        };
        let endpoint = |model: &str| {
            Endpoint::new(EndpointOptions {
                url: server.url().to_owned(),
                model: model.to_owned(),
                key: None,
                timeout: Duration::from_secs(60),
                tries: 4,
                pause: Duration::from_millis(10),
            })
        };
        let mut perception = Perception::open(&self.out, captions, options)?;
        let bare = PromptFormat { system: None, suffix: String::new() };
        let trained = PromptFormat::default();
        let (writer, models) = (endpoint("scripted-writer"), SCRIPTED.map(endpoint));
        let images = ImageLimits::default();
        let remote = |endpoint, prompt| Remote { endpoint, prompt, images, sampling, seed: self.seed, parallel: 4 };
        perception.write_questions(&remote(&writer, &bare), &mut |_, _| true)?;
        for (index, endpoint) in models.iter().enumerate() {
            for view in View::ALL {
                perception.answer(index, view, &remote(endpoint, &trained), &mut |_, _| true)?;
            }
        }
        Ok(perception.report(true)?)
    }
}

/// Writes a caption for every PNG under `stamps` that has a text beside it: the first line of the
/// text, which is the English one. Returns the number of captions.
fn write_captions(stamps: &Path, path: &Path) -> Result<usize> {
    let mut pictures = Vec::new();
    find_pictures(stamps, &mut pictures)?;
    pictures.sort();
    let (mut lines, mut n) = (String::new(), 0);
    for picture in pictures {
        let text = picture.with_extension("txt");
        if !text.is_file() {
            continue;
        }
        let bytes = fs::read(&text).with_context(|| format!("cannot read {}", text.display()))?;
        let text = String::from_utf8_lossy(&bytes);
        let caption = text.lines().next().unwrap_or_default().trim();
        if caption.is_empty() {
            continue;
        }
        let name = picture.strip_prefix(stamps)?.to_string_lossy().into_owned();
        lines += &json!({ "image": name, "caption": caption, "id": name, "source": "tuxpaint-stamps" }).to_string();
        lines.push('\n');
        n += 1;
    }
    files::write(path, lines.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(n)
}

fn find_pictures(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            find_pictures(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "png") {
            found.push(path);
        }
    }
    Ok(())
}
