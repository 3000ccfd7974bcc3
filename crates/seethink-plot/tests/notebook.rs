//! Notebook about writing a curriculum: its code stands beside it as a script, which runs here
//! because few machines have a kernel for notebooks in Rust.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::process::Command;

#[path = "../../../notebooks/03_write_a_curriculum.rs"]
mod script;

/// Cells of the script: what follows each marker, without the indentation of the function around.
fn script_cells() -> Vec<String> {
    let text = include_str!("../../../notebooks/03_write_a_curriculum.rs");
    let body = text.strip_suffix("    Ok(())\n}\n").expect("the script ends with `Ok(())`");
    let unindented = |line: &str| line.strip_prefix("    ").unwrap_or(line).to_owned();
    let cell = |cell: &str| cell.lines().map(unindented).collect::<Vec<_>>().join("\n").trim().to_owned();
    body.split("    // %%\n").skip(1).map(cell).collect()
}

/// Code cells of the notebook.
fn notebook_cells() -> Vec<Value> {
    let text = include_str!("../../../notebooks/03_write_a_curriculum.ipynb");
    let notebook: Value = serde_json::from_str(text).unwrap();
    let cells = notebook["cells"].as_array().unwrap().iter();
    cells.filter(|cell| cell["cell_type"] == "code").cloned().collect()
}

fn lines(text: &Value) -> impl Iterator<Item = &str> {
    text.as_array().unwrap().iter().map(|line| line.as_str().unwrap())
}

#[test]
fn the_script_runs() {
    script::run().unwrap();
}

#[test]
fn the_notebook_has_the_code_of_the_script() {
    // Lines such as `:dep …` are commands to the kernel.
    let code = |cell: &Value| {
        lines(&cell["source"]).filter(|line| !line.starts_with(':')).collect::<String>().trim().to_owned()
    };
    let (script, notebook) = (script_cells(), notebook_cells());
    for (i, (script, notebook)) in script.iter().zip(&notebook).enumerate() {
        assert_eq!(*script, code(notebook), "code cell {} of the script and of the notebook", i + 1);
    }
    assert_eq!((script.len(), notebook.len()), (7, 7), "code cells of the script and of the notebook");
}

#[test]
fn the_notebook_shows_what_the_script_prints() {
    let mut script = Command::new(std::env::current_exe().unwrap());
    let output = script.args(["the_script_runs", "--exact", "--nocapture"]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let outputs = notebook_cells().into_iter().flat_map(|cell| cell["outputs"].as_array().unwrap().clone());
    let texts: Vec<String> =
        outputs.filter(|output| output["name"] == "stdout").map(|output| lines(&output["text"]).collect()).collect();
    assert_eq!(texts.len(), 4);
    for shown in texts {
        assert!(printed.contains(&shown), "execute the notebook again: it shows\n{shown}\nnot\n{printed}");
    }
}
