//! Rule for files: no circle of imports within a crate.
//!
//! An import counts where its name is defined, not where it is re-exported: `use super::Name` is an
//! import from the sibling that defines `Name` if the parent only re-exports it. Three kinds of
//! imports are left out: in test modules; of an ancestor's names, since a parent module is one room
//! with its children; and of an `error.rs`, as an error may carry what is at fault.

use super::{Finding, Tree};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, ItemMod, ItemUse, Path, UseTree, Visibility};

/// Imports that may close a circle, because data are recursive: ends of the paths of the file and of
/// the imported file.
const RECURSIVE: &[(&str, &str)] = &[
    // Compositions and stages hold policies, and are policies.
    ("seethink-curriculum/src/compose/band.rs", "seethink-curriculum/src/config.rs"),
    ("seethink-curriculum/src/compose/mix.rs", "seethink-curriculum/src/config.rs"),
    ("seethink-curriculum/src/compose/repeat.rs", "seethink-curriculum/src/config.rs"),
    ("seethink-curriculum/src/compose/replay.rs", "seethink-curriculum/src/config.rs"),
    ("seethink-curriculum/src/compose/warm_start.rs", "seethink-curriculum/src/config.rs"),
    ("seethink-curriculum/src/compose/with.rs", "seethink-curriculum/src/config.rs"),
    ("seethink-curriculum/src/policies/staged.rs", "seethink-curriculum/src/config.rs"),
    ("seethink-curriculum/src/stage.rs", "seethink-curriculum/src/config.rs"),
    // Expressions hold expressions, whatever their kind.
    ("seethink-math/src/matrices.rs", "seethink-math/src/compare.rs"),
    ("seethink-math/src/relations.rs", "seethink-math/src/compare.rs"),
    ("seethink-math/src/sets.rs", "seethink-math/src/compare.rs"),
    ("seethink-math/src/values.rs", "seethink-math/src/compare.rs"),
];

/// Reports every circle of imports between files of a crate.
pub(crate) fn circles(tree: &Tree) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, Modules> = BTreeMap::new();
    for (file, text) in tree.with_extension("rs") {
        let Some((folder, path)) = file.path.split_once("/src/") else { continue };
        let Ok(parsed) = syn::parse_file(text) else { continue };
        crates.entry(folder).or_default().insert(&file.path, path, &parsed);
    }
    crates.values().flat_map(Modules::findings).collect()
}

/// Module path of a file, from the root of its crate.
type ModulePath = Vec<String>;

/// Files of a crate by their module path.
#[derive(Default)]
struct Modules(BTreeMap<ModulePath, Module>);

/// Names of a file.
struct Module {
    file: String,
    /// Names that the file defines.
    defined: BTreeSet<String>,
    /// Imported names by their name in the file; `*` for all names of a module.
    imported: Vec<(String, ModulePath)>,
    /// Paths that the file uses, re-exports not included.
    used: BTreeSet<ModulePath>,
}

impl Modules {
    fn insert(&mut self, file: &str, path: &str, parsed: &File) {
        let mut names: ModulePath = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if matches!(names.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            names.pop();
        }
        let mut reader =
            Reader { module: names.clone(), defined: BTreeSet::new(), imported: Vec::new(), used: BTreeSet::new() };
        reader.visit_file(parsed);
        let Reader { defined, imported, used, .. } = reader;
        self.0.insert(names, Module { file: file.to_owned(), defined, imported, used });
    }

    /// File that defines what a path names; `None` for names of other crates.
    fn definition(&self, path: &[String], depth: usize) -> Option<(&ModulePath, &Module)> {
        // Re-exports of each other would go round for ever.
        if depth == 0 {
            return None;
        }
        let n = (0..=path.len()).rev().find(|&n| self.0.contains_key(&path[..n]))?;
        let (at, module) = self.0.get_key_value(&path[..n])?;
        let Some((name, rest)) = path[n..].split_first() else { return Some((at, module)) };
        if module.defined.contains(name) {
            return Some((at, module));
        }
        module.imported.iter().find_map(|(imported, target)| {
            let path: ModulePath = match imported == "*" {
                true => target.iter().chain([name]).chain(rest).cloned().collect(),
                false if imported == name => target.iter().chain(rest).cloned().collect(),
                false => return None,
            };
            self.definition(&path, depth - 1)
        })
    }

    /// Files that a file imports from, with the imported names.
    fn imports(&self, path: &ModulePath, module: &Module) -> Imports<'_> {
        let mut imports = Imports::new();
        if module.file.ends_with("/error.rs") {
            return imports;
        }
        for used in &module.used {
            let Some((at, definition)) = self.definition(used, 8) else { continue };
            let (file, name) = (definition.file.as_str(), used.last().map_or("", String::as_str));
            let is_recursive = RECURSIVE.iter().any(|(from, to)| module.file.ends_with(from) && file.ends_with(to));
            if !path.starts_with(at.as_slice()) && !is_recursive {
                imports.entry(file).or_default().insert(name.to_owned());
            }
        }
        imports
    }

    fn findings(&self) -> Vec<Finding> {
        let imports: BTreeMap<&str, Imports<'_>> =
            self.0.iter().map(|(path, module)| (module.file.as_str(), self.imports(path, module))).collect();
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            imports.keys().map(|file| (*file, reach(&imports, file))).collect();
        let closed = reached.iter().filter(|(file, others)| others.contains(*file));
        let circle = |(file, others): (&&str, &BTreeSet<&str>)| -> BTreeSet<String> {
            others.iter().filter(|other| reached[*other].contains(file)).map(|other| (*other).to_owned()).collect()
        };
        let circles: BTreeSet<BTreeSet<String>> = closed.map(circle).collect();
        circles.iter().map(|circle| finding(circle, &imports)).collect()
    }
}

