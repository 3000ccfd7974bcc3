//! Measurement of the gates of a backbone.

use super::{ARMS, FEW, Levels, PROMPT, SEEDS, Tests, over_seeds};
use crate::base;
use crate::experiment::run::{self, Task};
use crate::experiment::{
    Arm, Gate, Gates, MERGED, PERCEPTION_ALONE, RunResult, STAGE_2, Setting, TEXTUAL_ALONE, TEXTUAL_CONTROL,
    VISUAL_ALONE, commit,
};
use anyhow::{Context, Result};
use seethink::burn::tensor::Device;
use seethink::core::{Capability, Purpose, Rng};
use seethink::data::Split;
use seethink::data::digits::DigitsWorld;
use seethink::eval::Outcome;
use seethink::eval::statistics::wilson;
use seethink::models::{AnyBackbone, VlmProcessor};
use seethink::prelude::*;
use seethink::run::config::ModelSource;
use seethink::run::report;
use seethink::train::{Decay, Interrupter, Schedule, Sft, SftData};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

/// Number of test problems of each capability.
const N_TEST: usize = 2_000;
/// Number of supervised examples of the upper bound.
const N_SUPERVISED: u64 = 120_000;

const PERCEPTION: Capability = Capability::PERCEPTION;
const TEXTUAL: Capability = Capability::TEXTUAL_REASONING;
const VISUAL: Capability = Capability::VISUAL_REASONING;

