//! Chat templates: the Jinja template of a checkpoint, which renders conversations to the text that
//! its model was trained on.

mod limits;

pub use limits::{TEMPLATE_BYTES, TEMPLATE_FUEL};

use crate::files::CheckpointFiles;
use crate::tokenizer::TokenName;
use crate::{Message, ProcessorError};
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Names of tokens that templates may use, from `tokenizer_config.json`.
const NAMED_TOKENS: [&str; 4] = ["bos_token", "eos_token", "pad_token", "unk_token"];

/// Name of the template in the environment.
const NAME: &str = "chat_template";

/// A compiled chat template.
///
/// A template is a program that comes with a checkpoint, so it runs within limits:
/// [`TEMPLATE_FUEL`] instructions and [`TEMPLATE_BYTES`] of text, intermediate texts included. It
/// has no access to files, and the filters `batch`, `chain`, `format`, `indent`, `pprint`, `slice`
/// and `zip` of Jinja, which no released template of the families uses, are not available.
#[derive(Debug)]
pub struct ChatTemplate {
    path: PathBuf,
    environment: Environment<'static>,
    tokens: BTreeMap<&'static str, String>,
}

/// Options of a rendering, beside the messages.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateOptions {
    /// True to end with the opening of the model's turn.
    pub add_generation_prompt: bool,
    /// Template variables, such as `add_vision_id`, `tools` or `enable_thinking`.
    pub variables: BTreeMap<String, serde_json::Value>,
}

impl Default for TemplateOptions {
    /// Options with a generation prompt and without variables.
    fn default() -> Self {
        Self { add_generation_prompt: true, variables: BTreeMap::new() }
    }
}

