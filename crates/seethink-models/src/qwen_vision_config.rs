//! Vision configuration of the Qwen families: the fields, defaults and checks that they share.

/// Defines `VisionConfig`, the `vision_config` of a Qwen family: the shared fields, with the
/// family's default patch and its activation, and the family's own fields.
///
/// It is no struct inside another, because errors of flattened fields do not name the field.
macro_rules! qwen_vision_config {
    (patch_size: $patch_size:literal, hidden_act: $hidden_act:literal, $($own:tt)*) => {
        /// Vision encoder configuration: `vision_config`.
        #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
        pub struct VisionConfig {
            /// Number of blocks.
            pub depth: usize,
            /// Channels of the hidden states.
            pub hidden_size: usize,
            /// Channels inside the MLPs.
            pub intermediate_size: usize,
            /// Number of attention heads.
            pub num_heads: usize,
            /// Channels of the features: the decoder's `hidden_size`.
            pub out_hidden_size: usize,
            /// Number of colour channels. Older files write `in_chans`, which the reference does
            /// not read.
            #[serde(default = "default_in_channels")]
            pub in_channels: usize,
            /// Side of a patch, pixels.
            #[serde(default = "default_patch_size")]
            pub patch_size: usize,
            /// Side of the square of patches that becomes one image token.
            #[serde(default = "default_pair")]
            pub spatial_merge_size: usize,
            /// Frames per patch.
            #[serde(default = "default_pair")]
            pub temporal_patch_size: usize,
            /// Activation of the MLPs; only the family's own is supported.
            #[serde(default = "default_act")]
            pub hidden_act: String,
            /// Standard deviation of initial weights.
            #[serde(default = "default_initializer_range")]
            pub initializer_range: f64,
            $($own)*
        }

        // Defaults of the reference's configuration classes, for settings that a file leaves out.
        fn default_in_channels() -> usize {
            3
        }
        fn default_patch_size() -> usize {
            $patch_size
        }
        fn default_pair() -> usize {
            2
        }
        fn default_act() -> String {
            $hidden_act.to_owned()
        }
        fn default_initializer_range() -> f64 {
            0.02
        }

        impl VisionConfig {
            /// Checks the shared settings of the vision side, and that they fit the decoder.
            fn check_shared(&self, text: &$crate::TextConfig) -> Result<(), seethink_core::SettingError> {
                use $crate::checks::{check_depth, check_sides, check_sizes, expect};
                check_sizes([
                    ("hidden_size", self.hidden_size),
                    ("intermediate_size", self.intermediate_size),
                    ("num_heads", self.num_heads),
                ])?;
                check_sides([
                    ("patch_size", self.patch_size),
                    ("spatial_merge_size", self.spatial_merge_size),
                    ("temporal_patch_size", self.temporal_patch_size),
                ])?;
                check_depth("depth", self.depth)?;
                expect(self.in_channels == 3, "in_channels", self.in_channels, "3")?;
                expect(self.hidden_act == $hidden_act, "hidden_act", &self.hidden_act, $hidden_act)?;
                let four_each = 4 * self.num_heads;
                let expected = format!("a multiple of 4 · `num_heads`, {four_each}");
                expect(self.hidden_size.is_multiple_of(four_each), "hidden_size", self.hidden_size, expected)?;
                let expected = format!("the `hidden_size` of the decoder, {}", text.hidden_size);
                expect(self.out_hidden_size == text.hidden_size, "out_hidden_size", self.out_hidden_size, expected)
            }

            /// Number of values of a flattened patch.
            pub fn patch_len(&self) -> usize {
                self.in_channels * self.temporal_patch_size * self.patch_size.pow(2)
            }

            /// Channels of a merged cell.
            pub fn merged_size(&self) -> usize {
                self.hidden_size * self.spatial_merge_size.pow(2)
            }
        }
    };
}

pub(crate) use qwen_vision_config;
