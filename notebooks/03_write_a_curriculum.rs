//! Code of the notebook `03_write_a_curriculum.ipynb`: each `// %%` begins a cell.
//!
//! `crates/seethink-plot/tests/notebook.rs` runs this script and compares it with the notebook, cell
//! by cell.

pub(crate) fn run() -> Result<(), Box<dyn std::error::Error>> {
    // %%
    use seethink_core::{Capability, PassRate, ProblemId, Purpose, Rng};
    use seethink_curriculum::{
        Axis, Batch, Corpus, CorpusEntry, Course, Curriculum, CurriculumConfig, CurriculumError, Epochs, GroupOutcome,
        LastBatch, Merged, Metric, Order, Partition, Progress, Ruled, SimulatedLearner, SimulatedStep, Simulation,
        SkilledLearner, Stage, Staged, State,
    };
    use seethink_plot::{Drawing, Plan};
    use std::collections::{BTreeMap, BTreeSet};
    use std::error::Error;

    // %%
    /// Draws from the capabilities whose accuracy changes, up or down.
    #[derive(Debug)]
    struct LearningProgress {
        corpus: Corpus,
        seed: u64,
        /// Fast and slow moving average of the accuracy of each capability that has been drawn.
        averages: BTreeMap<Capability, [f64; 2]>,
    }

    impl LearningProgress {
        /// Weights of the newest accuracy in the fast and in the slow average.
        const RATES: [f64; 2] = [0.3, 0.05];
        /// Weight of a capability whose accuracy stands still, so that it is looked at again.
        const LEAST: f64 = 0.02;

        fn new(corpus: &Corpus, seed: u64) -> Self {
            Self { corpus: corpus.clone(), seed, averages: BTreeMap::new() }
        }

        /// Weight of the problems of a capability.
        fn weight(&self, capability: &Capability) -> f64 {
            self.averages.get(capability).map_or(1.0, |[fast, slow]| Self::LEAST + (fast - slow).abs())
        }
    }

    impl Curriculum for LearningProgress {
        /// Draws by weight without replacement: each problem gets an exponential waiting time, and
        /// the first to arrive are taken.
        fn draw(&mut self, progress: Progress, want: usize) -> Batch {
            let mut rng = Rng::new(self.seed, Purpose::Curriculum, &[progress.draws]);
            let mut time = |entry: &CorpusEntry| -(1.0 - rng.uniform()).ln() / self.weight(&entry.capability);
            let mut arrivals: Vec<(f64, ProblemId)> = self.corpus.iter().map(|entry| (time(entry), entry.id)).collect();
            arrivals.sort_by(|one, other| one.0.total_cmp(&other.0));
            arrivals.into_iter().take(want).map(|(_, id)| id).collect()
        }

        /// Moves the averages towards the mean accuracy of the step, capability by capability.
        fn observe(&mut self, groups: &[GroupOutcome]) {
            let mut accuracies: BTreeMap<&Capability, Vec<f64>> = BTreeMap::new();
            for group in groups {
                if let (Some(entry), Some(accuracy)) = (self.corpus.get(group.problem()), group.pass_rate()) {
                    accuracies.entry(&entry.capability).or_default().push(accuracy);
                }
            }
            for (capability, accuracies) in accuracies {
                let mean = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
                let averages = self.averages.entry(capability.clone()).or_insert([mean; 2]);
                for (average, rate) in averages.iter_mut().zip(Self::RATES) {
                    *average += rate * (mean - *average);
                }
            }
        }

        fn state(&self) -> State {
            State::new(&self.averages)
        }

        fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
            self.averages = state.read()?;
            Ok(())
        }

        fn metrics(&self) -> Vec<Metric> {
            self.averages.keys().map(|name| (format!("weight/{name}").into(), self.weight(name))).collect()
        }
    }

    // %%
    const N_STEPS: u32 = 60;

    /// Draws 200 problems of each capability, with pass rates around a mean of its own.
    fn made_up_corpus() -> Result<Corpus, Box<dyn Error>> {
        const MEANS: [f64; 3] = [0.5, 0.3, 0.1];
        let mut entries = Vec::new();
        for id in 0..600 {
            let which = id as usize % 3;
            let rate = MEANS[which] + 0.1 * Rng::new(0, Purpose::World, &[id]).normal();
            let pass_rate = Some(PassRate::new(rate.clamp(0.0, 1.0) as f32)?);
            entries.push(CorpusEntry { pass_rate, ..CorpusEntry::new(ProblemId(id), Capability::ALL[which].clone()) });
        }
        Ok(Corpus::new(entries)?)
    }

    /// Course of the policy, which ends after `N_STEPS`; a record of another seed is refused.
    fn learning_progress(corpus: &Corpus, seed: u64) -> Result<Course, CurriculumError> {
        let policy = Ruled::new(LearningProgress::new(corpus, seed), vec![], Some(N_STEPS));
        Ok(Course::with_settings(Box::new(policy), corpus, &format!("learning progress, seed {seed}")))
    }

    /// Steps of 16 problems with 8 completions each.
    fn simulation(seed: u64) -> Simulation {
        Simulation { batch: 16, group_size: 8, seed, ..Simulation::default() }
    }

    /// Learner whose skills rise by up to 0.01 with a group, the others by `transfer` times that.
    fn learner(corpus: &Corpus, transfer: f64) -> SkilledLearner {
        SkilledLearner::new(corpus, 0.01, transfer)
    }

    let corpus = made_up_corpus()?;
    let mut course = learning_progress(&corpus, 1)?;
    let cells = Partition { axes: vec![Axis::Capability], bins: None };
    let plan = Plan::simulate(&mut course, &corpus, &cells, &simulation(1), &mut learner(&corpus, 0.2))?;
    let metrics = course.curriculum().metrics();
    let weights: Vec<String> = metrics.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
    println!("{}", weights.join(", "));

    // %%
    /// Shows a drawing in the notebook; elsewhere prints the length of its SVG.
    fn show(drawing: &Drawing) -> Result<(), Box<dyn Error>> {
        let svg = drawing.svg()?;
        if std::env::var_os("EVCXR_IS_RUNTIME").is_some() {
            println!("EVCXR_BEGIN_CONTENT image/svg+xml\n{svg}\nEVCXR_END_CONTENT");
        } else {
            println!("SVG of {} bytes", svg.len());
        }
        Ok(())
    }

    show(&plan.drawing())?;

    // %%
    fn merged(corpus: &Corpus, seed: u64) -> Result<Course, CurriculumError> {
        let epochs = Epochs::AsNeeded { steps: N_STEPS };
        let stage = Stage::new("merged", []);
        let merged = Merged { stage, order: Order::Shuffled, epochs, last_batch: LastBatch::Drop };
        CurriculumConfig::Merged(merged).build(corpus, seed)
    }

    fn staged(corpus: &Corpus, seed: u64) -> Result<Course, CurriculumError> {
        let epochs = Epochs::AsNeeded { steps: N_STEPS / 3 };
        let stages = Staged::paper_stages();
        let staged = Staged { stages, order: Order::Shuffled, epochs, last_batch: LastBatch::Drop };
        CurriculumConfig::Staged(staged).build(corpus, seed)
    }

    type Build = fn(&Corpus, u64) -> Result<Course, CurriculumError>;
    const POLICIES: [(&str, Build); 3] =
        [("merged", merged), ("staged", staged), ("learning progress", learning_progress)];

    /// Mean pass rate of each capability and over all, %.
    fn accuracies(corpus: &Corpus, learner: &SkilledLearner) -> [f64; 4] {
        let [perception, textual, visual] = Capability::ALL.map(|capability| {
            let problems = corpus.filter(|entry| entry.capability == capability);
            100.0 * problems.iter().map(|entry| learner.pass_rate(entry)).sum::<f64>() / problems.len() as f64
        });
        [perception, textual, visual, (perception + textual + visual) / 3.0]
    }

    /// Formats a mean and a sample deviation.
    fn mean_and_deviation(values: &[f64]) -> String {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        format!("{mean:.1} ± {deviation:.1}")
    }

    /// Accuracies after a run with a seed.
    fn simulated(corpus: &Corpus, build: Build, transfer: f64, seed: u64) -> Result<[f64; 4], CurriculumError> {
        let mut learner = learner(corpus, transfer);
        simulation(seed).run(&mut build(corpus, seed)?, corpus, &mut learner);
        Ok(accuracies(corpus, &learner))
    }

    for transfer in [0.2, 0.0, -0.2] {
        let columns = ["perception", "textual", "visual", "mean"].map(|name| format!("{name:>13}")).concat();
        println!("{:<17}{columns}", format!("transfer {transfer}"));
        for (name, build) in POLICIES {
            let runs = (0..10).map(|seed| simulated(&corpus, build, transfer, seed)).collect::<Result<Vec<_>, _>>()?;
            let column = |i: usize| mean_and_deviation(&runs.iter().map(|run| run[i]).collect::<Vec<_>>());
            println!("{name:<17}{}", [0, 1, 2, 3].map(|i| format!("{:>13}", column(i))).concat());
        }
        println!();
    }
    println!("mean ± sample deviation over 10 seeds, %");

    // %%
    /// Steps of a run from its beginning to its end.
    fn whole(build: Build, corpus: &Corpus, seed: u64) -> Result<Vec<SimulatedStep>, CurriculumError> {
        Ok(simulation(seed).run(&mut build(corpus, seed)?, corpus, &mut learner(corpus, 0.2)))
    }

    /// Steps of a run that is stopped after `cut` steps and continued from its record.
    fn resumed(build: Build, corpus: &Corpus, seed: u64, cut: usize) -> Result<Vec<SimulatedStep>, Box<dyn Error>> {
        let (simulation, mut learner) = (simulation(seed), learner(corpus, 0.2));
        let mut course = build(corpus, seed)?;
        let mut steps = Simulation { max_steps: cut, ..simulation }.run(&mut course, corpus, &mut learner);
        let record = serde_json::to_string(&course.to_record())?;

        let mut course = build(corpus, seed)?;
        course.load_record(&serde_json::from_str(&record)?)?;
        steps.extend(simulation.run(&mut course, corpus, &mut learner));
        Ok(steps)
    }

    assert!(resumed(learning_progress, &corpus, 1, 25)? == whole(learning_progress, &corpus, 1)?);

    let record = course.to_record();
    println!("{}\n", serde_json::to_string(&record)?);
    let other_problems = corpus.filter(|entry| entry.id.0 > 0);
    println!("{}", learning_progress(&other_problems, 1)?.load_record(&record).expect_err("other problems"));
    println!("{}", learning_progress(&corpus, 2)?.load_record(&record).expect_err("another seed"));

    // %%
    for (name, build) in POLICIES {
        let steps = whole(build, &corpus, 1)?;
        assert_eq!(steps.len(), N_STEPS as usize, "{name} ends after its steps");
        for step in &steps {
            let problems: BTreeSet<ProblemId> = step.drawn().collect();
            assert_eq!(problems.len(), 16, "{name} fills every batch with different problems");
        }
        assert!(steps == whole(build, &corpus, 1)?, "{name} draws the same with the same seed");
        assert!(steps != whole(build, &corpus, 2)?, "{name} draws otherwise with another seed");
        for cut in [0, 1, 7, 59] {
            assert!(steps == resumed(build, &corpus, 1, cut)?, "{name} continues exactly after {cut} steps");
        }
    }
    println!("all properties hold for {} policies", POLICIES.len());
    Ok(())
}
