//! Report of the synthesis: numbers of captions at each step.

use super::{Answers, Caption, Item, KeepRule, Letter, Questions, SplitShares, Verdict, View, items};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Counts at each step, taken from the journals: equal for an interrupted and resumed run and an
/// uninterrupted one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Number of captions read.
    pub captions: usize,
    /// Number of images that the captions describe.
    pub images: usize,
    /// Number of captions whose split is stated.
    pub with_split: usize,
    /// Number of captions that have a question.
    pub questions: usize,
    /// Number of captions whose replies were all rejected so far.
    pub without_question: usize,
    /// Number of captions without a reply yet.
    pub no_reply: usize,
    /// Rejected replies by reason, those before a good one included.
    pub rejected_replies: BTreeMap<String, usize>,
    /// Number of questions left out as duplicates.
    pub duplicates: usize,
    /// Counts of the right letters among the questions, from A to D.
    pub right_letters: [usize; 4],
    /// Answer counts of each model from each view.
    pub runs: Vec<RunCounts>,
    /// Number of questions by verdict.
    pub verdicts: BTreeMap<Verdict, usize>,
    /// Share of questions that guessing models would let pass as wrong from the image.
    pub guess_share: f64,
    /// Number of kept problems by split.
    pub splits: BTreeMap<String, usize>,
    /// Counts of the right letters among the kept questions, from A to D.
    pub kept_letters: [usize; 4],
}

/// Answer counts of one model from one view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunCounts {
    /// Name of the model.
    pub model: String,
    /// View that the model answered from.
    pub view: View,
    /// Number of questions with enough answers.
    pub answered: usize,
    /// Number of questions with too few answers, or none.
    pub missing: usize,
    /// Number of answers that count.
    pub attempts: usize,
    /// Number of right answers.
    pub right: usize,
    /// Number of wrong answers.
    pub wrong: usize,
    /// Number of answers that name no option.
    pub unread: usize,
}

impl Report {
    /// Counts, and returns the kept questions as well; `runs` are the models' names, views and
    /// answers.
    pub fn new<'a>(
        captions: &'a [Caption],
        questions: &'a Questions,
        runs: &[(&str, View, &Answers)],
        rule: KeepRule,
        shares: SplitShares,
    ) -> (Self, Vec<Item<'a>>) {
        let (items, duplicates) = items(captions, questions);
        let names: BTreeSet<&str> = captions.iter().map(|caption| caption.name.as_str()).collect();
        let (mut rejected_replies, mut without_question, mut no_reply) = (BTreeMap::<String, usize>::new(), 0, 0);
        for caption in captions {
            let rejected = questions.rejected(caption);
            for kind in rejected {
                *rejected_replies.entry(kind.clone()).or_default() += 1;
            }
            let open = questions.mcq(caption).is_none();
            without_question += usize::from(open && !rejected.is_empty());
            no_reply += usize::from(open && rejected.is_empty());
        }
        let mut verdicts = BTreeMap::from(Verdict::ALL.map(|verdict| (verdict, 0)));
        let mut kept = Vec::new();
        for item in &items {
            let of = |wanted| {
                let wanted = move |run: &&(&str, View, &'_ Answers)| run.1 == wanted;
                runs.iter().filter(wanted).map(|(.., answers)| answers.given(item.id)).collect::<Vec<_>>()
            };
            let verdict = rule.verdict(item.mcq.answer, &of(View::Image), &of(View::Caption));
            *verdicts.entry(verdict).or_default() += 1;
            if verdict == Verdict::Kept {
                kept.push(item.clone());
            }
        }
        let mut splits = BTreeMap::from(crate::Split::ALL.map(|split| (split.as_str().to_owned(), 0)));
        for item in &kept {
            *splits.entry(shares.split(item.caption).as_str().to_owned()).or_default() += 1;
        }
        let report = Self {
            captions: captions.len(),
            images: names.len(),
            with_split: captions.iter().filter(|caption| caption.split.is_some()).count(),
            questions: captions.len() - without_question - no_reply,
            without_question,
            no_reply,
            rejected_replies,
            duplicates,
            right_letters: letters(&items),
            runs: runs.iter().map(|run| RunCounts::new(run, &items, rule)).collect(),
            verdicts,
            guess_share: rule.guess_share(runs.iter().filter(|run| run.1 == View::Image).count()),
            splits,
            kept_letters: letters(&kept),
        };
        (report, kept)
    }

    /// Number of kept problems.
    pub fn kept(&self) -> usize {
        self.verdicts.get(&Verdict::Kept).copied().unwrap_or(0)
    }

    /// Formats the report as Markdown.
    pub fn to_markdown(&self) -> String {
        let Self { captions, images, with_split, questions, without_question, no_reply, duplicates, .. } = self;
        let letters = |counts: &[usize; 4]| {
            let shown = Letter::ALL.iter().zip(counts).map(|(letter, n)| format!("{letter} {n}"));
            shown.collect::<Vec<_>>().join(", ")
        };
        let mut text = format!(
            "# Perception problems\n\n\
             | hop | | n |\n|---|---|---:|\n\
             | captions | read | {captions} |\n\
             | | pictures | {images} |\n\
             | | with a part of the data set | {with_split} |\n\
             | questions | made | {questions} |\n\
             | | every reply rejected | {without_question} |\n\
             | | no reply yet | {no_reply} |\n"
        );
        for (kind, n) in &self.rejected_replies {
            text += &format!("| | replies rejected: {kind} | {n} |\n");
        }
        text += &format!("| | the same again | {duplicates} |\n");
        let mut hop = " kept ";
        for (verdict, n) in &self.verdicts {
            text += &format!("|{hop}| {} | {n} |\n", verdict.as_str());
            hop = " ";
        }
        for (split, n) in &self.splits {
            text += &format!("| | kept, {split} | {n} |\n");
        }
        text += "\n| model | answers from | questions answered | missing | answers | right | wrong | name no option |\n\
                 |---|---|---:|---:|---:|---:|---:|---:|\n";
        for RunCounts { model, view, answered, missing, attempts, right, wrong, unread } in &self.runs {
            let view = view.as_str();
            text +=
                &format!("| {model} | {view} | {answered} | {missing} | {attempts} | {right} | {wrong} | {unread} |\n");
        }
        text += &format!("\nRight letters of the questions: {}.\n", letters(&self.right_letters));
        text += &format!("Right letters of those kept: {}.\n", letters(&self.kept_letters));
        let share = 100.0 * self.guess_share;
        text + &format!("Of questions that models only guess at from the picture, {share:.1} % would pass as wrong.\n")
    }
}

