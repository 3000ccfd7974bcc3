//! The loop that one reads first: short, and it learns.

#[path = "../examples/grpo_loop.rs"]
#[allow(dead_code)] // Its `main`.
mod grpo_loop;

#[test]
fn the_reward_of_the_loop_rises() {
    let (model, processor) = grpo_loop::embedded_model().unwrap();
    let mut rewards = Vec::new();
    grpo_loop::train(model, &processor, 12, &mut |_, reward| rewards.push(reward)).unwrap();
    let mean = |steps: &[f32]| steps.iter().sum::<f32>() / steps.len() as f32;
    let (first, last) = (mean(&rewards[..4]), mean(&rewards[8..]));
    assert!(last > first + 0.05, "{rewards:?}");
}

#[test]
fn the_loop_is_short() {
    let lines = include_str!("../examples/grpo_loop.rs").lines().count();
    assert!(lines <= 150, "{lines} lines");
}
