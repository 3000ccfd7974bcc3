//! A curriculum of one's own, under 50 lines. See docs/writing-a-curriculum.md.

use experiments::program::custom_program;
use seethink::curriculum::Ruled;
use seethink::prelude::*;
use seethink::run::config::BaseFamily;

/// Leaves a problem alone once a whole group has solved it; all others keep coming, in random
/// order.
#[derive(Debug)]
struct Mastery {
    open: Vec<ProblemId>,
}

impl Curriculum for Mastery {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        let mut problems = self.open.clone();
        Rng::new(0, Purpose::Curriculum, &[progress.draws]).shuffle(&mut problems);
        problems.into_iter().take(want).collect()
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        let solved = |id| groups.iter().any(|group| group.problem() == id && group.pass_rate() == Some(1.0));
        self.open.retain(|&id| !solved(id));
    }

    fn state(&self) -> State {
        State::new(&self.open)
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        self.open = state.read()?;
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    custom_program(BaseFamily::Qwen3Vl, "mastery", &|corpus, _seed| {
        let open = corpus.iter().map(|entry| entry.id).collect();
        let steps = Some(120);
        Ok(Course::new(Ruled::new(Mastery { open }, vec![], steps), corpus))
    })
}