/// JSON file with a `chat_template`: one template, or several by name.
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
    /// Reads the template of a checkpoint folder: `chat_template.jinja`, else `chat_template` in
    /// `chat_template.json`, else in `tokenizer_config.json`.
    ///
    /// # Errors
    /// If there is no template, or it does not compile.
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
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        match limits::add_template(&mut environment, NAME, source) {
            Ok(()) => Ok(Self { path, environment, tokens: BTreeMap::new() }),
            Err(source) => Err(ProcessorError::Template { path, source }),
        }
    }

    /// Renders a conversation as text.
    ///
    /// # Errors
    /// If the template refuses the conversation, or exceeds its limits.
    pub fn render(&self, messages: &[Message], options: &TemplateOptions) -> Result<String, ProcessorError> {
        let mut context: BTreeMap<&str, Value> = [("tools", Value::from(())), ("documents", Value::from(()))].into();
        context.extend(self.tokens.iter().map(|(name, token)| (*name, Value::from(token))));
        context.extend(options.variables.iter().map(|(name, value)| (name.as_str(), Value::from_serialize(value))));
        context.insert("messages", Value::from_serialize(messages));
        context.insert("add_generation_prompt", options.add_generation_prompt.into());
        let rendered = limits::render(&self.environment, NAME, Value::from_serialize(context));
        rendered.map_err(|source| ProcessorError::Template { path: self.path.clone(), source })
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
    fn a_template_runs_for_as_long_as_it_is_allowed() {
        let forever = "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}{% set d = c %}\
                       {% endfor %}{% endfor %}{% endfor %}";
        let message = render(forever, &TemplateOptions::default()).unwrap_err().to_string();
        assert!(
            message.contains("chat_template.jinja") && message.contains("more than 1000000 instructions"),
            "{message}"
        );
        // Printed text counts against the instructions.
        let long = format!("{{% for a in range(100000) %}}{}{{% endfor %}}", "x".repeat(10_000));
        let message = render(&long, &TemplateOptions::default()).unwrap_err().to_string();
        assert!(message.contains("more than 13421 instructions"), "{message}");
        let itself = "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}";
        let message = render(itself, &TemplateOptions::default()).unwrap_err().to_string();
        assert!(message.contains("nested more than 64 times"), "{message}");
        let macros = "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}";
        assert!(render(macros, &TemplateOptions::default()).is_err());
    }

    #[test]
    fn a_template_makes_as_much_text_as_it_is_allowed() {
        let doubled = |step: &str| {
            format!(
                "{{% set ns = namespace(x=['a']) %}}{{% for i in range(60) %}}{{% set ns.x = {step} %}}{{% endfor %}}"
            )
        };
        let text = |step: &str| doubled(step).replace("['a']", "'a'");
        let printed = "{% for i in range(100000) %}{{ messages[0].content[1].text * 1000 }}{% endfor %}";
        for source in [
            "{{ 'a' * 1000000000 }}".to_owned(),
            "{{ 1000000000 * 'a' }}".to_owned(),
            "{{ ('a' * 90000000) ~ ('a' * 90000000) }}".to_owned(),
            "{{ [0] * 100000000000 }}".to_owned(),
            "{% set x = 'a' * 1000000 %}{% for i in range(1000) %}{{ x }}{% endfor %}".to_owned(),
            "{% set x = 'a' * 1000000 %}{{ x.replace('a', x) }}".to_owned(),
            "{% set x = 'a' * 1000000 %}{{ x | replace('a', x) }}".to_owned(),
            "{% set x = 'a' * 10000 %}{{ x.join(x | list) }}".to_owned(),
            "{% set x = 'a' * 10000 %}{{ range(100000) | join(x) }}".to_owned(),
            "{{ [1] | tojson(indent=1000000000) }}".to_owned(),
            text("ns.x ~ ns.x"),
            text("ns.x + ns.x"),
            text("ns.x * 2"),
            text("[ns.x, ns.x] | join"),
            text("[ns.x, ns.x] | string"),
            text("[ns.x, ns.x] | tojson"),
            text("ns.x.replace('a', 'aa')"),
            doubled("ns.x + ns.x"),
            doubled("ns.x * 2"),
            printed.to_owned(),
        ] {
            let message = render(&source, &TemplateOptions::default()).expect_err(&source).to_string();
            assert!(message.contains("makes more than 128 MiB of text"), "{source}: {message}");
        }
    }

    #[test]
    fn operators_that_count_do_what_jinjas_do() {
        let mut plain = Environment::new();
        plain.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        for source in [
            "{{ 1 + 2 }} {{ 1.5 + 2 }} {{ 'a' + 'b' }} {{ [1] + [2, 3] }} {{ 2 * 3 }} {{ 1.5 * 2 }}",
            "{{ 'ab' * 2 }} {{ 2 * 'ab' }} {{ [1, 2] * 2 }} {{ 'a' * 0 }} {{ [1] * 0 }}",
            "{{ 'a' ~ 1 ~ none ~ missing ~ [1, 'b'] ~ true ~ {'a': 1} }}",
            "{{ 'a-b-c'.replace('-', '+') }} {{ 'aXa' | replace('X', 1) }} {{ '-'.join(['a', 'b']) }}",
            "{{ [1, 2] | join(', ') }} {{ ['a', 'b'] | join }} {{ 5 | string }} {{ [none, 'x'] | string }}",
            "{{ 'abc' | list }} {{ {'a': 1} | list }} {{ ['x', missing] | length }} {{ range(3) | list }}",
            "{{ none }}{{ missing }}{{ true }}{{ '<b>&' }}{{ [1, 'x'] }}{{ 1.0 }}",
            "{% set ns = namespace(n=0) %}{% for m in [1, 2] %}{% set ns.n = ns.n + m %}{% endfor %}{{ ns.n }}",
            "{% block b %}{{ 'x' ~ 'y' }}{% endblock %}{% macro m(a) %}{{ a + 1 }}{% endmacro %}{{ m(2) }}",
            "{% set x %}a{{ 1 }}{% endset %}{{ x ~ x }}{{ 'A b'.lower().split(' ')[-1].strip() }}",
        ] {
            let expected = plain.render_str(source, ()).expect(source);
            assert_eq!(render(source, &TemplateOptions::default()).expect(source), expected, "{source}");
        }
        for source in ["{{ 'a' + 1 }}", "{{ 'a' * 'b' }}", "{{ [1] * 1.5 }}", "{{ 1 + none }}", "{{ 'x'.format(1) }}"] {
            assert!(render(source, &TemplateOptions::default()).is_err(), "{source}");
        }
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
