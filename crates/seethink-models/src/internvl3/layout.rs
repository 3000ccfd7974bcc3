//! Layout of a batch of tiles for the vision encoder.

/// Layout of a batch of tiles, from their grids.
#[derive(Debug, Clone, Copy)]
pub struct TileLayout {
    pub(super) n_tiles: usize,
    /// Grid of patches of a tile: rows and columns.
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl TileLayout {
    /// Number of hidden states per tile: its patches and the class token.
    pub(super) fn len(&self) -> usize {
        1 + self.rows * self.columns
    }
}