/// Measures the gates of a backbone: makes the runs that are missing below `out`, `jobs` at a time,
/// and writes the gates beside them.
///
/// # Errors
/// If a run or a measurement fails.
pub fn measure(
    setting: Setting,
    set: &[String],
    out: &Path,
    jobs: usize,
    device_name: &str,
    interrupter: &Interrupter,
) -> Result<Gates> {
    let task = |arm: &'static Arm, seed| Task { setting, arm, seed, set: set.to_vec() };
    let tasks: Vec<Task> = ARMS.into_iter().flat_map(|(arm, seeds)| seeds.map(move |seed| task(arm, seed))).collect();
    run::local(&tasks, out, jobs, device_name, interrupter)?;
    let runs = |arm| -> Result<Vec<RunResult>> {
        SEEDS.map(|seed| task(arm, seed).result(out)?.context("the run was stopped")).collect()
    };
    let device = device(device_name)?;
    let world = DigitsWorld::new(super::world()?)?;

    let mut bases = Vec::new();
    for seed in 1..=base::n_bases(setting.backbone) {
        let (processor, model) = unpacked(setting, seed, &device)?;
        let tests = Tests::new(&world, Split::Test, N_TEST, &*processor)?;
        bases.push(tests.levels(&model, processor)?);
    }
    let (merged, perception) = (runs(&MERGED)?, runs(&PERCEPTION_ALONE)?);
    let (textual, visual) = (runs(&TEXTUAL_ALONE)?, runs(&VISUAL_ALONE)?);
    type Read = fn(&Tests, &AnyBackbone, Arc<VlmProcessor>) -> Result<f64>;
    let end = |arm, seeds: RangeInclusive<u64>, read: Read| -> Result<Vec<f64>> {
        seeds
            .map(|seed| {
                let (processor, model) = load(&task(arm, seed).folder(out).join("model"), &device)?;
                read(&Tests::new(&world, Split::Test, N_TEST, &*processor)?, &model, processor)
            })
            .collect()
    };
    let read_out = |arm, seeds| end(arm, seeds, |tests, model, processor| tests.read_out(model, processor));
    let mut gates = of_bases(&bases);
    gates.push(gate(
        "G1",
        "visual problems with their digits in words, after all steps of textual reasoning",
        over_seeds(&read_out(&STAGE_2, FEW)?),
        0.9,
        1.0,
    ));
    let [[capacity, misread], [bound, test_misread]] = supervised(setting, out, &world, &device)?;
    let percent = |value: f64| format!("{:.1}", 100.0 * value);
    let about = format!(
        "perception of new wide pictures of the training digits, after supervised training on them (of the digits {} are \
         misread; perception of test digits {}, misread {})",
        percent(misread),
        percent(bound),
        percent(test_misread),
    );
    gates.push(gate("G2", &about, (capacity, of_problems(capacity)), 0.95, 1.0));
    let rise = |run: &RunResult| accuracy(run, &PERCEPTION) - accuracy_before(run, &PERCEPTION);
    let rises: Vec<f64> = perception.iter().map(rise).collect();
    gates.push(gate("G3", "rise of perception by the perception stage alone", over_seeds(&rises), 0.15, 1.0));
    let misread = |arm| end(arm, FEW, |tests, model, processor| tests.digits_misread(model, processor));
    let spared: Vec<f64> = misread(&PERCEPTION_ALONE)?
        .into_iter()
        .zip(misread(&TEXTUAL_CONTROL)?)
        .map(|(seen, read)| 1.0 - seen / read)
        .collect();
    let of_each: Vec<String> = spared.iter().copied().map(percent).collect();
    let about = format!(
        "fewer misread digits in visual problems after the perception stage alone than after as many steps of textual \
         reasoning, relatively (by seed: {})",
        of_each.join(", ")
    );
    gates.push(gate("G3", &about, over_seeds(&spared), 1.0 / 3.0, 1.0));
    gates.extend(of_groups(&bases));
    let last_third: Vec<f64> = merged.iter().map(rise_in_last_third).collect();
    gates.push(gate(
        "G5",
        "rise of visual reasoning in the last third of merged training",
        over_seeds(&last_third),
        1e-9,
        1.0,
    ));
    let ends = merged.iter().map(|run| accuracy(run, &VISUAL));
    let below: Vec<f64> = read_out(&MERGED, SEEDS)?.into_iter().zip(ends).map(|(words, seen)| words - seen).collect();
    gates.push(gate(
        "G5",
        "visual problems with their digits in words against those from the picture, after merged training",
        over_seeds(&below),
        0.15,
        1.0,
    ));
    for (arm, stage) in [(&perception, "perception"), (&textual, "textual"), (&visual, "visual")] {
        for (capability, name) in [(PERCEPTION, "perception"), (TEXTUAL, "textual reasoning")] {
            let changes: Vec<f64> =
                arm.iter().map(|run| accuracy(run, &capability) - accuracy_before(run, &capability)).collect();
            let worst = changes.iter().copied().fold(f64::INFINITY, f64::min);
            let best = changes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let about = format!("change of {name} by the {stage} stage alone, worst of {} seeds", changes.len());
            gates.push(gate("G6", &about, (worst, (worst, best)), -0.1, 1.0));
        }
    }
    let gates = Gates {
        backbone: setting.folder(),
        commit: commit(),
        bases: bases.iter().map(Levels::to_string).collect(),
        gates,
    };
    report::write_json(&Gates::path(setting, out), &gates)?;
    Ok(gates)
}

/// Gates of the base models alone.
fn of_bases(bases: &[Levels]) -> Vec<Gate> {
    [
        of_each(bases, "levels", "perception", |base| base.accuracy[0], (0.4, 0.7)),
        of_each(bases, "levels", "textual reasoning", |base| base.accuracy[1], (0.5, 0.8)),
        of_each(bases, "G1", "visual problems with their digits in words", |base| base.read_out, (0.5, 0.8)),
        of_each(bases, "G1", "visual reasoning", |base| base.accuracy[2], (0.1, 0.35)),
        of_each(
            bases,
            "G1",
            "visual reasoning, as a share of that with the digits in words",
            |base| base.accuracy[2] / base.read_out,
            (0.0, 0.5),
        ),
    ]
    .concat()
}

/// Gates of the groups that base models sample.
fn of_groups(bases: &[Levels]) -> Vec<Gate> {
    let flat = |base: &Levels| base.no_variance.iter().sum::<f64>() / 3.0;
    let varied = "visual problems whose samples read the picture in several ways";
    [
        of_each(bases, "G4", "groups without variance", flat, (0.3, 0.7)),
        of_each(bases, "G4", varied, |base| base.reading_varies, (0.5, 1.0)),
    ]
    .concat()
}

