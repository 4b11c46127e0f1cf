//! From what was measured to the level: measure, gain, limiter, measure again.

use std::sync::atomic::AtomicBool;

use super::{
    Error, Settings, Source,
    forecast::Forecast,
    level::{Setting, fade_samples, from_i16},
    measure::{Measured, Meter},
    pass::{Survey, levelled},
};

/// No item is lifted by more, in dB.
const MOST_GAIN_DB: f64 = 12.0;
/// No peak is lowered by more, in dB.
const MOST_REDUCTION_DB: f64 = 8.0;
/// How far below the ceiling the limiter works, in dB: its gain is not constant while it falls and rises, and other
/// meters interpolate in their own way.
const MARGIN_DB: f64 = 0.1;
/// How often the gain is corrected by what was reached.
const CORRECTIONS: usize = 2;
/// What is as good as reached, in LU.
const CLOSE_LU: f64 = 0.05;
/// What is missing from the target is said from here on, in LU.
const BELOW_LU: f64 = 0.1;

/// The level of an item, and what comes of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Master {
    pub(super) setting: Setting,
    /// Integrated loudness of what is encoded, in LUFS, if it has any.
    pub(super) loudness: Option<f64>,
    /// True peak of what is encoded, in dBTP, unless it is silence.
    pub(super) true_peak: Option<f64>,
    /// The most that the limiter lowers the level, in dB.
    pub(super) reduction_db: f64,
    /// How many LU are missing from the target, if it is out of reach.
    pub(super) below_target: Option<f64>,
}

impl Master {
    /// Finds the level. Runs over the item again where that is the only way to know what comes of it: when the limiter
    /// has work, and when the ends are trimmed or faded.
    pub(super) fn of(
        survey: &Survey<'_>,
        source: &dyn Source,
        settings: &Settings,
        stop: &AtomicBool,
    ) -> Result<Self, Error> {
        let reach = Reach::of(&survey.measured, settings, source.stated_loudness(settings.reference));
        let forecast = Forecast::of(&survey.measured);
        let is_limited = |gain_db: f64| reach.may_limit && reach.peak_at(gain_db) > settings.peak_ceiling;
        let attempt = |gain_db: f64, ceiling_db: f64| {
            let setting = Setting { gain_db, ceiling_db: is_limited(gain_db).then_some(ceiling_db) };
            let shaped = survey.is_cut() || fade_samples(settings) > 0;
            if setting.ceiling_db.is_none() && !shaped {
                return Ok(Self::unlimited(&survey.measured, setting));
            }
            Self::tried(survey, source, settings, setting, stop)
        };
        let (mut gain, mut ceiling) = (reach.wanted.min(reach.most), settings.peak_ceiling - MARGIN_DB);
        if let Some(target) = reach.target.filter(|_| is_limited(gain)) {
            gain = forecast.gain_to(target, ceiling, reach.most).unwrap_or(gain);
        }
        let mut master: Self = attempt(gain, ceiling)?;
        // What is missing from the target. With a stated loudness the gain is the target.
        let missing_of = |master: &Self| reach.target.zip(master.loudness).map(|(target, reached)| target - reached);
        for _ in 0..CORRECTIONS {
            let missing = missing_of(&master);
            let over = master.true_peak.map_or(0.0, |peak| peak - settings.peak_ceiling).max(0.0);
            let (lower, is_under) = (ceiling - over, over < 1e-6);
            let is_close = missing.is_none_or(|missing| missing.abs() <= CLOSE_LU);
            if !reach.may_limit || (is_close && is_under) {
                break;
            }
            // As far as the forecast was off here, it is off at the next gain.
            let foreseen = if master.reduction_db > 0.0 { forecast.loudness(gain, ceiling) } else { None };
            let aim = missing.zip(foreseen).map(|(missing, foreseen)| foreseen + missing);
            let next = aim.and_then(|aim| forecast.gain_to(aim, lower, reach.most));
            let next = next.unwrap_or_else(|| gain + missing.unwrap_or_default()).min(reach.most);
            if next == gain && is_under {
                break;
            }
            (ceiling, gain) = (lower, next);
            master = attempt(gain, ceiling)?;
        }
        // Of a stated loudness the limiter takes away what it takes from what is measured.
        let limited = survey.measured.loudness.integrated(gain).zip(master.loudness);
        let taken = limited.map_or(0.0, |(before, reached)| before - reached).max(0.0);
        let missing = missing_of(&master).unwrap_or(reach.wanted - gain + taken);
        master.below_target = Some(missing).filter(|missing| *missing > BELOW_LU);
        Ok(master)
    }

    /// What is missing from the target, in words.
    pub(super) fn warning(&self) -> Option<String> {
        let missing = self.below_target?;
        Some(format!(
            "it stays {missing:.1} LU below the loudness target, which takes more than {MOST_GAIN_DB} dB of gain or \
             {MOST_REDUCTION_DB} dB of limiting"
        ))
    }

    /// What a gain alone leads to.
    fn unlimited(source: &Measured, setting: Setting) -> Self {
        Self {
            setting,
            loudness: source.loudness.integrated(setting.gain_db),
            true_peak: source.true_peak.map(|peak| peak + setting.gain_db),
            reduction_db: 0.0,
            below_target: None,
        }
    }

    /// What a level leads to, measured.
    fn tried(
        survey: &Survey<'_>,
        source: &dyn Source,
        settings: &Settings,
        setting: Setting,
        stop: &AtomicBool,
    ) -> Result<Self, Error> {
        let mut meter = Meter::new(settings);
        let reduction_db = levelled(survey, source, settings, setting, stop, |pcm| {
            meter.add(&pcm.into_iter().map(from_i16).collect::<Vec<_>>());
            Ok(())
        })?;
        let measured = meter.finish();
        let loudness = measured.loudness.integrated(0.0);
        Ok(Self { setting, loudness, true_peak: measured.true_peak, reduction_db, below_target: None })
    }
}

/// How far an item can go.
struct Reach {
    /// The target in LUFS, if there is one and what is measured is to reach it.
    target: Option<f64>,
    /// The gain that was wanted, in dB.
    wanted: f64,
    /// The most gain, in dB.
    most: f64,
    may_limit: bool,
    true_peak: Option<f64>,
}

impl Reach {
    /// `stated` is the loudness that counts instead of what is measured, in LUFS.
    fn of(source: &Measured, settings: &Settings, stated: Option<f64>) -> Self {
        let true_peak = source.true_peak;
        let from_stated = |target: f64| stated.map(|stated| target - stated);
        let wanted = |target: f64| from_stated(target).or_else(|| source.loudness.gain_to(target));
        let Some(wanted) = settings.loudness_target.and_then(wanted) else {
            // Without a target nothing is limited: the level is lowered as far as the ceiling wants.
            let wanted = true_peak.map_or(0.0, |peak| settings.peak_ceiling - peak).min(0.0);
            return Self { target: None, wanted, most: wanted, may_limit: false, true_peak };
        };
        let limited =
            true_peak.map_or(MOST_GAIN_DB, |peak| settings.peak_ceiling - MARGIN_DB + MOST_REDUCTION_DB - peak);
        let target = settings.loudness_target.filter(|_| stated.is_none());
        Self { target, wanted, most: MOST_GAIN_DB.min(limited), may_limit: true, true_peak }
    }

    /// The true peak at a gain, in dBTP.
    fn peak_at(&self, gain_db: f64) -> f64 {
        self.true_peak.map_or(f64::NEG_INFINITY, |peak| peak + gain_db)
    }
}
