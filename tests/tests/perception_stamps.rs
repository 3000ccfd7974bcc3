//! The scripted pipeline over pictures with captions: generated ones, and the real stamps where
//! `SEETHINK_STAMPS` names their folder.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use seethink::data::Split;
use seethink::data::perception::{KeepRule, Report, Verdict};
use seethink::run::config::DataConfig;
use seethink_tests::stamps::Job;
use std::fs;
use std::path::Path;

fn job(stamps: &Path, out: &Path) -> Job {
    let rule = KeepRule { image_attempts: 4, caption_attempts: 2 };
    Job { stamps: stamps.to_owned(), out: out.to_owned(), limit: None, rule, seed: 0 }
}

/// Checks every run: nothing is lost between hops, and the problems that are kept can be trained
/// on.
fn check(report: &Report, out: &Path) {
    assert_eq!(report.captions, report.questions + report.without_question);
    assert_eq!(report.verdicts.values().sum::<usize>(), report.questions - report.duplicates);
    for run in &report.runs {
        assert_eq!((run.missing, run.right + run.wrong + run.unread), (0, run.attempts));
    }
    let data = DataConfig::folder(out.join("problems"));
    let n: usize = Split::ALL.iter().map(|&split| data.problems(split, None).unwrap().len()).sum();
    assert_eq!(n, report.kept());
}

#[test]
fn generated_stamps_go_through_every_hop() {
    let folder = tempfile::tempdir().unwrap();
    let stamps = folder.path().join("stamps");
    let colours = [("red", [200, 40, 40]), ("green", [60, 150, 60]), ("blue", [50, 80, 190])];
    for i in 0..24 {
        let dir = stamps.join(["things", "more/things"][i % 2]);
        fs::create_dir_all(&dir).unwrap();
        // The captions of the second dozen name another colour than the picture has.
        let ((_, rgb), (word, _)) = (colours[i % 3], colours[(i + i / 12) % 3]);
        image::RgbImage::from_pixel(8, 8, image::Rgb(rgb)).save(dir.join(format!("{i}.png"))).unwrap();
        fs::write(dir.join(format!("{i}.txt")), format!("A {word} ball.\nes.utf8=Una bola.\n")).unwrap();
    }
    image::RgbImage::new(8, 8).save(stamps.join("without-caption.png")).unwrap();
    let out = folder.path().join("out");
    let report = job(&stamps, &out).run().unwrap();
    assert_eq!(report.captions, 24);
    check(&report, &out);
    // `scripted-eyes` sees the colour, so it is wrong where the caption names another.
    let data = DataConfig::folder(out.join("problems"));
    for split in Split::ALL {
        for problem in data.problems(split, None).unwrap() {
            let number = Path::new(&problem.tags["caption_id"]).file_stem().unwrap().to_str().unwrap().parse::<usize>();
            assert!(number.unwrap() >= 12, "{problem:?}");
        }
    }
    assert!(report.verdicts[&Verdict::ImageRight] >= 8, "{report:?}");
    assert_eq!(job(&stamps, &out).run().unwrap(), report, "there is nothing left to do");
    let message = job(&folder.path().join("none"), &out).run().unwrap_err().to_string();
    assert!(message.contains("cannot read") && message.contains("none"), "{message}");
}

#[test]
fn real_stamps_go_through_every_hop() {
    let Some(stamps) = std::env::var_os("SEETHINK_STAMPS") else {
        eprintln!("skipped: SEETHINK_STAMPS does not name the folder of Tux Paint's stamps (docs/perception-data.md)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let report = job(Path::new(&stamps), folder.path()).run().unwrap();
    assert!(report.captions > 700, "{}", report.captions);
    check(&report, folder.path());
    assert!(report.kept() > 0 && !report.rejected_replies.is_empty());
    // A fair draw of letters, four standard deviations.
    let n = report.right_letters.iter().sum::<usize>() as f64;
    let off = report.right_letters.iter().map(|&count| (count as f64 - n / 4.0).abs()).fold(0.0, f64::max);
    assert!(off < 4.0 * (n * 3.0 / 16.0).sqrt(), "{:?}", report.right_letters);
}
