//! Multiple-choice questions as problems: prompts, and the splits of the kept questions.

use super::{Caption, Letter, Mcq, Questions};
use crate::{DataError, Split, content_id, write_problems};
use seethink_core::{Capability, ImageSource, Problem, ProblemId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Instruction to the language model that writes a question; the caption follows.
pub const INSTRUCTION: &str = r#"Below is a description of a picture.
Write one multiple-choice question that is answered by looking at the picture, and that the description settles beyond doubt.
Ask about a fine detail, such as a colour, a number, a material, a written word or a small object, or about where things are in relation to each other.
Offer four options, exactly one of which is right.
The other three must be possible in such a picture, of the same kind as the right one and about as long.
No option may refer to another, and nobody who reads the question will see the description, so mention neither it nor any caption.
Reply with JSON in this form and with nothing else:
{"question": "...", "options": {"A": "...", "B": "...", "C": "...", "D": "..."}, "answer": "A"}

Description:
"#;

/// View that a question is answered from: image or caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// The image, without the caption.
    Image,
    /// The caption, without the image.
    Caption,
}

impl View {
    /// Both views.
    pub const ALL: [Self; 2] = [Self::Image, Self::Caption];

    /// Name of the view, as in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Caption => "caption",
        }
    }
}

/// Problem that asks the writer for a question about a caption.
pub fn question_problem(caption: &Caption) -> Problem {
    problem(caption, format!("{INSTRUCTION}{}", plain(&caption.text)), Vec::new(), String::new())
}

/// Caption with its question.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    /// The caption.
    pub caption: &'a Caption,
    /// Question about the caption.
    pub mcq: &'a Mcq,
    /// Id of the question, the same for all models that answer it: a hash of the training problem.
    pub id: ProblemId,
}

impl<'a> Item<'a> {
    fn new(caption: &'a Caption, mcq: &'a Mcq) -> Self {
        let mut item = Self { caption, mcq, id: caption.key };
        item.id = item.problem(View::Image).id;
        item
    }

    /// Problem that asks the question: the view, the question, the options. From the image it is
    /// identical to the training problem; from the caption only the text before the question
    /// differs.
    pub fn problem(&self, view: View) -> Problem {
        let Mcq { question, options, answer } = self.mcq;
        let options = Letter::ALL.iter().zip(options).map(|(letter, option)| format!("{letter}. {option}\n"));
        let question =
            format!("{question}\n{}Which of the options is right? Give its letter.", options.collect::<String>());
        let (before, images) = match view {
            View::Image => (Problem::IMAGE_PLACEHOLDER.to_owned(), vec![ImageSource::Path(self.caption.image.clone())]),
            View::Caption => {
                (format!("A picture is described like this:\n{}\n", plain(&self.caption.text)), Vec::new())
            }
        };
        problem(self.caption, format!("{before}\n{question}"), images, answer.to_string())
    }
}

/// Replaces image placeholders in a text.
fn plain(text: &str) -> String {
    text.replace(Problem::IMAGE_PLACEHOLDER, "image")
}

fn problem(caption: &Caption, prompt: String, images: Vec<ImageSource>, answer: String) -> Problem {
    // Hashed by the image's name, so that moving a data set keeps its ids.
    let names: Vec<_> = images.iter().map(|_| ImageSource::Path(caption.name.clone().into())).collect();
    Problem {
        id: content_id(&prompt, &names, &answer),
        capability: Capability::PERCEPTION,
        prompt,
        images,
        answer,
        solution: None,
        pass_rate: None,
        source: caption.source.clone(),
        tags: BTreeMap::from([("caption_id".to_owned(), caption.id.clone())]),
    }
}

/// Captions that have questions, in order, without duplicates: questions about the same image in
/// the same words, options in the same order. Returns the number of duplicates as well.
pub fn items<'a>(captions: &'a [Caption], questions: &'a Questions) -> (Vec<Item<'a>>, usize) {
    let all = captions.iter().filter_map(|caption| Some(Item::new(caption, questions.mcq(caption)?)));
    let (mut seen, mut n_duplicates) = (BTreeSet::new(), 0);
    let first = |item: &Item<'_>| {
        let is_new = seen.insert(item.id);
        n_duplicates += usize::from(!is_new);
        is_new
    };
    let items = all.filter(first).collect();
    (items, n_duplicates)
}

