//! Tokenizer: text to token ids and back, by byte-level BPE as a checkpoint folder describes it.

use crate::ProcessorError;
use crate::files::{CheckpointFiles, TOKENIZER};
use crate::tokenizer_file::Patterns;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::{
    AddedToken, NormalizedString, Normalizer, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior,
};
use tokenizers::{Model, PreTokenizerWrapper};

/// Pre-tokenizer pattern of Qwen, for folders that hold only `vocab.json` and `merges.txt`.
const WORDS: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Tokenizer: text to token ids and back.
///
/// Text comes in two kinds. In a rendered template, special tokens such as `<|im_end|>` act
/// ([`encode`](Self::encode)); in text that a person or a model wrote they are nothing but
/// characters ([`encode_plain`](Self::encode_plain)). Tokens that are added but not special, such
/// as `<think>`, are one id in both and survive decoding.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    patterns: Patterns,
    dir: PathBuf,
    special: Vec<String>,
    eos: Vec<u32>,
    pad: u32,
}

/// Token ids in `generation_config.json`, `config.json` and its `text_config`.
#[derive(Default, Deserialize)]
struct TokenIds {
    eos_token_id: Option<OneOrMore>,
    pad_token_id: Option<u32>,
    text_config: Option<Box<TokenIds>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(u32),
    More(Vec<u32>),
}

/// Settings in `tokenizer_config.json` that are read here.
#[derive(Default, Deserialize)]
struct TokenizerConfig {
    eos_token: Option<TokenName>,
    pad_token: Option<TokenName>,
    #[serde(default)]
    added_tokens_decoder: BTreeMap<u32, AddedToken>,
}

/// A token in a configuration: its text, or an object that has it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum TokenName {
    Text(String),
    Token { content: String },
}

impl TokenName {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Token { content: text } => text,
        }
    }
}

impl fmt::Debug for Tokenizer {
    /// Folder and size of the tokenizer; the vocabulary itself would fill many pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({}, {} tokens)", self.dir.display(), self.inner.get_vocab_size(true))
    }
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a checkpoint folder, or `vocab.json`, `merges.txt` and
    /// `tokenizer_config.json`.
    ///
    /// The end-of-sequence and padding ids come from `generation_config.json`, else `config.json`,
    /// else by name from `tokenizer_config.json`.
    ///
    /// # Errors
    /// If files are missing or malformed, or lack the end-of-sequence or padding token; if
    /// `tokenizer.json` is not of byte-level BPE, or has a pattern whose matching might not end.
    pub fn from_pretrained(dir: &Path) -> Result<Self, ProcessorError> {
        Self::from_files(&CheckpointFiles::read(dir)?)
    }

    pub(crate) fn from_files(files: &CheckpointFiles) -> Result<Self, ProcessorError> {
        let dir = files.dir().to_owned();
        let config: TokenizerConfig = files.json("tokenizer_config.json")?.unwrap_or_default();
        let (inner, patterns) = match files.tokenizer()? {
            Some(json) => {
                let patterns = Patterns::check(&json, &dir.join(TOKENIZER))?;
                let read = tokenizers::Tokenizer::from_bytes(&json);
                (read.map_err(|source| ProcessorError::Tokenizer { dir: dir.clone(), source })?, patterns)
            }
            None => (from_vocab_and_merges(&dir, &config.added_tokens_decoder)?, Patterns::of(WORDS)),
        };
        let added = inner.get_added_tokens_decoder();
        let special = added.into_values().filter(|token| token.special).map(|token| token.content).collect();
        let mut tokenizer = Self { inner, patterns, dir, special, eos: Vec::new(), pad: 0 };
        let generation: TokenIds = files.json("generation_config.json")?.unwrap_or_default();
        let model: TokenIds = files.json("config.json")?.unwrap_or_default();
        let text = model.text_config.as_deref();
        let eos =
            [Some(&generation), Some(&model), text].into_iter().flatten().find_map(|ids| ids.eos_token_id.as_ref());
        let pad = [Some(&generation), Some(&model), text].into_iter().flatten().find_map(|ids| ids.pad_token_id);
        tokenizer.eos = match eos {
            Some(OneOrMore::One(id)) => vec![*id],
            Some(OneOrMore::More(ids)) if !ids.is_empty() => ids.clone(),
            _ => vec![tokenizer.named(config.eos_token, "eos_token_id (generation_config.json) or eos_token")?],
        };
        tokenizer.pad = match pad {
            Some(id) => id,
            None => tokenizer.named(config.pad_token, "pad_token_id (generation_config.json) or pad_token")?,
        };
        Ok(tokenizer)
    }

    fn named(&self, token: Option<TokenName>, needed: &'static str) -> Result<u32, ProcessorError> {
        let name = token.ok_or_else(|| ProcessorError::Missing { dir: self.dir.clone(), needed })?;
        self.token_id(&name.into_text())
    }

    /// Id of a token, special or not.
    ///
    /// # Errors
    /// If there is no such token.
    pub fn token_id(&self, token: &str) -> Result<u32, ProcessorError> {
        let missing = || ProcessorError::MissingToken { dir: self.dir.clone(), token: token.to_owned() };
        self.inner.token_to_id(token).ok_or_else(missing)
    }

    /// End-of-sequence tokens, which end a completion; at least one.
    pub fn eos_token_ids(&self) -> &[u32] {
        &self.eos
    }

    /// Padding token of short rows.
    pub fn pad_token_id(&self) -> u32 {
        self.pad
    }

    /// Encodes text in which special tokens act, as the reference encodes all text. No tokens are
    /// added.
    ///
    /// # Errors
    /// If the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ProcessorError> {
        self.encode_marked(text, None)
    }

    /// Encodes text in which special tokens are nothing but characters. Equal to
    /// [`encode`](Self::encode) for text without special tokens.
    ///
    /// # Errors
    /// If the tokenizer refuses the text.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, ProcessorError> {
        let mark = unused_char([text]);
        self.encode_marked(&self.disarm(text, mark), Some(mark))
    }

    /// Decodes token ids to text. Ids without a token give nothing.
    ///
    /// # Errors
    /// If the tokenizer cannot put the tokens together.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String, ProcessorError> {
        self.inner.decode(ids, skip_special_tokens).map_err(|source| self.refused(source))
    }

    /// Serialises the tokenizer as the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// If the tokenizer cannot be serialised.
    pub(crate) fn to_json(&self) -> Result<String, ProcessorError> {
        self.inner.to_string(false).map_err(|source| self.refused(source))
    }

    /// Escapes special tokens: puts `mark` into every one that stands in `text` or could be
    /// completed by the text after it, so that a template can carry `text` and
    /// [`encode_marked`](Self::encode_marked) takes it for plain text.
    pub(crate) fn disarm<'a>(&self, text: &'a str, mark: char) -> Cow<'a, str> {
        let begins = |rest: &str| self.special.iter().any(|token| rest.starts_with(token) || token.starts_with(rest));
        let mut starts = text.char_indices().filter(|(at, _)| begins(&text[*at..])).peekable();
        if starts.peek().is_none() {
            return Cow::Borrowed(text);
        }
        let mut disarmed = String::with_capacity(text.len() + 16);
        let mut copied = 0;
        for (at, first) in starts {
            let end = at + first.len_utf8();
            disarmed.push_str(&text[copied..end]);
            disarmed.push(mark);
            copied = end;
        }
        disarmed.push_str(&text[copied..]);
        Cow::Owned(disarmed)
    }

    /// Encodes text in which special tokens act, except those that hold the mark; the mark is then
    /// left out.
    pub(crate) fn encode_marked(&self, text: &str, mark: Option<char>) -> Result<Vec<u32>, ProcessorError> {
        let mark = mark.filter(|mark| text.contains(*mark));
        let normalizer = self.inner.get_normalizer();
        self.patterns.run_through(text).map_err(|error| self.refused(error))?;
        let encode = || {
            let added = self.inner.get_added_vocabulary();
            let mut parts: PreTokenizedString = added.extract_and_normalize(normalizer, text);
            if let Some(mark) = mark {
                let unmark = |part: &mut NormalizedString| {
                    part.filter(|c| c != mark);
                    normalizer.map_or(Ok(()), |normalizer| normalizer.normalize(part))
                };
                parts.normalize(unmark)?;
            }
            if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
                pre_tokenizer.pre_tokenize(&mut parts)?;
            }
            parts.tokenize(|part| self.inner.get_model().tokenize(part.get()))?;
            parts.into_encoding(None, 0, OffsetType::None)
        };
        Ok(encode().map_err(|source| self.refused(source))?.get_ids().to_vec())
    }

    fn refused(&self, source: tokenizers::Error) -> ProcessorError {
        ProcessorError::Tokenizer { dir: self.dir.clone(), source }
    }
}

