//! How many captions came how far.

use super::{Answers, Caption, Item, KeepRule, Letter, Questions, SplitShares, Verdict, View, items};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The counts of every hop, taken from the journals: a run that was stopped and went on has the same as one that was not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Captions read.
    pub captions: usize,
    /// Pictures that they are about.
    pub images: usize,
    /// Captions whose part of the data set is stated.
    pub with_split: usize,
    /// Captions that have a question.
    pub questions: usize,
    /// Captions whose every reply was rejected so far.
    pub without_question: usize,
    /// Captions that no reply came for yet.
    pub no_reply: usize,
    /// Replies that were rejected, by reason, those before a good one included.
    pub rejected_replies: BTreeMap<String, usize>,
    /// Questions that were asked about their picture already.
    pub duplicates: usize,
    /// How often each letter is right among the questions, from A to D.
    pub right_letters: [usize; 4],
    /// Each model from each view.
    pub runs: Vec<RunCounts>,
    /// What becomes of the questions.
    pub verdicts: BTreeMap<Verdict, usize>,
    /// The share of questions that models which only guess would let pass as wrong from the picture.
    pub guess_share: f64,
    /// Kept problems by part of the data set.
    pub splits: BTreeMap<String, usize>,
    /// How often each letter is right among those kept.
    pub kept_letters: [usize; 4],
}

/// The counts of one model from one view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunCounts {
    /// The model.
    pub model: String,
    /// What it answered from.
    pub view: View,
    /// Questions with as many answers as count.
    pub answered: usize,
    /// Questions with fewer, or none.
    pub missing: usize,
    /// Answers that count.
    pub attempts: usize,
    /// Of these, right ones.
    pub right: usize,
    /// Of these, wrong ones.
    pub wrong: usize,
    /// Of these, those that name no option.
    pub unread: usize,
}

impl Report {
    /// Counts, and returns what is kept; `runs` are the models' names, views and answers.
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

    /// Problems kept.
    pub fn kept(&self) -> usize {
        self.verdicts.get(&Verdict::Kept).copied().unwrap_or(0)
    }

    /// The report for people.
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

/// How often each letter is right.
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

    /// Four captions: kept, answered from the picture, without a question, not asked.
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
