//! What was measured of a recording.

use serde::{Deserialize, Serialize};

/// Figures have so many parts of one. Of more digits a reader of JSON may read others, and what was read would be written
/// with other bytes.
const PARTS: f64 = 1e6;
/// No figure is larger: with all its parts it has 15 digits, which every reader keeps.
pub(super) const LARGEST: f64 = 1e9;

/// The levels of a recording before and behind gain and limiter (EBU R128, ITU-R BS.1770). What an older version did not
/// measure is missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Loudness {
    /// Integrated loudness of the source in LUFS, if it has any.
    pub integrated_lufs: Option<f64>,
    /// Integrated loudness of the source in LUFS as its tags state it (ReplayGain or R128): the album's where levels go by
    /// albums, else the recording's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stated_lufs: Option<f64>,
    /// Loudness range of the source in LU, if it lasts three seconds.
    pub range_lu: Option<f64>,
    /// The highest short-term loudness of the source in LUFS, if it lasts three seconds.
    pub short_term_max_lufs: Option<f64>,
    /// The highest sample of the source in dBFS, if it is not silent.
    pub peak_dbfs: Option<f64>,
    /// The true peak of the source in dBTP, if it is not silent.
    pub true_peak_dbtp: Option<f64>,
    /// The gain applied, in dB.
    pub gain_db: f64,
    /// The most that the limiter lowers the level, in dB.
    pub reduction_db: f64,
    /// Integrated loudness of what was encoded, in LUFS, if it has any.
    pub output_lufs: Option<f64>,
    /// True peak of what was encoded, in dBTP, if it is not silent.
    pub output_true_peak_dbtp: Option<f64>,
    /// How many LU are missing from the target, where gain and limiter do not reach it.
    pub below_target_lu: Option<f64>,
}

impl Loudness {
    /// The figures as they are written.
    pub(super) fn written(self) -> Self {
        let of = |figure: Option<f64>| figure.map(written);
        Self {
            integrated_lufs: of(self.integrated_lufs),
            stated_lufs: of(self.stated_lufs),
            range_lu: of(self.range_lu),
            short_term_max_lufs: of(self.short_term_max_lufs),
            peak_dbfs: of(self.peak_dbfs),
            true_peak_dbtp: of(self.true_peak_dbtp),
            gain_db: written(self.gain_db),
            reduction_db: written(self.reduction_db),
            output_lufs: of(self.output_lufs),
            output_true_peak_dbtp: of(self.output_true_peak_dbtp),
            below_target_lu: of(self.below_target_lu),
        }
    }

    /// Whether none of them is beyond all that can be measured.
    pub(super) fn is_plausible(&self) -> bool {
        let some = [self.integrated_lufs, self.range_lu, self.short_term_max_lufs, self.peak_dbfs, self.true_peak_dbtp];
        let more = [Some(self.gain_db), Some(self.reduction_db), self.output_lufs, self.output_true_peak_dbtp];
        some.into_iter()
            .chain(more)
            .chain([self.below_target_lu, self.stated_lufs])
            .flatten()
            .all(|figure| figure.abs() <= LARGEST)
    }
}

/// A figure as it is written.
pub(super) fn written(figure: f64) -> f64 {
    if figure.abs() <= LARGEST { (figure * PARTS).round() / PARTS } else { figure }
}

/// What is wrong or odd about a recording, in figures. Samples are counted per channel, at the rate of the recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flaws {
    /// Samples that are lost in the middle of it and are silence now.
    pub lost_samples: u64,
    /// Packets that cannot be decoded.
    pub decode_errors: u64,
    /// Samples that were muted: beyond +12 dBFS, or not finite.
    pub muted_samples: u64,
    /// Places where a channel stays at full scale for eight samples or longer.
    pub clipped_places: u64,
    /// All of it is quieter than −60 LUFS.
    pub silent: bool,
    /// It is stereo, and both channels hold the same.
    pub mono: bool,
    /// One channel is the inverse of the other: in mono they cancel out.
    pub phase_inverted: bool,
    /// It does not say which samples only prime and fill its codec: they stay, as silence at both ends.
    pub not_gapless: bool,
}