impl RunCounts {
    fn new(&(model, view, answers): &(&str, View, &Answers), items: &[Item<'_>], rule: KeepRule) -> Self {
        let n = match view {
            View::Image => rule.image_attempts,
            View::Caption => rule.caption_attempts,
        };
        let mut counts =
            Self { model: model.to_owned(), view, answered: 0, missing: 0, attempts: 0, right: 0, wrong: 0, unread: 0 };
        for item in items {
            let given = answers.given(item.id);
            let is_answered = given.len() >= n;
            counts.answered += usize::from(is_answered);
            counts.missing += usize::from(!is_answered);
            for letter in given.iter().take(n) {
                counts.attempts += 1;
                match letter {
                    None => counts.unread += 1,
                    Some(letter) if *letter == item.mcq.answer => counts.right += 1,
                    Some(_) => counts.wrong += 1,
                }
            }
        }
        counts
    }
}

/// Counts how often each letter is right.
fn letters(items: &[Item<'_>]) -> [usize; 4] {
    let mut counts = [0; 4];
    for item in items {
        counts[item.mcq.answer as usize] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Split;
    use crate::perception::Answer;
    use seethink_core::ProblemId;
    use serde_json::Map;

    /// Report on four captions: kept, answered from the picture, without a question, not asked.
    fn report(folder: &std::path::Path) -> (Report, Vec<String>) {
        let caption = |i: u64| Caption {
            key: ProblemId(i),
            id: i.to_string(),
            name: format!("{}.png", i % 3),
            image: "none".into(),
            text: "A cup.".into(),
            split: (i == 0).then_some(Split::Test),
            source: String::new(),
        };
        let captions: Vec<Caption> = (0..4).map(caption).collect();
        let mut questions = Questions::open(&folder.join("questions.jsonl"), &Map::new(), 1).unwrap();
        let reply = r#"{"question": "Which?", "options": {"A": "1", "B": "2", "C": "3", "D": "4"}, "answer": "A"}"#;
        questions.push(vec![(&captions[0], "?".into()), (&captions[2], "?".into())]).unwrap();
        questions.push(vec![(&captions[0], reply.into()), (&captions[1], reply.into())]).unwrap();
        let open = |name: &str| Answers::open(&folder.join(name), &Map::new()).unwrap();
        let (mut from_image, mut from_caption) = (open("image.jsonl"), open("caption.jsonl"));
        let answer = |letter| Answer { raw: String::new(), letter: Some(letter) };
        for (i, item) in items(&captions, &questions).0.iter().enumerate() {
            let right = item.mcq.answer;
            let wrong = Letter::ALL[(right as usize + 1) % 4];
            let second = if i == 0 { wrong } else { right };
            from_image.push(vec![(item.id, vec![answer(wrong), answer(second), answer(right)])]).unwrap();
            from_caption.push(vec![(item.id, vec![answer(right)])]).unwrap();
        }
        let rule = KeepRule { image_attempts: 2, caption_attempts: 1 };
        let runs = [("m", View::Image, &from_image), ("m", View::Caption, &from_caption)];
        let shares = SplitShares { validation: 0.0, test: 0.0 };
        let (report, kept) = Report::new(&captions, &questions, &runs, rule, shares);
        (report, kept.iter().map(|item| item.caption.id.clone()).collect())
    }

    #[test]
    fn every_caption_and_every_answer_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let (report, kept) = report(folder.path());
        assert_eq!(kept, ["0"]);
        assert_eq!((report.captions, report.images, report.with_split), (4, 3, 1));
        assert_eq!((report.questions, report.without_question, report.no_reply), (2, 1, 1));
        assert_eq!(report.rejected_replies, BTreeMap::from([("no JSON".to_owned(), 2)]));
        assert_eq!(report.verdicts.values().sum::<usize>() + report.duplicates, report.questions);
        assert_eq!((report.kept(), report.verdicts[&Verdict::ImageRight]), (1, 1));
        assert_eq!(report.splits["test"], 1);
        let image = &report.runs[0];
        assert_eq!((image.answered, image.missing, image.attempts), (2, 0, 4), "the third attempt does not count");
        assert_eq!((image.right, image.wrong, image.unread), (1, 3, 0));
        assert_eq!(report.guess_share, 0.5625);
        assert_eq!(report.right_letters.iter().sum::<usize>(), 2);
        assert_eq!(report.kept_letters.iter().sum::<usize>(), 1);
    }

    #[test]
    fn defect_25_the_report_for_people_has_the_counts_of_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let (report, _) = report(folder.path());
        let text = report.to_markdown();
        for line in [
            "| captions | read | 4 |",
            "| questions | made | 2 |",
            "| | replies rejected: no JSON | 2 |",
            "| kept | kept | 1 |",
            "| | answered from the picture | 1 |",
            "| | kept, test | 1 |",
            "| m | image | 2 | 0 | 4 | 1 | 3 | 0 |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }
}
