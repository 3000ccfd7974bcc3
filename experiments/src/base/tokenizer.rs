//! Tokenizer of the small models, of the same kind as in the published models.

use anyhow::{Result, ensure};
use seethink::core::{Capability, Problem};
use seethink::data::digits::DigitsWorld;
use seethink::data::{Split, THINK_PROMPT};
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

/// Vocabulary size before the added tokens: the 256 bytes, single digits, frequent words and parts
/// of words.
const VOCABULARY: usize = 768;

/// Trains a byte-level BPE on questions and solutions of the training split.
///
/// `special` are the tokens of turns and images, in the order of their ids; `<think>` and
/// `</think>` follow.
///
/// # Errors
/// If a special token is a word of the vocabulary.
pub(super) fn train(world: &DigitsWorld, special: &[&str], seed: u64) -> Result<tokenizers::Tokenizer> {
    let texts = Capability::ALL.iter().flat_map(|capability| {
        world.problems(Split::Train, capability, seed).take(2000).flat_map(|problem| {
            [problem.prompt.replace(Problem::IMAGE_PLACEHOLDER, ""), problem.solution.unwrap_or_default()]
        })
    });
    // The instruction is part of every prompt; its tags are tokens of their own, excluded from the
    // merges.
    let texts = texts.map(|text| {
        format!("{text}\n{THINK_PROMPT}\nuser\nassistant\n").replace("<think>", "\n").replace("</think>", "\n")
    });
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
        .vocab_size(VOCABULARY)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer.train(&mut trainer, texts).map_err(anyhow::Error::from_boxed)?;
    let mut tokenizer: tokenizers::Tokenizer = tokenizer.into();
    let special = special.iter().map(|token| (*token, true));
    for (token, special) in special.chain([("<think>", false), ("</think>", false)]) {
        let added = AddedToken::from(token, special).normalized(false);
        let n_added = if special { tokenizer.add_special_tokens(&[added]) } else { tokenizer.add_tokens(&[added]) };
        ensure!(n_added == 1, "the token {token} is in the vocabulary already");
    }
    Ok(tokenizer)
}
