//! Evaluation of a run between its stages, and samples of answers for the report.

use crate::report::{Outcomes, Sample, StepFile};
use seethink_core::ImageSource;
use seethink_data::{ImageLoader, digest, png_base64};
use seethink_eval::{Answer, Benchmark, Evaluator, capabilities, metrics};
use seethink_models::VisionLanguageModel;
use seethink_train::{Interrupter, Metrics, Moment, Validate};
use std::error::Error;

/// Stage name of the model that a run starts from.
const BASE: &str = "base";

/// Evaluation of a run: the test benchmark before training and after every stage, a smaller
/// validation benchmark in between.
pub(crate) struct StageEvaluation {
    /// Evaluator that answers and scores the problems.
    pub(crate) evaluator: Evaluator,
    /// Interrupter that stops a running evaluation.
    pub(crate) interrupter: Interrupter,
    /// Test benchmark, measured before training and at the end of stages.
    pub(crate) test: Benchmark,
    /// Validation benchmark, measured in between.
    pub(crate) validation: Benchmark,
    /// File of samples: some answers of each capability for the report.
    pub(crate) samples: StepFile<Sample>,
    /// Number of samples per capability.
    pub(crate) n_samples: usize,
    /// Whether validation is measured before training and at the end of stages, too.
    pub(crate) draws_curve: bool,
    /// File of the outcomes of every problem.
    pub(crate) outcomes: StepFile<Outcomes>,
}

impl<M: VisionLanguageModel> Validate<M> for StageEvaluation {
    fn validate(&mut self, model: &M, moment: Moment<'_>) -> Result<Metrics, Box<dyn Error + Send + Sync>> {
        let at_boundary = moment.end_of_stage || moment.stage.is_none();
        let go_on = &mut |_, _| !self.interrupter.should_stop();
        let mut measured = Metrics::new();
        if at_boundary {
            let answers = self.evaluator.answer(model, &self.test, go_on)?;
            for capability in capabilities(&answers) {
                let answers = answers.iter().filter(|answer| answer.problem.capability == capability);
                let samples = answers.take(self.n_samples).map(|answer| sample(answer, moment));
                self.samples.push(&samples.collect::<Result<Vec<_>, _>>()?)?;
            }
            self.outcomes.push(&outcomes("test", &answers, moment))?;
            measured.extend(metrics(&self.test, &answers));
        }
        if !at_boundary || self.draws_curve {
            let answers = self.evaluator.answer(model, &self.validation, go_on)?;
            self.outcomes.push(&outcomes("validation", &answers, moment))?;
            measured.extend(metrics(&self.validation, &answers));
        }
        Ok(measured)
    }
}

/// Outcomes of the answers to a benchmark, by capability.
fn outcomes(benchmark: &str, answers: &[Answer<'_>], moment: Moment<'_>) -> Vec<Outcomes> {
    let of = |capability| {
        let answers = answers.iter().filter(|answer| answer.problem.capability == capability);
        Outcomes {
            step: moment.step,
            stage: moment.stage.unwrap_or(BASE).to_owned(),
            benchmark: benchmark.to_owned(),
            capability: capability.to_string(),
            problems: digest(answers.clone().map(|answer| answer.problem.id.to_string())),
            outcomes: answers.map(|answer| answer.outcome().letter()).collect(),
        }
    };
    capabilities(answers).into_iter().map(of).collect()
}

fn sample(answer: &Answer<'_>, moment: Moment<'_>) -> Result<Sample, Box<dyn Error + Send + Sync>> {
    Ok(Sample {
        step: moment.step,
        stage: moment.stage.unwrap_or(BASE).to_owned(),
        capability: answer.problem.capability.to_string(),
        problem: answer.problem.id.to_string(),
        prompt: answer.problem.prompt.clone(),
        images: answer.problem.images.iter().map(png).collect::<Result<_, _>>()?,
        answer: answer.problem.answer.clone(),
        completion: answer.completion.clone(),
        accuracy: answer.accuracy,
        format: answer.format,
    })
}

/// Loads an image and encodes it as a PNG in base64.
fn png(source: &ImageSource) -> Result<String, Box<dyn Error + Send + Sync>> {
    Ok(png_base64(&ImageLoader::default().load(source)?)?)
}
