//! Reader of parquet files.

use crate::DataError;
use crate::row::{Cell, Place, Row};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch, RecordBatchReader as _};
use arrow_schema::{DataType, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::PageIndexPolicy;
use serde_json::Value;
use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Rows in memory at once; one with embedded images may take megabytes.
const BATCH: usize = 16;

/// Footer of a parquet file: its metadata.
pub(crate) type Footer = ArrowReaderMetadata;

/// Reads the footer of a file.
pub(crate) fn footer(file: &Path) -> Result<Footer, DataError> {
    let bytes = File::open(file).map_err(DataError::io("read", file))?;
    // Only parquet's own types are read: there are fewer of them than of arrow's. The page index
    // makes it cheap to skip most pages.
    let options =
        ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_offset_index_policy(PageIndexPolicy::Optional);
    let footer = contained(|| ArrowReaderMetadata::load(&bytes, options)).map_err(bad(file))?;
    for column in footer.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        use Compression::{GZIP, LZ4, LZ4_RAW, SNAPPY, UNCOMPRESSED};
        if !matches!(column.compression(), UNCOMPRESSED | SNAPPY | GZIP(_) | LZ4 | LZ4_RAW) {
            let (file, found) = (file.to_path_buf(), column.compression().to_string());
            return Err(DataError::Compression { file, found });
        }
    }
    Ok(footer)
}

/// Reads rows of a parquet file, a few at a time.
pub(crate) struct Table {
    file: PathBuf,
    schema: SchemaRef,
    batches: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
    /// Index of the next row in the batch.
    at: usize,
    /// Numbers of the rows still to come, from 0.
    rows: Box<dyn Iterator<Item = u64> + Send>,
    failed: bool,
}

impl Table {
    /// Opens all rows of a file, or those at the places, which ascend.
    pub(crate) fn open(file: &Path, footer: Footer, wanted: Option<Vec<Place>>) -> Result<Self, DataError> {
        let bytes = File::open(file).map_err(DataError::io("read", file))?;
        let wanted = wanted.map(|places| places.iter().map(|place| place.line - 1).collect::<Vec<u64>>());
        let n_rows = footer.metadata().file_metadata().num_rows().max(0) as u64;
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, footer);
        let rows: Box<dyn Iterator<Item = u64> + Send> = match wanted {
            None => Box::new(0..n_rows),
            Some(wanted) => {
                let lengths = builder.metadata().row_groups().iter().map(|group| group.num_rows().max(0) as u64);
                let (groups, selection) = select(lengths, &wanted);
                builder = builder.with_row_groups(groups).with_row_selection(selection);
                Box::new(wanted.into_iter())
            }
        };
        let batches = contained(|| builder.with_batch_size(BATCH).build()).map_err(bad(file))?;
        let schema = batches.schema();
        Ok(Self { file: file.to_path_buf(), schema, batches, batch: None, at: 0, rows, failed: false })
    }

    fn row(&mut self) -> Result<Option<Row>, ParquetError> {
        loop {
            if let Some(batch) = self.batch.as_ref().filter(|batch| self.at < batch.num_rows()) {
                let columns = self.schema.fields().iter().zip(batch.columns());
                let row = columns.map(|(field, column)| (field.name().clone(), cell(column, self.at))).collect();
                self.at += 1;
                return Ok(Some(Row(row)));
            }
            self.batch = contained(|| Ok(self.batches.next().transpose()?))?;
            self.at = 0;
            if self.batch.is_none() {
                return Ok(None);
            }
        }
    }
}

impl Iterator for Table {
    type Item = Result<(Place, Row), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = match self.row() {
            Ok(row) => row?,
            Err(error) => {
                self.failed = true;
                return Some(Err(bad(&self.file)(error)));
            }
        };
        let place = Place { line: self.rows.next()? + 1, offset: 0 };
        Some(Ok((place, row)))
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Row groups that hold wanted rows, and the selection of rows within these.
fn select(lengths: impl Iterator<Item = u64>, wanted: &[u64]) -> (Vec<usize>, RowSelection) {
    let (mut groups, mut ranges) = (Vec::new(), Vec::new());
    let (mut first, mut n_before) = (0, 0);
    for (group, length) in lengths.enumerate() {
        let inside = |end: u64| wanted.partition_point(|&row| row < end);
        let inside = &wanted[inside(first)..inside(first + length)];
        if !inside.is_empty() {
            groups.push(group);
            ranges.extend(inside.iter().map(|row| (row - first) as usize + n_before).map(|row| row..row + 1));
            n_before += length as usize;
        }
        first += length;
    }
    (groups, RowSelection::from_consecutive_ranges(ranges.into_iter(), n_before))
}

/// Value of a column in a row; times, decimals and maps are skipped.
fn cell(column: &dyn Array, row: usize) -> Cell {
    macro_rules! number {
        ($type:ty) => {
            Value::from(column.as_primitive::<$type>().value(row))
        };
    }
    // The shortest digits of the type, not those of the double that is nearest.
    let float = |digits: String| digits.parse::<f64>().map_or(Value::Null, Value::from);
    if column.is_null(row) {
        return Cell::Scalar(Value::Null);
    }
    Cell::Scalar(match column.data_type() {
        DataType::Boolean => Value::from(column.as_boolean().value(row)),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float16 => float(column.as_primitive::<Float16Type>().value(row).to_string()),
        DataType::Float32 => float(column.as_primitive::<Float32Type>().value(row).to_string()),
        DataType::Float64 => number!(Float64Type),
        DataType::Utf8 => Value::from(column.as_string::<i32>().value(row)),
        DataType::Binary => return Cell::Bytes(column.as_binary::<i32>().value(row).into()),
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            return Cell::List((0..items.len()).map(|item| cell(&items, item)).collect());
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(column.as_struct().columns());
            return Cell::Struct(Row(columns
                .map(|(field, column)| (field.name().clone(), cell(column, row)))
                .collect()));
        }
        _ => Value::Null,
    })
}

/// Runs the parquet library and turns its panics into errors. Some damaged files make it panic:
/// lengths that contradict each other within a page cannot be checked beforehand. The reader must
/// not be used after an error.
pub(crate) fn contained<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        Err(ParquetError::General(format!(
            "the file is damaged: {}",
            words.unwrap_or("its lengths contradict each other")
        )))
    })
}

fn bad<E: Into<ParquetError>>(file: &Path) -> impl FnOnce(E) -> DataError {
    move |source| DataError::Parquet { file: file.to_path_buf(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::arrow::arrow_reader::RowSelector;

    #[test]
    fn only_groups_with_wanted_rows_are_read() {
        let (groups, selection) = select([3, 5, 4, 2].into_iter(), &[1, 2, 8, 11, 12]);
        assert_eq!(groups, [0, 2, 3]);
        let expected = [
            RowSelector::skip(1),
            RowSelector::select(2),
            RowSelector::skip(0),
            RowSelector::select(1),
            RowSelector::skip(2),
            RowSelector::select(2),
            RowSelector::skip(1),
        ];
        let expected: Vec<_> = expected.into_iter().filter(|part| part.row_count > 0).collect();
        let merged = RowSelection::from(expected);
        assert_eq!(selection, merged);
        assert_eq!(select([3].into_iter(), &[]).0, [0usize; 0]);
    }
}
