//! Tokenizer of the small models, of the same kind as in the published models.

use anyhow::{Result, ensure};
use seethink::core::Problem;
use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split as SplitAt, SplitPattern};
use tokenizers::processors::byte_level::ByteLevel as ByteLevelProcessor;
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior, TokenizerBuilder};

/// Pre-tokenizer pattern: splits text into words, single digits and punctuation, as the Qwen
/// tokenizers do.
const WORDS: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What a tokenizer is trained on.
pub struct Vocabulary {
    /// Size before the added tokens: the 256 bytes, frequent words and parts of words.
    pub size: usize,
    /// Texts in which words are counted.
    pub texts: Vec<String>,
    /// Texts that are tokens of their own, after the special tokens of turns and images.
    pub added: &'static [&'static str],
}

impl Vocabulary {
    /// Vocabulary of questions and solutions; `after`: what follows each in a prompt.
    pub fn of(
        problems: impl Iterator<Item = Problem>,
        after: &str,
        size: usize,
        added: &'static [&'static str],
    ) -> Self {
        let texts = problems.flat_map(|problem| {
            [problem.prompt.replace(Problem::IMAGE_PLACEHOLDER, ""), problem.solution.unwrap_or_default()]
        });
        // Words are not counted across what is a token of its own.
        let counted = |text: String| {
            added.iter().fold(format!("{text}{after}\nuser\nassistant\n"), |text, added| text.replace(added, "\n"))
        };
        Self { size, texts: texts.map(counted).collect(), added }
    }
}

/// Trains a byte-level BPE.
///
/// `special` are the tokens of turns and images, in the order of their ids; those that the
/// vocabulary adds follow.
///
/// # Errors
/// If a special or an added token is a word of the vocabulary.
pub(super) fn train(vocabulary: &Vocabulary, special: &[&str]) -> Result<tokenizers::Tokenizer> {
    let split = SplitAt::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Isolated, false)
        .map_err(anyhow::Error::from_boxed)?;
    let bytes = ByteLevel::new(false, false, false);
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(Some(NFC))
        .with_pre_tokenizer(Some(Sequence::new(vec![
            PreTokenizerWrapper::Split(split),
            PreTokenizerWrapper::ByteLevel(bytes),
        ])))
        .with_post_processor(Some(ByteLevelProcessor::new(false, false, false)))
        .with_decoder(Some(ByteLevelDecoder::new(false, false, false)))
        .build()
        .map_err(anyhow::Error::from_boxed)?;
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(vocabulary.size)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer.train(&mut trainer, vocabulary.texts.iter()).map_err(anyhow::Error::from_boxed)?;
    let mut tokenizer: tokenizers::Tokenizer = tokenizer.into();
    let special = special.iter().map(|token| (*token, true));
    for (token, special) in special.chain(vocabulary.added.iter().map(|token| (*token, false))) {
        let added = AddedToken::from(token, special).normalized(false);
        let n_added = if special { tokenizer.add_special_tokens(&[added]) } else { tokenizer.add_tokens(&[added]) };
        ensure!(n_added == 1, "the token {token} is in the vocabulary already");
    }
    Ok(tokenizer)
}
