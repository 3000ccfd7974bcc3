//! Weights of checkpoints in and out: safetensors files, single or sharded, one tensor in memory at a time.
//!
//! A backbone says in one table, its [`Naming`], what its modules are called in the file; everything else is here.

mod error;
mod init;
mod read;
mod write;

pub use error::{LoadError, SaveError};
pub(crate) use init::initialize;
pub(crate) use read::{WeightFiles, load, read_json};
pub use write::WeightDtype;
pub(crate) use write::save;

use burn::module::Param;
use burn::tensor::{DType, Tensor, TensorData};

/// The model's configuration in a checkpoint folder.
pub(crate) const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// What a backbone's modules are called in its checkpoints.
#[derive(Debug)]
pub(crate) struct Naming {
    /// Our module path, the checkpoint's; `*` is an index.
    pub(crate) modules: &'static [(&'static str, &'static str)],
    /// Tensors, by the checkpoint's name, that the file keeps in another shape than ours, rows of the same length apart.
    pub(crate) shapes: Vec<(&'static str, Vec<usize>)>,
}

/// A parameter as the file has it.
struct FileTensor {
    name: String,
    shape: Vec<usize>,
    /// The file keeps linear weights `[out, in]`, burn `[in, out]`.
    transposed: bool,
}

/// Where in a module tree a visitor is.
#[derive(Debug, Default)]
struct Trail(Vec<(String, String)>);

impl Trail {
    fn enter(&mut self, name: &str, container: &str) {
        self.0.push((name.to_owned(), container.to_owned()));
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    /// The kind of module that owns the parameter, and the parameter's field.
    fn owner(&self) -> (&str, &str) {
        self.0.last().map_or(("", ""), |(field, container)| (container, field))
    }
}

impl Naming {
    /// How the parameter at `trail` stands in the file.
    ///
    /// # Panics
    /// If the table lacks the module.
    fn locate(&self, trail: &Trail, dims: &[usize]) -> FileTensor {
        let path: Vec<&str> = trail.0[..trail.0.len() - 1].iter().map(|(name, _)| name.as_str()).collect();
        let module = self.modules.iter().find_map(|(ours, theirs)| rename(&path, ours, theirs));
        let module = module.unwrap_or_else(|| panic!("no name for module {}", path.join(".")));
        let (owner, field) = trail.owner();
        let field = match field {
            "gamma" => "weight",
            "beta" => "bias",
            other => other,
        };
        let name = format!("{module}.{field}");
        let transposed = owner == "Struct:Linear" && dims.len() == 2;
        let shape = match self.shapes.iter().find(|(special, _)| *special == name) {
            Some((_, shape)) => shape.clone(),
            None if transposed => vec![dims[1], dims[0]],
            None => dims.to_vec(),
        };
        FileTensor { name, shape, transposed }
    }
}

/// `theirs` with the indices that `path` has in the place of the stars of `ours`, if it is such a path.
fn rename(path: &[&str], ours: &str, theirs: &str) -> Option<String> {
    let mut pattern = ours.split('.');
    let mut indices = Vec::new();
    for segment in path {
        match pattern.next()? {
            "*" => indices.push(*segment),
            expected if expected == *segment => {}
            _ => return None,
        }
    }
    if pattern.next().is_some() {
        return None;
    }
    let mut indices = indices.into_iter();
    let segments = theirs.split('.').map(|s| if s == "*" { indices.next().unwrap_or(s) } else { s });
    Some(segments.collect::<Vec<_>>().join("."))
}

/// Puts values into a parameter whose own initial ones were never made.
fn fill<const D: usize>(param: Param<Tensor<D>>, data: TensorData) -> Param<Tensor<D>> {
    let tensor = Tensor::from_data(data, (&param.lazy_device(), DType::F32));
    let id = param.id;
    param.transform_for_load(tensor, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_renamed_by_pattern() {
        let path = ["text", "layers", "12", "attn", "q"];
        let renamed = rename(&path, "text.layers.*.attn.q", "model.layers.*.self_attn.q_proj");
        assert_eq!(renamed.as_deref(), Some("model.layers.12.self_attn.q_proj"));
        assert_eq!(rename(&path, "text.layers.*.attn", "a.*"), None);
        assert_eq!(rename(&path[..4], "text.layers.*.attn.q", "a.*"), None);
    }
}
