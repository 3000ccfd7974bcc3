//! Results do not depend on the number of threads, to the last bit.

use super::cases::{Sizes, cases};
use super::{arguments, run};
use burn::tensor::{DType, Tensor};

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    // Enough rows and channels for several tasks, and several blocks of every sum.
    for case in cases(Sizes { batch: 6, seq: 101, d: 64 }) {
        let arguments = arguments(&case.shapes, 1);
        let with_threads = |n: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads can be started");
            pool.install(|| run(&|x: Vec<Tensor<2>>, _| case.run(&x), &arguments, 1, DType::F32))
        };
        let expected = with_threads(1);
        for n in [2, 3, 5] {
            assert!(with_threads(n) == expected, "{} differs between one thread and {n}", case.name);
        }
    }
}