/// Gate of every base model.
fn of_each(bases: &[Levels], id: &str, about: &str, read: fn(&Levels) -> f64, range: (f64, f64)) -> Vec<Gate> {
    let of = |(base, seed)| {
        let value = read(base);
        gate(id, &format!("{about}, base model {seed}"), (value, of_problems(value)), range.0, range.1)
    };
    bases.iter().zip(1..).map(of).collect()
}

fn gate(id: &str, about: &str, (value, interval): (f64, (f64, f64)), at_least: f64, at_most: f64) -> Gate {
    Gate { id: id.into(), about: about.into(), value, interval, at_least, at_most }
}

/// Wilson's interval of a fraction of the test problems.
fn of_problems(value: f64) -> (f64, f64) {
    wilson(value, N_TEST as u64).map_or((value, value), |one| (one.low, one.high))
}

fn unpacked(setting: Setting, seed: u64, device: &Device) -> Result<(Arc<VlmProcessor>, AnyBackbone)> {
    let folder = tempfile::tempdir()?;
    base::unpack(&ModelSource::DigitsBase { family: setting.backbone, seed }, folder.path())?;
    load(folder.path(), device)
}

fn load(folder: &Path, device: &Device) -> Result<(Arc<VlmProcessor>, AnyBackbone)> {
    Ok((Arc::new(VlmProcessor::from_pretrained(folder)?), AnyBackbone::from_pretrained(folder, device)?))
}

/// Measures perception of the first base model after supervised training on wide pictures of the
/// training digits, on new pictures of these and on test digits: the share of the questions answered
/// rightly, and that of the digits misread.
fn supervised(setting: Setting, out: &Path, world: &DigitsWorld, device: &Device) -> Result<[[f64; 2]; 2]> {
    let path = setting.folder_below(out).join("supervised.json");
    if path.exists() {
        return Ok(report::read_json(&path)?);
    }
    let (processor, model) = unpacked(setting, 1, device)?;
    let mut train: Vec<Problem> = (0..N_SUPERVISED * 4 / 5)
        .map(|index| world.problem(Split::Train, &Capability::PERCEPTION, index, 1))
        .chain((0..N_SUPERVISED / 5).map(|index| world.single(Split::Train, index, 1)))
        .collect();
    Rng::new(1, Purpose::FineTuning, &[]).shuffle(&mut train);
    let config = setting.shared()?;
    let sft = Sft {
        config: SftConfig {
            prompt: PROMPT,
            batch: 32,
            epochs: 1,
            optimizer: OptimizerConfig {
                learning_rate: 1e-3,
                schedule: Schedule { warmup: 0.05, decay: Decay::Cosine, floor: 0.01 },
                ..config.grpo.optimizer
            },
            memory: config.grpo.memory,
        },
        seed: 1,
        processor: processor.clone(),
        data: SftData { validation: train[..100].to_vec(), train },
        progress: Box::new(|_, _, _, _| ()),
    };
    let log = tempfile::tempdir()?;
    let (model, _) = sft.train(model, log.path(), Interrupter::new())?;
    let perception = |split| Tests::new(world, split, N_TEST, &*processor)?.perception(&model, processor.clone());
    let found = [perception(Split::Train)?, perception(Split::Test)?];
    report::write_json(&path, &found)?;
    Ok(found)
}

fn accuracy(run: &RunResult, capability: &Capability) -> f64 {
    run.accuracy(capability).unwrap_or(f64::NAN)
}

fn accuracy_before(run: &RunResult, capability: &Capability) -> f64 {
    run.accuracy_before(capability).unwrap_or(f64::NAN)
}

/// Rise of visual reasoning on validation over the last third of a run.
fn rise_in_last_third(run: &RunResult) -> f64 {
    let visual = |at: usize| run.curve.get(at)?.share(&VISUAL, Outcome::Right);
    let last = run.curve.len().saturating_sub(1);
    let two_thirds = run.curve.iter().rposition(|point| 3 * point.step <= 2 * run.curve[last].step).unwrap_or(0);
    visual(last).zip(visual(two_thirds)).map_or(f64::NAN, |(end, before)| end - before)
}
