//! Cache of the index of a file, in a file beside it: a parquet file, so that any tool for tables
//! shows it.

use super::TokenCounter;
use super::index::{Index, Names};
use crate::table::contained;
use crate::{DataError, DataSource};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type, UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Version of the index format; to be raised when the columns change, or the way ids are made.
const VERSION: u32 = 1;
/// Metadata key of the stamp that ties an index to the state of its file.
const STAMP: &str = "seethink.index";

/// Cache of a file's index, valid for one state of the file.
pub(super) struct Cache {
    path: PathBuf,
    stamp: String,
}

impl Cache {
    /// Creates the cache for a file in its present state, read as `source` says; it lies beside the
    /// file, or in the folder `dir`.
    pub(super) fn new(
        file: &Path,
        source: &DataSource,
        counter: Option<&TokenCounter<'_>>,
        dir: Option<&Path>,
    ) -> Result<Self, DataError> {
        let modified = |metadata: fs::Metadata| Ok((metadata.len(), metadata.modified()?));
        let (length, modified) = fs::metadata(file).and_then(modified).map_err(DataError::io("read", file))?;
        let modified = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let counter = counter.map(|counter| counter.name);
        // The way a file is read is part of the stamp, its place is not.
        let source = DataSource { path: PathBuf::new(), ..source.clone() };
        let reading = serde_json::to_string(&(VERSION, source, counter))
            .map_err(|error| DataError::io("read", file)(error.into()))?;
        let place = if dir.is_some() {
            std::path::absolute(file).map_err(DataError::io("find", file))?
        } else {
            PathBuf::new()
        };
        let hash = Sha256::new().chain_update(&reading).chain_update(place.as_os_str().as_encoded_bytes()).finalize();
        let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let folder = dir.or_else(|| file.parent()).unwrap_or(Path::new(""));
        let path = folder.join(format!("{name}.{hash}.seethink-index"));
        Ok(Self { path, stamp: format!("{length} {modified} {reading}") })
    }

    /// Loads the index, if there is one for this state of the file.
    pub(super) fn load(&self) -> Option<Index> {
        let file = File::open(&self.path).ok()?;
        let builder = contained(|| ParquetRecordBatchReaderBuilder::try_new(file)).ok()?;
        let metadata = builder.metadata().file_metadata();
        let n_rows = usize::try_from(metadata.num_rows()).ok()?;
        let is_ours = |entry: &KeyValue| entry.key == STAMP && entry.value.as_ref() == Some(&self.stamp);
        if !metadata.key_value_metadata()?.iter().any(is_ours) {
            return None;
        }
        let batch = contained(|| Ok(builder.with_batch_size(n_rows).build()?.next().transpose()?)).ok()??;
        Index::from_batch(&batch).filter(|index| index.len() == n_rows)
    }

    /// Stores an index; nothing is written for a file without rows.
    pub(super) fn store(&self, index: &Index) -> Result<(), DataError> {
        if index.len() == 0 {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(DataError::io("create", folder))?;
        }
        let bad = |source| DataError::Parquet { file: self.path.clone(), source };
        let batch =
            RecordBatch::try_from_iter_with_nullable(index.columns().map(|(name, column)| (name, column, true)));
        let batch = batch.map_err(|error| bad(error.into()))?;
        let properties = WriterProperties::builder()
            .set_key_value_metadata(Some(vec![KeyValue::new(STAMP.to_owned(), self.stamp.clone())]))
            .set_max_row_group_row_count(None)
            .set_statistics_enabled(EnabledStatistics::None);
        // Numbers hardly repeat, texts do.
        let numbers = index.columns().take(8).map(|(name, _)| name);
        let properties = numbers.fold(properties, |properties, name| {
            let path =
                if name.starts_with("image_") { vec![name, "list".to_owned(), "item".to_owned()] } else { vec![name] };
            properties.set_column_dictionary_enabled(path.into(), false)
        });
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).map_err(bad)?;
        writer.write(&batch).map_err(bad)?;
        writer.close().map_err(bad)?;
        seethink_files::write(&self.path, &bytes).map_err(DataError::io("write", &self.path))
    }
}

impl Index {
    fn columns(&self) -> impl Iterator<Item = (String, ArrayRef)> {
        let fixed: [(&str, ArrayRef); 10] = [
            ("id", Arc::new(self.ids.clone())),
            ("line", Arc::new(self.lines.clone())),
            ("offset", Arc::new(self.offsets.clone())),
            ("pass_rate", Arc::new(self.pass_rates.clone())),
            ("solution_length", Arc::new(self.solution_lengths.clone())),
            ("n_tokens", Arc::new(self.n_tokens.clone())),
            ("image_keys", Arc::new(self.image_keys.clone())),
            ("image_sizes", Arc::new(self.image_sizes.clone())),
            ("capability", Arc::new(self.capabilities.clone())),
            ("source", Arc::new(self.sources.clone())),
        ];
        let tag = |(key, values): &(String, Names)| (format!("tag.{key}"), Arc::new(values.clone()) as ArrayRef);
        fixed.map(|(name, column)| (name.to_owned(), column)).into_iter().chain(self.tags.iter().map(tag))
    }

    fn from_batch(batch: &RecordBatch) -> Option<Self> {
        let column = |name: &str| batch.column_by_name(name);
        let u64s = |name: &str| column(name)?.as_primitive_opt::<UInt64Type>().cloned();
        let u32s = |name: &str| column(name)?.as_primitive_opt::<UInt32Type>().cloned();
        let lists = |name: &str| column(name)?.as_list_opt::<i32>().cloned();
        let names = |name: &str| column(name)?.as_dictionary_opt::<Int32Type>().cloned();
        let tags = batch.schema();
        let tags = tags.fields().iter().filter_map(|field| field.name().strip_prefix("tag."));
        let (image_keys, image_sizes) = (lists("image_keys")?, lists("image_sizes")?);
        image_keys.values().as_primitive_opt::<UInt64Type>()?;
        image_sizes.values().as_primitive_opt::<UInt32Type>()?;
        Some(Self {
            ids: u64s("id")?,
            lines: u64s("line")?,
            offsets: u64s("offset")?,
            pass_rates: column("pass_rate")?.as_primitive_opt::<Float32Type>()?.clone(),
            solution_lengths: u32s("solution_length")?,
            n_tokens: u32s("n_tokens")?,
            image_keys,
            image_sizes,
            capabilities: names("capability")?,
            sources: names("source")?,
            tags: tags.map(|tag| Some((tag.to_owned(), names(&format!("tag.{tag}"))?))).collect::<Option<_>>()?,
        })
    }
}
