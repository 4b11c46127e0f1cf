//! What is known of every recording: how loud it was and is, and what is wrong with it.

use std::fmt;

use serde::Serialize;

use super::{audio, item::read_meta, publish::read_manifest};
use crate::{
    disk::Layout,
    radio::{
        manifest::{
            Entry, Meta,
            meta::{Flaws, Loudness},
        },
        segment::Kind,
    },
};

/// What is known of the recording of an entry, from its `meta.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quality {
    /// The path of the entry.
    pub path: String,
    /// Track or jingle.
    pub kind: Kind,
    /// The id of its item.
    pub id: String,
    /// Its levels before and behind gain and limiter.
    pub loudness: Loudness,
    /// What is wrong with it, in figures.
    pub flaws: Flaws,
    /// What was odd about it, in words.
    pub warnings: Vec<String>,
}

/// Every entry whose item is there, by path.
pub fn qualities(layout: &Layout) -> Vec<Quality> {
    let store = layout.processed();
    let Some(manifest) = read_manifest(&store) else { return Vec::new() };
    let quality = |entry: &Entry| {
        let Meta { id, loudness, flaws, warnings, .. } = read_meta(&store, &entry.id)?;
        Some(Quality { path: entry.path.clone(), kind: entry.kind, id, loudness, flaws, warnings })
    };
    manifest.entries().iter().filter_map(quality).collect()
}

/// The levels as `meta.json` has them, in hundredths; `stated` is what the tags of the recording say.
pub(super) fn loudness(levels: &audio::Levels, stated: Option<f64>) -> Loudness {
    let hundredths = |value: f64| (value * 100.0).round() / 100.0;
    let maybe = |value: Option<f64>| value.map(hundredths);
    Loudness {
        integrated_lufs: maybe(levels.loudness),
        stated_lufs: maybe(stated),
        range_lu: maybe(levels.range),
        short_term_max_lufs: maybe(levels.short_term_max),
        peak_dbfs: maybe(levels.peak),
        true_peak_dbtp: maybe(levels.true_peak),
        gain_db: hundredths(levels.gain),
        reduction_db: hundredths(levels.reduction),
        output_lufs: maybe(levels.output_loudness),
        output_true_peak_dbtp: maybe(levels.output_true_peak),
        below_target_lu: maybe(levels.below_target),
    }
}

/// What is wrong as `meta.json` has it.
pub(super) fn flaws(flaws: &audio::Flaws) -> Flaws {
    Flaws {
        lost_samples: flaws.lost,
        decode_errors: flaws.decode_errors,
        muted_samples: flaws.muted,
        clipped_places: flaws.clipped,
        silent: flaws.silent,
        mono: flaws.mono,
        phase_inverted: flaws.inverted,
        not_gapless: flaws.not_gapless,
    }
}

/// One line of figures, and a line for everything that is wrong.
impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loudness { gain_db, reduction_db, .. } = self.loudness;
        write!(f, "{}: {}", self.path, source(&self.loudness))?;
        write!(f, "; gain {gain_db:+.1} dB, limiter {reduction_db:.1} dB; ")?;
        let [loudness, peak] = [self.loudness.output_lufs, self.loudness.output_true_peak_dbtp];
        write!(f, "{}, {}", figure(loudness, "LUFS"), figure(peak, "dBTP"))?;
        remarks(&self.flaws).iter().chain(&self.warnings).try_for_each(|remark| write!(f, "\n  {remark}"))
    }
}

fn source(loudness: &Loudness) -> String {
    let figures = [
        figure(loudness.integrated_lufs, "LUFS"),
        figure(loudness.true_peak_dbtp, "dBTP"),
        format!("range {}", figure(loudness.range_lu, "LU")),
        format!("short-term at most {}", figure(loudness.short_term_max_lufs, "LUFS")),
    ];
    let stated = loudness.stated_lufs.map(|stated| format!("its tags say {}", figure(Some(stated), "LUFS")));
    figures.into_iter().chain(stated).collect::<Vec<_>>().join(", ")
}

fn figure(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| format!("no {unit}"), |value| format!("{value:.1} {unit}"))
}

/// The flaws that no warning tells of already.
fn remarks(flaws: &Flaws) -> Vec<String> {
    let clipped = (flaws.clipped_places > 0).then(|| format!("clipped in {} places", flaws.clipped_places));
    let named = [
        (flaws.silent, "silent: quieter than -60 LUFS"),
        (flaws.mono, "mono in stereo: both channels hold the same"),
        (flaws.phase_inverted, "phase-inverted: in mono its channels cancel out"),
        (flaws.not_gapless, "not gapless: it does not say where its codec's padding ends"),
    ];
    let named = named.into_iter().filter(|(is, _)| *is).map(|(_, words)| words.to_owned());
    clipped.into_iter().chain(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_told_in_a_line_of_figures_and_a_line_for_each_flaw() {
        let loudness = Loudness {
            integrated_lufs: Some(-20.04),
            range_lu: Some(7.5),
            short_term_max_lufs: Some(-15.0),
            true_peak_dbtp: Some(0.31),
            gain_db: 4.04,
            reduction_db: 3.2,
            output_lufs: Some(-16.0),
            output_true_peak_dbtp: Some(-1.52),
            ..Loudness::default()
        };
        let quality = Quality {
            path: "music/a.mp3".into(),
            kind: Kind::Track,
            id: "00".into(),
            loudness,
            flaws: Flaws { clipped_places: 3, phase_inverted: true, ..Flaws::default() },
            warnings: vec!["it breaks off: end of file".into()],
        };
        assert_eq!(
            quality.to_string(),
            "music/a.mp3: -20.0 LUFS, 0.3 dBTP, range 7.5 LU, short-term at most -15.0 LUFS; gain +4.0 dB, limiter 3.2 \
             dB; -16.0 LUFS, -1.5 dBTP\n  clipped in 3 places\n  phase-inverted: in mono its channels cancel out\n  it \
             breaks off: end of file"
        );
        let stated = Loudness { stated_lufs: Some(-11.54), ..quality.loudness.clone() };
        let stated = Quality { loudness: stated, ..quality.clone() }.to_string();
        assert!(stated.contains("short-term at most -15.0 LUFS, its tags say -11.5 LUFS; gain +4.0 dB"), "{stated}");
        let silent = Quality { loudness: Loudness::default(), flaws: Flaws::default(), warnings: vec![], ..quality };
        assert!(silent.to_string().ends_with("; no LUFS, no dBTP"), "{silent}");
    }
}