/// Imported names by the file that defines them.
type Imports<'a> = BTreeMap<&'a str, BTreeSet<String>>;

/// Files that are imported by a file, directly or through others.
fn reach<'a>(imports: &BTreeMap<&'a str, Imports<'a>>, file: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = imports[file].keys().copied().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(imports[next].keys());
        }
    }
    reached
}

fn finding(circle: &BTreeSet<String>, imports: &BTreeMap<&str, Imports<'_>>) -> Finding {
    let mut message = "a circle of imports:".to_owned();
    for from in circle {
        for (to, names) in imports[from.as_str()].iter().filter(|(to, _)| circle.contains(**to)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            message += &format!("\n  {from} takes {} from {to}", names.join(", "));
        }
    }
    Finding { path: circle.first().cloned().unwrap_or_default(), line: None, message }
}

/// Collects the names of a file.
struct Reader {
    module: ModulePath,
    defined: BTreeSet<String>,
    imported: Vec<(String, ModulePath)>,
    used: BTreeSet<ModulePath>,
}

impl Reader {
    /// Path from the root of the crate; a path of another crate stays relative to this module,
    /// where nothing has its name.
    fn absolute(&self, path: &[String]) -> ModulePath {
        let mut absolute = self.module.clone();
        for (i, name) in path.iter().enumerate() {
            match name.as_str() {
                "crate" if i == 0 => absolute.clear(),
                "self" if i == 0 => {}
                "super" => drop(absolute.pop()),
                _ => absolute.push(name.clone()),
            }
        }
        absolute
    }

    fn import(&mut self, tree: &UseTree, path: &mut Vec<String>, is_export: bool) {
        let mut take = |name: String, path: &[String]| {
            let target = self.absolute(path);
            if !is_export {
                self.used.insert(target.clone());
            }
            self.imported.push((name, target));
        };
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.import(&tree.tree, path, is_export);
                path.pop();
            }
            UseTree::Name(tree) if tree.ident == "self" => take(path.last().cloned().unwrap_or_default(), path),
            UseTree::Name(tree) => {
                let name = tree.ident.to_string();
                path.push(name.clone());
                take(name, path);
                path.pop();
            }
            UseTree::Rename(tree) => {
                path.push(tree.ident.to_string());
                take(tree.rename.to_string(), path);
                path.pop();
            }
            UseTree::Glob(_) => take("*".into(), path),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, path, is_export)),
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let name = match item {
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Macro(item) => item.ident.as_ref(),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            _ => None,
        };
        self.defined.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_test(&item.attrs) {
            self.import(&item.tree, &mut Vec::new(), !matches!(item.vis, Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.used.insert(self.absolute(&names));
        }
        visit::visit_path(self, path);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    #[test]
    fn files_that_import_each_other_are_found_through_re_exports_and_paths() {
        let parent = ("c/src/lib.rs", "mod a; mod b; pub use a::A; pub use b::B;");
        let a = ("c/src/a.rs", "use crate::B; pub struct A(B);");
        let b = ("c/src/b.rs", "pub struct B; impl B { fn a() { super::A::new() } }");
        assert_eq!(places(circles, &[parent, a, b]), [("c/src/a.rs".to_owned(), None)]);
        let in_a_test = ("c/src/b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::A; }");
        assert_eq!(places(circles, &[parent, a, in_a_test]), []);
        let alone = ("c/src/b.rs", "use std::path::Path; pub struct B; impl B { fn f() { Path::new(Self::X) } }");
        assert_eq!(places(circles, &[parent, a, alone]), []);
        let an_error = ("c/src/error.rs", "use crate::A; pub enum Error { At(A) }");
        let parent = ("c/src/lib.rs", "mod a; mod error; pub use a::A; pub use error::Error;");
        assert_eq!(places(circles, &[parent, ("c/src/a.rs", "use crate::Error; pub struct A;"), an_error]), []);
    }

    #[test]
    fn a_circle_through_three_files_is_one_finding_and_a_parent_is_one_room_with_its_children() {
        let parent = ("c/src/x/mod.rs", "mod a; mod b; mod c; pub fn parent() { a::one() }");
        let a = ("c/src/x/a.rs", "use super::{b, parent}; pub fn one() { b::two(); parent() }");
        let b = ("c/src/x/b.rs", "use super::c::*; pub fn two() { three() }");
        let c = ("c/src/x/c.rs", "pub fn three() { super::a::one() }");
        let found = |c| places(circles, &[("c/src/lib.rs", "mod x;"), parent, a, b, c]);
        assert_eq!(found(c), [("c/src/x/a.rs".to_owned(), None)]);
        assert_eq!(found(("c/src/x/c.rs", "pub fn three() { super::parent() }")), []);
    }
}