/// Split shares of the images whose captions state no split; the rest is for training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitShares {
    /// Share of the validation split, for model selection.
    pub validation: f64,
    /// Share of the test split, for reporting.
    pub test: f64,
}

impl SplitShares {
    /// Split of a caption: its own, or one drawn by the name of its image, so that all questions
    /// about an image are in one split.
    pub fn split(&self, caption: &Caption) -> Split {
        let drawn = || {
            let hash = content_id("", &[ImageSource::Path(caption.name.clone().into())], "").0;
            // An `f64` holds 53 bits.
            let uniform = (hash >> 11) as f64 / (1u64 << 53) as f64;
            match uniform {
                u if u < self.validation => Split::Validation,
                u if u < self.validation + self.test => Split::Test,
                _ => Split::Train,
            }
        };
        caption.split.unwrap_or_else(drawn)
    }
}

/// Writes the training problems of `kept` into `dir/train`, `dir/validation` and `dir/test`, which
/// a run's configuration reads as `data: Folder(path: dir)`. The folder `dir` is replaced as a
/// whole, once the new ones are complete.
///
/// # Errors
/// If an image is missing, or the folders cannot be written.
pub fn write_splits(dir: &Path, kept: &[Item<'_>], shares: SplitShares) -> Result<(), DataError> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| DataError::Io { action, path, source }
    };
    let remove = |path: &Path| match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    };
    let partial = dir.with_added_extension("partial");
    remove(&partial)?;
    std::fs::create_dir_all(&partial).map_err(io("create", &partial))?;
    for split in Split::ALL {
        let of_split = kept.iter().filter(|item| shares.split(item.caption) == split);
        let problems: Vec<Problem> = of_split.map(|item| item.problem(View::Image)).collect();
        write_problems(partial.join(split.as_str()), &problems)?;
    }
    remove(dir)?;
    std::fs::rename(&partial, dir).map_err(io("create", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProblemReader;
    use serde_json::Map;

    fn caption(folder: &Path, name: &str, text: &str) -> Caption {
        let image = folder.join(name);
        if !image.exists() {
            image::RgbImage::from_pixel(3, 2, image::Rgb([name.len() as u8; 3])).save(&image).unwrap();
        }
        let key = content_id(text, &[ImageSource::Path(name.into())], "");
        let (id, name, text) = (key.to_string(), name.to_owned(), text.to_owned());
        Caption { key, id, name, image, text, split: None, source: "pictures".into() }
    }

    fn mcq(question: &str) -> Mcq {
        let options = ["red", "green", "blue", "white"].map(str::to_owned);
        Mcq { question: question.into(), options, answer: Letter::C }
    }

    #[test]
    fn defect_20_both_views_are_the_same_question() {
        let folder = tempfile::tempdir().unwrap();
        let caption = caption(folder.path(), "a.png", "A blue cup.");
        let mcq = mcq("What colour is the cup?");
        let item = Item::new(&caption, &mcq);
        let question = "What colour is the cup?\nA. red\nB. green\nC. blue\nD. white\nWhich of the options is right? Give its letter.";
        assert_eq!(item.problem(View::Image).prompt, format!("<image>\n{question}"));
        let from_caption = item.problem(View::Caption);
        assert_eq!(from_caption.prompt, format!("A picture is described like this:\nA blue cup.\n\n{question}"));
        assert!(from_caption.images.is_empty() && from_caption.answer == "C");
        assert_ne!(from_caption.id, item.id);
    }

    #[test]
    fn defect_28_every_placeholder_stands_for_a_picture() {
        let folder = tempfile::tempdir().unwrap();
        let caption = caption(folder.path(), "a.png", "An <image> of a blue cup.");
        let mcq = mcq("What colour is the cup?");
        let item = Item::new(&caption, &mcq);
        let problems = [question_problem(&caption), item.problem(View::Image), item.problem(View::Caption)];
        assert_eq!(problems.each_ref().map(|problem| problem.images.len()), [0, 1, 0]);
        for problem in problems {
            assert_eq!(problem.prompt.matches(Problem::IMAGE_PLACEHOLDER).count(), problem.images.len());
        }
    }

    #[test]
    fn the_same_question_about_a_picture_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let captions = [("a.png", "One."), ("a.png", "Two."), ("b.png", "One."), ("b.png", "Three.")]
            .map(|(name, text)| caption(folder.path(), name, text));
        let mut questions = Questions::open(&folder.path().join("q.jsonl"), &Map::new(), 0).unwrap();
        let reply = r#"{"question": "Which?", "options": {"A": "1", "B": "2", "C": "3", "D": "4"}, "answer": "A"}"#;
        for caption in &captions[..3] {
            questions.push(vec![(caption, reply.to_owned())]).unwrap();
        }
        let (found, n_duplicates) = items(&captions, &questions);
        let orders: BTreeSet<_> =
            captions[..3].iter().map(|one| (&one.name, &questions.mcq(one).unwrap().options)).collect();
        assert_eq!((found.len(), n_duplicates), (orders.len(), 3 - orders.len()));
        // With one order of options for all, the second caption's question is the first's.
        let (mut first, same) = (Item::new(&captions[0], &mcq("?")).id, Item::new(&captions[1], &mcq("?")).id);
        assert_eq!(first, same);
        first = Item::new(&captions[2], &mcq("?")).id;
        assert_ne!(first, same);
    }

    #[test]
    fn defect_22_pictures_are_divided_and_not_questions() {
        let folder = tempfile::tempdir().unwrap();
        let shares = SplitShares { validation: 0.2, test: 0.3 };
        let mut one = caption(folder.path(), "a.png", "");
        let mut counts = BTreeMap::<Split, usize>::new();
        for i in 0..4000 {
            one.name = format!("{i}.png");
            (one.key, one.text) = (ProblemId(i), "one text".into());
            let split = shares.split(&one);
            *counts.entry(split).or_default() += 1;
            (one.key, one.text) = (ProblemId(i + 4000), "another".into());
            assert_eq!(shares.split(&one), split);
        }
        // Four standard deviations are at most 127.
        for (split, expected) in [(Split::Validation, 800), (Split::Test, 1200), (Split::Train, 2000)] {
            assert!(counts[&split].abs_diff(expected) < 127, "{counts:?}");
        }
        one.split = Some(Split::Test);
        assert_eq!(SplitShares { validation: 1.0, test: 0.0 }.split(&one), Split::Test);
    }

    #[test]
    fn defect_16_the_trainer_reads_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let captions: Vec<Caption> = (0..20).map(|i| caption(folder.path(), &format!("{i}.png"), "A cup.")).collect();
        let mcq = mcq("What colour is the cup?");
        let kept: Vec<Item<'_>> = captions.iter().map(|caption| Item::new(caption, &mcq)).collect();
        let dir = folder.path().join("problems");
        let shares = SplitShares { validation: 0.25, test: 0.25 };
        write_splits(&dir, &kept, shares).unwrap();
        write_splits(&dir, &kept[..10], shares).unwrap();
        let mut n_problems = 0;
        for split in Split::ALL {
            for problem in ProblemReader::open(dir.join(split.as_str())).unwrap() {
                let problem = problem.unwrap();
                let item = kept[..10].iter().find(|item| item.id == problem.id).unwrap();
                let original = item.problem(View::Image);
                assert_eq!(shares.split(item.caption), split);
                assert_eq!((&problem.prompt, &problem.answer), (&original.prompt, &original.answer));
                assert_eq!((&problem.capability, &problem.source), (&Capability::PERCEPTION, &original.source));
                assert_eq!((problem.images.len(), &problem.tags), (1, &original.tags));
                n_problems += 1;
            }
        }
        assert_eq!(n_problems, 10, "what was there before is replaced");
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!names.iter().any(|name| name.to_string_lossy().contains("partial")), "{names:?}");
    }
}
