//! Plan of a curriculum: shares of capability × difficulty cells over the steps of a run, as text
//! and as a figure.
//!
//! The plan of a static curriculum is exact, as it does not depend on outcomes; that of an adaptive
//! curriculum is a simulation with a [`SkilledLearner`](seethink_curriculum::SkilledLearner) or
//! another learner.

use crate::{Anchor, Drawing, GRID, INK, PALETTE, Paint, QUIET, text_width};
use seethink_curriculum::{
    Axis, Corpus, Course, CurriculumError, Partition, SimulatedLearner, SimulatedStep, Simulation,
};

/// Plan of a curriculum: groups of each cell in every step.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Names of the capability × difficulty cells.
    pub cells: Vec<String>,
    /// Stage visits in order: name of the stage, and number of steps.
    pub visits: Vec<(String, usize)>,
    /// Number of groups trained on of each cell, replayed ones included, `[step][cell]`.
    pub counts: Vec<Vec<usize>>,
}

impl Plan {
    /// Partition of a corpus into cells: capability, and difficulty in `bins`; by pass rate if no
    /// axis is given and every problem has one.
    pub fn cells(corpus: &Corpus, difficulty: Option<Axis>, bins: u32) -> Partition {
        let rated = corpus.iter().all(|entry| entry.pass_rate.is_some());
        let difficulty = difficulty.or(rated.then_some(Axis::PassRate));
        Partition { axes: [Axis::Capability].into_iter().chain(difficulty).collect(), bins: Some(bins) }
    }

    /// Simulates `course` over `corpus`.
    ///
    /// # Errors
    /// If there are no cells, or a problem lacks the key of a cell.
    pub fn simulate(
        course: &mut Course,
        corpus: &Corpus,
        cells: &Partition,
        simulation: &Simulation,
        learner: &mut impl SimulatedLearner,
    ) -> Result<Self, CurriculumError> {
        let cells = cells.of(corpus)?;
        let steps = simulation.run(course, corpus, learner);
        let counts = |step: &SimulatedStep| {
            let mut counts = vec![0; cells.len()];
            let fresh = step.sampled.iter().filter(|(_, admitted)| *admitted).map(|(group, _)| group.problem());
            for problem in fresh.chain(step.replayed.iter().map(|key| key.problem)) {
                if let Some(position) = corpus.position(problem) {
                    counts[cells.of(position)] += 1;
                }
            }
            counts
        };
        let stages = course.curriculum().stages();
        let visits = steps.chunk_by(|a, b| a.stage == b.stage);
        Ok(Self {
            cells: cells.names().to_vec(),
            visits: visits.map(|visit| (stages[visit[0].stage].name.clone(), visit.len())).collect(),
            counts: steps.iter().map(counts).collect(),
        })
    }

    /// Mean shares of the cells over at most `n` stretches of steps, `[stretch][cell]`, each in
    /// `[0, 1]`.
    fn shares(&self, n: usize) -> Vec<Vec<f64>> {
        let n_steps = self.counts.len();
        let n = n.min(n_steps);
        let stretch = |i: usize| {
            let steps = &self.counts[i * n_steps / n..(i + 1) * n_steps / n];
            let total = steps.iter().flatten().sum::<usize>().max(1) as f64;
            (0..self.cells.len())
                .map(|cell| steps.iter().map(|step| step[cell]).sum::<usize>() as f64 / total)
                .collect()
        };
        (0..n).map(stretch).collect()
    }