/// Character that occurs in none of `texts`: of private use, so that it is neither a letter nor
/// composes with one.
pub(crate) fn unused_char<'a>(texts: impl IntoIterator<Item = &'a str> + Clone) -> char {
    let unused = |c: &char| !texts.clone().into_iter().any(|text| text.contains(*c));
    // A text that holds all 131 000 of these characters has nothing to protect; it loses one.
    ('\u{F0000}'..='\u{FFFFD}').chain('\u{100000}'..='\u{10FFFD}').find(unused).unwrap_or('\u{F0000}')
}

/// Builds the tokenizer of a folder without `tokenizer.json`, as the Qwen converters do.
fn from_vocab_and_merges(
    dir: &Path,
    added: &BTreeMap<u32, AddedToken>,
) -> Result<tokenizers::Tokenizer, ProcessorError> {
    let failed = |source| ProcessorError::Tokenizer { dir: dir.to_owned(), source };
    let [vocab, merges] = ["vocab.json", "merges.txt"].map(|name| dir.join(name));
    if !vocab.exists() || !merges.exists() {
        let needed = "tokenizer.json, nor vocab.json with merges.txt";
        return Err(ProcessorError::Missing { dir: dir.to_owned(), needed });
    }
    let bpe = BPE::from_file(&vocab.to_string_lossy(), &merges.to_string_lossy()).build().map_err(failed)?;
    let words = Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Isolated, false);
    let bytes = ByteLevel::new(false, false, false);
    let steps = vec![PreTokenizerWrapper::from(words.map_err(failed)?), PreTokenizerWrapper::from(bytes)];
    let mut tokenizer = tokenizers::Tokenizer::new(bpe);
    tokenizer
        .with_normalizer(Some(NFC))
        .with_pre_tokenizer(Some(Sequence::new(steps)))
        .with_post_processor(Some(bytes))
        .with_decoder(Some(ByteLevel::default()));
    // In order of their ids, since ids are assigned in that order.
    for (&expected, token) in added {
        tokenizer.add_tokens(std::slice::from_ref(token));
        let found = tokenizer.token_to_id(&token.content).unwrap_or(u32::MAX);
        if found != expected {
            let token = token.content.clone();
            return Err(ProcessorError::TokenId { dir: dir.to_owned(), token, found, expected });
        }
    }
    Ok(tokenizer)
}
