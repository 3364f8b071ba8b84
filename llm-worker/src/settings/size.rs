//! What a model needs, worked out from what it is made of. Pure.
//!
//! `need = weights + KV cache + what the engine takes beside it`, where
//!
//! ```text
//! KV cache = context × layers × KV heads × (key width + value width) × bytes of a number
//! ```
//!
//! This is how llama.cpp allocates the cache, and what LM Studio and Ollama run on it: for a model of 2 layers and 4 KV heads of 16
//! it logs 4.00 MiB at 8,192 tokens, which is what the formula gives. Models that look back through a window need less. It is
//! allocated in full when the model is loaded, however little of the context is used: so the context decides what a model costs.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use serde::Deserialize;
use shared::byte_size::ByteSize;

/// Compute buffer (0.3 to 0.6 GiB at batches of 512) and context of the driver (as much again), on a card.
const BESIDE_ON_CARD: ByteSize = ByteSize::mib(1_229);
/// Compute buffer on a processor.
const BESIDE_ON_PROCESSOR: ByteSize = ByteSize::mib(614);

/// What a model is made of, as its file or its page tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct ModelSize {
    /// Its weights: about the size of its file.
    pub weights_mib: u32,
    /// Its layers.
    pub layers: u32,
    /// Its heads for keys and values: often far fewer than its heads.
    pub kv_heads: u32,
    /// The width of a head: not always what width and heads of the model give.
    pub head_dim: u32,
    /// The numbers in its cache.
    #[serde(default)]
    pub cache: CacheType,
}

/// The numbers in a KV cache, by llama.cpp's names of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum CacheType {
    /// Two bytes each.
    #[default]
    #[serde(rename = "f16")]
    F16,
    /// 34 bytes for 32.
    #[serde(rename = "q8_0")]
    Q8,
    /// 18 bytes for 32.
    #[serde(rename = "q4_0")]
    Q4,
}

impl CacheType {
    /// Bytes of 32 numbers.
    const fn bytes_of_32(self) -> u64 {
        match self {
            Self::F16 => 64,
            Self::Q8 => 34,
            Self::Q4 => 18,
        }
    }
}

impl ModelSize {
    /// What is wrong with it.
    pub(crate) fn mistake(self) -> Option<String> {
        let known = [self.weights_mib, self.layers, self.kv_heads, self.head_dim];
        let nothing = known.contains(&0);
        nothing.then(|| "weights_mib, layers, kv_heads and head_dim must all be above 0".to_owned())
    }

    /// Its KV cache for so many tokens.
    pub fn cache(self, context: u32) -> ByteSize {
        let [layers, heads, width] = [self.layers, self.kv_heads, self.head_dim].map(u64::from);
        // Keys and values are of the same width.
        let numbers = [layers, heads, 2 * width]
            .into_iter()
            .fold(u64::from(context), u64::saturating_mul);
        ByteSize::bytes(numbers.saturating_mul(self.cache.bytes_of_32()) / 32)
    }

    /// All that it holds once it is loaded with such a context.
    pub fn need(self, context: u32, on_card: bool) -> ByteSize {
        let beside = match on_card {
            true => BESIDE_ON_CARD,
            false => BESIDE_ON_PROCESSOR,
        };
        let weights = ByteSize::mib(u64::from(self.weights_mib));
        let parts = [weights, self.cache(context), beside];
        ByteSize::bytes(
            parts
                .iter()
                .map(|part| part.as_bytes())
                .fold(0, u64::saturating_add),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISTRAL_7B: ModelSize = ModelSize {
        weights_mib: 4_170,
        layers: 32,
        kv_heads: 8,
        head_dim: 128,
        cache: CacheType::F16,
    };
    /// Its heads are of 128, though its width and its heads give 160.
    const NEMO_12B: ModelSize = ModelSize {
        weights_mib: 7_134,
        layers: 40,
        ..MISTRAL_7B
    };

    fn gib(size: ByteSize) -> String {
        size.to_string()
    }

    #[test]
    fn the_cache_is_what_llama_cpp_allocates() {
        let tiny = ModelSize {
            weights_mib: 1,
            layers: 2,
            kv_heads: 4,
            head_dim: 16,
            cache: CacheType::F16,
        };
        // As its log says.
        assert_eq!(tiny.cache(8_192), ByteSize::mib(4));
        assert_eq!(MISTRAL_7B.cache(1), ByteSize::bytes(128 << 10));
        assert_eq!(NEMO_12B.cache(1), ByteSize::bytes(160 << 10));
    }

    #[test]
    fn the_context_decides_what_a_model_costs() {
        let quantized = |cache| ModelSize { cache, ..NEMO_12B };
        for (model, context, expected) in [
            (MISTRAL_7B, 8_192, "1.0 GiB"),
            (MISTRAL_7B, 32_768, "4.0 GiB"),
            (NEMO_12B, 8_192, "1.2 GiB"),
            (NEMO_12B, 131_072, "20.0 GiB"),
            (quantized(CacheType::Q8), 131_072, "10.6 GiB"),
            (quantized(CacheType::Q4), 131_072, "5.6 GiB"),
        ] {
            assert_eq!(gib(model.cache(context)), expected, "{model:?} {context}");
        }
        assert_eq!(gib(MISTRAL_7B.need(8_192, true)), "6.3 GiB");
        assert_eq!(gib(NEMO_12B.need(8_192, true)), "9.4 GiB");
        assert_eq!(gib(NEMO_12B.need(131_072, true)), "28.2 GiB");
        assert_eq!(gib(NEMO_12B.need(8_192, false)), "8.8 GiB");
    }

    #[test]
    fn nothing_is_no_size_and_absurd_ones_do_not_wrap() {
        assert!(
            ModelSize {
                layers: 0,
                ..NEMO_12B
            }
            .mistake()
            .is_some()
        );
        assert_eq!(NEMO_12B.mistake(), None);
        let absurd = ModelSize {
            weights_mib: u32::MAX,
            layers: u32::MAX,
            kv_heads: u32::MAX,
            head_dim: u32::MAX,
            cache: CacheType::F16,
        };
        assert!(absurd.need(u32::MAX, true) > NEMO_12B.need(131_072, true));
    }
}