    /// Formats the plan as text: a row for each cell, at most `columns` characters of time, darker
    /// for larger shares. The last column is the cell's share of the whole run.
    pub fn to_text(&self, columns: usize) -> String {
        const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];
        let shares = self.shares(columns);
        let n_columns = shares.len();
        let width = self.cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        let total = self.counts.iter().flatten().sum::<usize>().max(1) as f64;
        let mut text = String::new();
        for (cell, name) in self.cells.iter().enumerate() {
            let shade = |stretch: &Vec<f64>| SHADES[(stretch[cell].sqrt() * 4.0).ceil() as usize];
            let bar: String = shares.iter().map(shade).collect();
            let share = self.counts.iter().map(|step| step[cell]).sum::<usize>() as f64 / total;
            text += &format!("{name:<width$}  {bar}  {:>5.1} %\n", 100.0 * share);
        }
        let n_steps = self.counts.len();
        text += &format!("{:<width$}  1{:>rest$}  steps\n", "", n_steps, rest = n_columns.saturating_sub(1));
        let visits = self.visits.iter().map(|(name, steps)| format!("{name} {steps}"));
        // Stages that are visited again in every epoch would fill the screen.
        let shown: Vec<String> = visits.clone().take(12).collect();
        let more = if self.visits.len() > shown.len() { ", …" } else { "" };
        text + &format!("stages: {}{more}\n", shown.join(", "))
    }

    /// Draws the plan as a figure, with lines between stages.
    pub fn drawing(&self) -> Drawing {
        const CELL: (f64, f64) = (720.0, 22.0);
        let label_width = self.cells.iter().map(|cell| text_width(cell, 12.0)).fold(0.0, f64::max);
        let (left, top) = (label_width + 24.0, 40.0);
        let height = top + CELL.1 * self.cells.len() as f64 + 44.0;
        let mut drawing = Drawing::new("plan of the curriculum", left + CELL.0 + 72.0, height);
        let shares = self.shares(240);
        let column = CELL.0 / shares.len().max(1) as f64;
        let total = self.counts.iter().flatten().sum::<usize>().max(1) as f64;
        for (cell, name) in self.cells.iter().enumerate() {
            let y = top + CELL.1 * cell as f64;
            let middle = y + CELL.1 / 2.0;
            drawing.text((left - 10.0, middle), name, 12.0, INK, Anchor::End);
            drawing.rectangle((left, y + 1.0), (left + CELL.0, y + CELL.1 - 1.0), Paint(GRID, 0.5));
            for (i, share) in shares.iter().enumerate().filter(|(_, share)| share[cell] > 0.0) {
                let from = left + column * i as f64;
                drawing.rectangle(
                    (from, y + 1.0),
                    (from + column, y + CELL.1 - 1.0),
                    Paint(PALETTE[0], share[cell].sqrt()),
                );
            }
            let share = self.counts.iter().map(|step| step[cell]).sum::<usize>() as f64 / total;
            let percent = format!("{:.1} %", 100.0 * share);
            drawing.text((left + CELL.0 + 10.0, middle), &percent, 12.0, QUIET, Anchor::Start);
        }
        let n_steps = self.counts.len().max(1) as f64;
        let bottom = top + CELL.1 * self.cells.len() as f64;
        let mut before = 0;
        for (name, steps) in &self.visits {
            let x = |step: usize| left + CELL.0 * step as f64 / n_steps;
            let (from, to) = (x(before), x(before + steps));
            if before > 0 {
                drawing.line(&[(from, top - 4.0), (from, bottom)], 1.0, Paint(QUIET, 1.0));
            }
            let name = name.replace('_', " ");
            if text_width(&name, 12.0) < to - from {
                drawing.text(((from + to) / 2.0, top - 14.0), &name, 12.0, QUIET, Anchor::Middle);
            }
            before += steps;
        }
        let last = format!("{}", self.counts.len());
        drawing.text((left, bottom + 14.0), "1", 11.0, QUIET, Anchor::Start);
        drawing.text((left + CELL.0, bottom + 14.0), &last, 11.0, QUIET, Anchor::End);
        drawing.text((left + CELL.0 / 2.0, bottom + 28.0), "training step", 12.0, QUIET, Anchor::Middle);
        drawing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seethink_core::{Capability, PassRate, ProblemId};
    use seethink_curriculum::{CorpusEntry, CurriculumConfig, Epochs, LastBatch, Order, SkilledLearner, Staged};

    fn plan(order: Order) -> Plan {
        let entry = |i: u64| CorpusEntry {
            pass_rate: PassRate::new((i % 4) as f32 / 4.0).ok(),
            ..CorpusEntry::new(ProblemId(i), Capability::ALL[i as usize % 3].clone())
        };
        let corpus = Corpus::new((0..240).map(entry)).unwrap();
        let epochs = Epochs::PerStage(1);
        let staged = Staged { stages: Staged::paper_stages(), order, epochs, last_batch: LastBatch::Keep };
        let mut course = CurriculumConfig::Staged(staged).build(&corpus, 1).unwrap();
        let simulation = Simulation { batch: 10, ..Simulation::default() };
        let (cells, mut learner) = (Plan::cells(&corpus, None, 2), SkilledLearner::new(&corpus, 0.0, 0.0));
        Plan::simulate(&mut course, &corpus, &cells, &simulation, &mut learner).unwrap()
    }

    #[test]
    fn a_static_plan_is_what_it_says() {
        let plan = plan(Order::EasyToHard);
        assert_eq!(plan.cells.len(), 6);
        assert_eq!(plan.visits, Capability::ALL.map(|capability| (capability.to_string(), 8)));
        // Within a stage the easy half is drawn first.
        let easy: Vec<usize> = (0..24).map(|step| plan.counts[step][2 * (step / 8) + 1]).collect();
        assert_eq!(easy, [[10, 10, 10, 10, 0, 0, 0, 0]; 3].concat());
    }

    #[test]
    fn text_and_figure_show_every_cell() {
        let plan = plan(Order::Shuffled);
        let text = plan.to_text(12);
        assert_eq!(text.lines().count(), 8);
        assert!(text.contains("perception/0..=0.25  ") && text.contains("16.7 %"), "{text}");
        assert!(text.contains("stages: perception 8, textual_reasoning 8, visual_reasoning 8"), "{text}");
        let svg = plan.drawing().svg().unwrap();
        assert!(plan.cells.iter().all(|cell| svg.contains(cell.as_str())));
        assert!(svg.contains("textual reasoning"));
    }
}
