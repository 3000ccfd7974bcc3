//! Post-training of vision-language models by reinforcement learning, with the curriculum as a first-class object.
