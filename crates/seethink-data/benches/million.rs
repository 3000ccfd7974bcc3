//! Benchmark of a data set of a million rows, a third of them with an image: `cargo bench -p
//! seethink-data`.

use criterion::{Criterion, Throughput};
use seethink_core::{Purpose, Rng};
use seethink_data::{Columns, DataSource, Dataset, DatasetConfig, Splits};
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

const ROWS: usize = 1_000_000;

/// Writes rows in the released schema, with a pass rate, two hundred letters of text and a worked
/// solution.
fn write(dir: &Path) -> Result<(), Box<dyn Error>> {
    image::RgbImage::new(64, 48).save(dir.join("x.png"))?;
    let text = "abc ".repeat(50);
    let mut file = BufWriter::new(File::create(dir.join("train.jsonl"))?);
    for row in 0..ROWS {
        let (place, images) = if row % 3 == 0 { ("<image>", "\"x.png\"") } else { ("", "") };
        let (rate, level, source) = (row % 17, row % 10, row % 5);
        writeln!(
            file,
            r#"{{"index": "{row}", "problem": "{place}{row} {text}", "answer": "{row}", "images": [{images}], "source": "set {source}", "capability": "perception", "solution": "{text}", "pass_rate": {}, "level": {level}}}"#,
            rate as f64 / 16.0,
        )?;
    }
    Ok(file.flush()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    write(dir.path())?;
    let columns = Columns { tags: vec!["level".into()], ..Columns::default() };
    let splits = Splits::ByHash { validation: 0.05, test: 0.1, seed: 0 };
    let source = DataSource { columns, ..DataSource::new(dir.path()) };
    let config = DatasetConfig { splits, ..DatasetConfig::new([source]) };
    let start = Instant::now();
    let dataset = Dataset::open(&config, None)?;
    println!("checked {} rows in {:.2?}", dataset.len(), start.elapsed());
    for entry in fs::read_dir(dir.path())? {
        let entry = entry?;
        println!("{:>12} bytes  {}", entry.metadata()?.len(), entry.file_name().display());
    }

    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    criterion.bench_function("open, warm", |bencher| bencher.iter(|| Dataset::open(&config, None)));
    criterion.bench_function("report", |bencher| bencher.iter(|| dataset.report()));
    let mut group = criterion.benchmark_group("read 1000 problems");
    group.throughput(Throughput::Elements(1000));
    let mut rng = Rng::new(1, Purpose::World, &[]);
    group.bench_function("anywhere", |bencher| {
        bencher.iter(|| (0..1000).all(|_| dataset.problem(rng.below(ROWS)).is_ok()));
    });
    group.bench_function("in order", |bencher| bencher.iter(|| dataset.read(0..1000).all(|problem| problem.is_ok())));
    group.finish();
    criterion.final_summary();
    Ok(())
}
