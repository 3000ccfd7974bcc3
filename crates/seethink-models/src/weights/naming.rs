//! Names of modules in checkpoints.

use crate::{Parameter, Part};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Naming of a family's modules in its checkpoints.
#[derive(Debug, Clone)]
pub struct Naming {
    /// Module names, ours and the checkpoint's; `*` is an index.
    modules: Vec<(&'static str, String)>,
    /// Shapes of tensors, by the checkpoint's name, that differ between the file and our modules,
    /// values in the same order.
    shapes: Vec<(&'static str, Vec<usize>)>,
    /// Prefixes of hub names, and their replacements in the other dialect; the first match counts.
    tree: &'static [(&'static str, &'static str)],
}

/// Dialect: the one of a family's two sets of names that a checkpoint uses and is written back in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Names of published checkpoints.
    Hub,
    /// Names of the reference's module tree, which newer versions and some trainers write.
    Tree,
}

/// A parameter in its form in the file.
pub(super) struct FileTensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// True if the file has the transpose: linear weights are `[out, in]` in the file and
    /// `[in, out]` in burn.
    pub(super) transposed: bool,
}

/// Path of a visitor in a module tree. Enums are no level of their own.
#[derive(Debug, Default)]
pub(super) struct Trail(Vec<(String, String)>);

impl Trail {
    pub(super) fn enter(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.push((name.to_owned(), container.to_owned()));
        }
    }

    pub(super) fn exit(&mut self, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.pop();
        }
    }

    /// Kind of the module that owns the parameter, and the parameter's field.
    pub(super) fn owner(&self) -> (&str, &str) {
        self.0.last().map_or(("", ""), |(field, container)| (container, field))
    }

    fn part(&self) -> Part {
        let level = |i: usize| self.0.get(i).map_or("", |(name, _)| name.as_str());
        match (level(0), level(1)) {
            ("vision", "projector") => Part::Projector,
            ("vision", _) => Part::VisionEncoder,
            _ => Part::LanguageModel,
        }
    }
}

impl Naming {
    /// Creates the naming of a decoder whose modules are under `text` in the file, of the head, and
    /// of the vision side.
    pub(crate) fn new(text: &str, head: &str, vision: &[(&'static str, &'static str)]) -> Self {
        const TEXT: [(&str, &str); 13] = [
            ("text.embed", "embed_tokens"),
            ("text.layers.*.norm1", "layers.*.input_layernorm"),
            ("text.layers.*.attn.q", "layers.*.self_attn.q_proj"),
            ("text.layers.*.attn.k", "layers.*.self_attn.k_proj"),
            ("text.layers.*.attn.v", "layers.*.self_attn.v_proj"),
            ("text.layers.*.attn.o", "layers.*.self_attn.o_proj"),
            ("text.layers.*.attn.q_norm", "layers.*.self_attn.q_norm"),
            ("text.layers.*.attn.k_norm", "layers.*.self_attn.k_norm"),
            ("text.layers.*.norm2", "layers.*.post_attention_layernorm"),
            ("text.layers.*.mlp.gate", "layers.*.mlp.gate_proj"),
            ("text.layers.*.mlp.up", "layers.*.mlp.up_proj"),
            ("text.layers.*.mlp.down", "layers.*.mlp.down_proj"),
            ("text.norm", "norm"),
        ];
        let vision = vision.iter().map(|&(ours, theirs)| (ours, theirs.to_owned()));
        let text = TEXT.into_iter().map(|(ours, theirs)| (ours, format!("{text}.{theirs}")));
        let modules = vision.chain(text).chain([("text.head", head.to_owned())]).collect();
        Self { modules, shapes: Vec::new(), tree: &[] }
    }

    /// Sets the shape in which the file keeps a tensor.
    #[must_use]
    pub(crate) fn with_shape(mut self, name: &'static str, shape: Vec<usize>) -> Self {
        self.shapes.push((name, shape));
        self
    }

    /// Adds a second set of names, by prefixes.
    #[must_use]
    pub(crate) fn with_tree(self, tree: &'static [(&'static str, &'static str)]) -> Self {
        Self { tree, ..self }
    }

    /// Dialect of a checkpoint: that in which it has token embeddings.
    pub(crate) fn dialect_of(&self, has_tensor: impl Fn(&str) -> bool) -> Dialect {
        if has_tensor(&self.module_weight("text.embed", Dialect::Tree)) { Dialect::Tree } else { Dialect::Hub }
    }

    /// Name of the head's weights.
    pub(crate) fn head(&self, dialect: Dialect) -> String {
        self.module_weight("text.head", dialect)
    }

    fn module_weight(&self, ours: &str, dialect: Dialect) -> String {
        let (_, module) = self.modules.iter().find(|(path, _)| *path == ours).expect("every table has it");
        self.say(format!("{module}.weight"), dialect)
    }

    fn say(&self, name: String, dialect: Dialect) -> String {
        if dialect == Dialect::Hub {
            return name;
        }
        let told = self.tree.iter().find_map(|(hub, tree)| Some(format!("{tree}{}", name.strip_prefix(hub)?)));
        told.unwrap_or(name)
    }

    /// Name, shape and layout in the file of the parameter at `trail`.
    ///
    /// # Panics
    /// If the table lacks the module.
    pub(super) fn locate(&self, trail: &Trail, dims: &[usize], dialect: Dialect) -> FileTensor {
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
        FileTensor { name: self.say(name, dialect), shape, transposed }
    }
}

/// Replaces the stars of `theirs` by the indices that `path` has in the place of the stars of
/// `ours`; `None` if `path` does not match.
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

/// Parameters of a model, by their names in the file.
pub(crate) fn parameters<M: Module>(module: &M, naming: &Naming, dialect: Dialect) -> Vec<Parameter> {
    struct List<'a> {
        naming: &'a Naming,
        dialect: Dialect,
        trail: Trail,
        found: Vec<Parameter>,
    }
    impl ModuleVisitor for List<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.trail.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, container: &str) {
            self.trail.exit(container);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let FileTensor { name, shape, transposed } =
                self.naming.locate(&self.trail, &param.lazy_shape(), self.dialect);
            self.found.push(Parameter { id: param.id, name, shape, transposed, part: self.trail.part() });
        }
    }
    let mut list = List { naming, dialect, trail: Trail::default(), found: Vec::new() };
    module.visit(&mut list);
    list.found
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

    #[test]
    fn a_second_dialect_changes_beginnings() {
        let tree = &[("visual.", "model.visual."), ("model.", "model.language_model.")];
        let naming = Naming::new("model", "lm_head", &[("vision.encoder", "visual")]).with_tree(tree);
        let say = |name: &str| naming.say(name.to_owned(), Dialect::Tree);
        assert_eq!(say("visual.blocks.0.norm1.weight"), "model.visual.blocks.0.norm1.weight");
        assert_eq!(say("model.norm.weight"), "model.language_model.norm.weight");
        assert_eq!(naming.head(Dialect::Tree), "lm_head.weight");
    }
}
