//! Conversations to the text that a model was trained on: the Jinja template that its checkpoint brings along.

use crate::files::CheckpointFiles;
use crate::tokenizer::TokenName;
use crate::{Message, ProcessorError};
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Tokens that templates may name, from `tokenizer_config.json`.
const NAMED_TOKENS: [&str; 4] = ["bos_token", "eos_token", "pad_token", "unk_token"];

/// A chat template, compiled.
#[derive(Debug)]
pub struct ChatTemplate {
    path: PathBuf,
    environment: Environment<'static>,
    tokens: BTreeMap<&'static str, String>,
}

/// What a template may be told beside the messages.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateOptions {
    /// End with the opening of the model's turn.
    pub add_generation_prompt: bool,
    /// Variables that particular templates know, such as `add_vision_id`, `tools` or `enable_thinking`.
    pub variables: BTreeMap<String, serde_json::Value>,
}

impl Default for TemplateOptions {
    /// With a generation prompt, without variables.
    fn default() -> Self {
        Self { add_generation_prompt: true, variables: BTreeMap::new() }
    }
}

/// `chat_template` of a JSON file: one template, or several by name.
#[derive(Deserialize)]
struct Holder {
    chat_template: Option<OneOrNamed>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrNamed {
    One(String),
    Named(Vec<Named>),
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

impl Holder {
    fn into_source(self) -> Option<String> {
        match self.chat_template? {
            OneOrNamed::One(source) => Some(source),
            OneOrNamed::Named(all) => all.into_iter().find(|one| one.name == "default").map(|one| one.template),
        }
    }
}

impl ChatTemplate {
    /// Reads the template of a checkpoint folder: `chat_template.jinja`, else `chat_template` in `chat_template.json`, else in
    /// `tokenizer_config.json`.
    ///
    /// # Errors
    /// If there is none, or it does not compile.
    pub fn from_pretrained(dir: &Path) -> Result<Self, ProcessorError> {
        Self::from_files(&CheckpointFiles::read(dir)?)
    }

    pub(crate) fn from_files(files: &CheckpointFiles) -> Result<Self, ProcessorError> {
        let mut found = None;
        if let Some(bytes) = files.bytes("chat_template.jinja") {
            let path = files.dir().join("chat_template.jinja");
            let text = std::str::from_utf8(bytes).map_err(|error| ProcessorError::Read {
                path: path.clone(),
                source: io::Error::new(io::ErrorKind::InvalidData, error),
            })?;
            found = Some((path, text.to_owned()));
        }
        for name in ["chat_template.json", "tokenizer_config.json"] {
            if found.is_none() {
                let source = files.json::<Holder>(name)?.and_then(Holder::into_source);
                found = source.map(|source| (files.dir().join(name), source));
            }
        }
        let needed =
            "chat template (chat_template.jinja, chat_template.json or chat_template in tokenizer_config.json)";
        let (path, source) = found.ok_or_else(|| ProcessorError::Missing { dir: files.dir().to_owned(), needed })?;
        let mut template = Self::compile(path, source)?;
        let config: BTreeMap<String, serde_json::Value> = files.json("tokenizer_config.json")?.unwrap_or_default();
        template.tokens = NAMED_TOKENS
            .into_iter()
            .filter_map(|name| Some((name, serde_json::from_value::<TokenName>(config.get(name)?.clone()).ok()?)))
            .map(|(name, token)| (name, token.into_text()))
            .collect();
        Ok(template)
    }

    fn compile(path: PathBuf, source: String) -> Result<Self, ProcessorError> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        match environment.add_template_owned("chat_template", source) {
            Ok(()) => Ok(Self { path, environment, tokens: BTreeMap::new() }),
            Err(source) => Err(ProcessorError::Template { path, source }),
        }
    }

    /// The text of a conversation.
    ///
    /// # Errors
    /// If the template refuses it.
    pub fn render(&self, messages: &[Message], options: &TemplateOptions) -> Result<String, ProcessorError> {
        let mut context: BTreeMap<&str, Value> = [("tools", Value::from(())), ("documents", Value::from(()))].into();
        context.extend(self.tokens.iter().map(|(name, token)| (*name, Value::from(token))));
        context.extend(options.variables.iter().map(|(name, value)| (name.as_str(), Value::from_serialize(value))));
        context.insert("messages", Value::from_serialize(messages));
        context.insert("add_generation_prompt", options.add_generation_prompt.into());
        let template = self.environment.get_template("chat_template");
        let rendered = template.and_then(|template| template.render(Value::from_serialize(context)));
        rendered.map_err(|source| ProcessorError::Template { path: self.path.clone(), source })
    }
}

/// Python's `json.dumps(value, ensure_ascii=False)`, which is what templates were written for: a space after every comma and
/// colon, and nothing escaped for HTML.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Models see what the reference writes with these at their defaults only.
    let _: (Option<bool>, Option<bool>) = (options.get("ensure_ascii")?, options.get("sort_keys")?);
    options.assert_all_used()?;
    let mut out = Vec::new();
    let indentation = " ".repeat(indent.unwrap_or(0));
    let written = match indent {
        Some(_) => {
            let formatter = serde_json::ser::PrettyFormatter::with_indent(indentation.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced)),
    };
    let failed = |error| Error::new(ErrorKind::BadSerialization, "tojson cannot write this value").with_source(error);
    written.map_err(failed)?;
    Ok(String::from_utf8_lossy(&out).into_owned().into())
}

/// One line, with Python's spaces.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, Role};
    use serde_json::json;

    fn render(source: &str, options: &TemplateOptions) -> Result<String, ProcessorError> {
        let text = Content::Text { text: " <b> ".into() };
        let messages = [Message { role: Role::User, content: vec![Content::Image, text] }];
        ChatTemplate::compile("chat_template.jinja".into(), source.into())?.render(&messages, options)
    }

    #[test]
    fn json_is_pythons() {
        let tool = json!({"name": "a<b>&'ü", "n": [1, 2.5, null, true], "empty": {}});
        let variables = [("tools".to_owned(), json!([tool]))].into();
        let options = TemplateOptions { add_generation_prompt: false, variables };
        let line = render("{{ tools[0] | tojson }}", &options).unwrap();
        assert_eq!(line, r#"{"name": "a<b>&'ü", "n": [1, 2.5, null, true], "empty": {}}"#);
        let indented = render("{{ tools[0].n | tojson(indent=2) }}", &options).unwrap();
        assert_eq!(indented, "[\n  1,\n  2.5,\n  null,\n  true\n]");
    }

    #[test]
    fn templates_see_python() {
        let source = "{% for message in messages %}\n  {% if message.role == 'user' %}\n{{ message.content[1].text.strip() }}\
                      {% if message.content[0].type == 'image' %}!{% endif %}\n  {% endif %}\n{% endfor %}\n\
                      {% if tools is none and add_generation_prompt %}go{% endif %}";
        assert_eq!(render(source, &TemplateOptions::default()).unwrap(), "<b>!go");
    }

    #[test]
    fn refusals_name_the_file_and_the_reason() {
        let refused = render("{{ raise_exception('no images here') }}", &TemplateOptions::default()).unwrap_err();
        let message = refused.to_string();
        assert!(message.contains("chat_template.jinja") && message.contains("no images here"), "{message}");
        let broken = render("{% for %}", &TemplateOptions::default()).unwrap_err().to_string();
        assert!(broken.contains("chat_template.jinja") && broken.contains("syntax error"), "{broken}");
    }
}
