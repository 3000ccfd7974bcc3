//! Comparison of prompts: conversations to tokens and positions, and texts to tokens and back.

use super::pictures;
use super::reference::{Reference, get};
use super::table::Table;
use anyhow::{Context, Result, bail};
use seethink::core::Image;
use seethink::data::Alpha;
use seethink::models::{Content, Message, Role, TemplateOptions, VlmProcessor};
use serde_json::Value;

pub(super) fn compare(reference: &Reference, processor: &VlmProcessor, table: &mut Table) -> Result<()> {
    for (name, case) in reference.json("prompts").as_object().context("prompts.json is no object")? {
        compare_prompt(reference, processor, table, name, case).with_context(|| format!("prompts.json, {name}"))?;
    }
    for case in reference.json("tokenizer_cases").as_array().context("tokenizer_cases.json is no list")? {
        let text: String = get(case, "text")?;
        let ids = processor.tokenizer().encode(&text)?;
        table.equal("tokens of texts", &text, &ids, &get::<Vec<u32>>(case, "ids")?);
        for (skip_special, key) in [(false, "decoded"), (true, "decoded_skip_special")] {
            let found = processor.tokenizer().decode(&ids, skip_special)?;
            table.equal("texts of tokens", &text, &[found], &[get::<String>(case, key)?]);
        }
    }
    Ok(())
}

fn compare_prompt(
    reference: &Reference,
    processor: &VlmProcessor,
    table: &mut Table,
    name: &str,
    case: &Value,
) -> Result<()> {
    let add_generation_prompt = get(case, "add_generation_prompt")?;
    let mut options = TemplateOptions { add_generation_prompt, ..TemplateOptions::default() };
    if let Some(flag) = case.get("add_vision_id") {
        options.variables.insert("add_vision_id".to_owned(), flag.clone());
    }
    let messages = messages(case)?;
    let names: Vec<String> = get(case, "images")?;
    let images =
        names.iter().map(|name| pictures::load(reference, name, Alpha::Drop)).collect::<Result<Vec<Image>>>()?;
    let rendered = processor.render(&messages, &options)?;
    table.equal("rendered prompts", name, &[rendered], &[get::<String>(case, "prompt")?]);
    let prompt = processor.encode_with(&messages, &images, &options)?;
    table.equal("token ids of prompts", name, &prompt.tokens, &get::<Vec<u32>>(case, "input_ids")?);
    let expanded = processor.tokenizer().decode(&prompt.tokens, false)?;
    table.equal("expanded prompts", name, &[expanded], &[get::<String>(case, "expanded")?]);
    let grids = &prompt.pixels.grids;
    if case.get("image_grid_thw").is_some_and(|grids| !grids.is_null()) {
        table.equal("grids in prompts", name, grids, &get::<Vec<[usize; 3]>>(case, "image_grid_thw")?);
    }
    if case.get("num_tiles").is_some() {
        let tiles: Vec<usize> = grids.iter().map(|grid| grid[0]).collect();
        table.equal("grids in prompts", name, &tiles, &get::<Vec<usize>>(case, "num_tiles")?);
    }
    if case.get("position_ids").is_some() {
        let expected: [Vec<i64>; 3] = get(case, "position_ids")?;
        for (axis, expected) in expected.iter().enumerate() {
            let found: Vec<i64> = prompt.position_ids.iter().map(|position| position[axis]).collect();
            table.equal("positions", name, &found, expected);
        }
        // 4.57 stores the next position less the length of the row.
        let next = get::<i64>(case, "rope_delta")? + prompt.tokens.len() as i64;
        table.equal("positions", name, &[prompt.next_position], &[next]);
    } else {
        let expected: Vec<[i64; 3]> = (0..prompt.tokens.len() as i64).map(|position| [position; 3]).collect();
        table.equal("positions", name, &prompt.position_ids, &expected);
    }
    Ok(())
}

/// Messages of a conversation of the reference.
pub(super) fn messages(case: &Value) -> Result<Vec<Message>> {
    let text = |text: &Value| Content::Text { text: text.as_str().unwrap_or_default().to_owned() };
    let content = |content: &Value| match content {
        Value::Array(pieces) => pieces
            .iter()
            .map(|piece| if piece["type"] == "image" { Content::Image } else { text(&piece["text"]) })
            .collect(),
        whole => vec![text(whole)],
    };
    let message = |one: &Value| {
        let role = match one["role"].as_str() {
            Some("system") => Role::System,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            other => bail!("unknown role {other:?}"),
        };
        Ok(Message { role, content: content(&one["content"]) })
    };
    case["messages"].as_array().context("`messages` is no list")?.iter().map(message).collect()
}
