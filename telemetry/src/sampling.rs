//! Which traces are exported: OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG, decided for a task
//! in the same way by every process.

use crate::TraceParent;
use opentelemetry::trace::TraceId;
use opentelemetry_sdk::trace::Sampler;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Own {
    On,
    Off,
    /// The share of all traces, from 0 to 1.
    Ratio(f64),
}

/// A sampler by its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sampling {
    /// Whether the caller's decision goes first.
    parent_based: bool,
    own: Own,
}

impl Sampling {
    /// By the values of the two variables; says what it cannot use, and takes the default for it:
    /// parentbased_always_on, and a ratio of 1.
    pub(crate) fn named(name: Option<&str>, argument: Option<&str>) -> (Self, Option<String>) {
        let name = name.unwrap_or("parentbased_always_on");
        let (parent_based, own) = match name.strip_prefix("parentbased_") {
            Some(own) => (true, own),
            None => (false, name),
        };
        let ratio = || {
            argument.and_then(|text| text.parse().ok()).filter(|ratio| (0.0..=1.0).contains(ratio))
        };
        let (own, problem) = match own {
            "always_on" => (Own::On, None),
            "always_off" => (Own::Off, None),
            "traceidratio" => match (argument, ratio()) {
                (_, Some(ratio)) => (Own::Ratio(ratio), None),
                (None, None) => (Own::On, None),
                (Some(bad), None) => (
                    Own::On,
                    Some(format!(
                        "OTEL_TRACES_SAMPLER_ARG={bad} is not a number from 0 to 1: using 1"
                    )),
                ),
            },
            _ => {
                let text = format!(
                    "OTEL_TRACES_SAMPLER={name} is not known (always_on, always_off, \
                     traceidratio, each also with \
                     parentbased_ before it): using parentbased_always_on"
                );
                return (Self { parent_based: true, own: Own::On }, Some(text));
            }
        };
        (Self { parent_based, own }, problem)
    }

    /// For a task in the trace of its caller, if any.
    pub(crate) fn samples(&self, caller: Option<&TraceParent>, trace_id: TraceId) -> bool {
        match (caller, self.own) {
            (Some(caller), _) if self.parent_based => caller.flags.is_sampled(),
            (_, Own::On) => true,
            (_, Own::Off) => false,
            (Some(_), Own::Ratio(ratio)) => low_bits(trace_id) < bound(ratio),
            // The id is a UUID: all begin their lower half with the same bits, and a ratio of them
            // would be all or none.
            (None, Own::Ratio(ratio)) => mixed(trace_id) < bound(ratio),
        }
    }

    /// For spans of no task; below one, what was decided for it.
    pub(crate) fn sampler(&self) -> Sampler {
        Sampler::ParentBased(Box::new(match self.own {
            Own::On => Sampler::AlwaysOn,
            Own::Off => Sampler::AlwaysOff,
            Own::Ratio(ratio) => Sampler::TraceIdRatioBased(ratio),
        }))
    }
}

/// Those that OpenTelemetry's own sampler goes by.
fn low_bits(trace_id: TraceId) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = trace_id.to_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The finalizer of SplitMix64, over both halves.
fn mixed(trace_id: TraceId) -> u64 {
    let mix = |mut n: u64| {
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    };
    let id = u128::from_be_bytes(trace_id.to_bytes());
    mix((id >> 64) as u64 ^ mix(id as u64))
}

fn bound(ratio: f64) -> u64 {
    // Saturates: a ratio of 1 takes all.
    (ratio * 2_f64.powi(64)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn share(sampling: Sampling) -> f64 {
        let id = || TraceId::from_bytes(Uuid::now_v7().into_bytes());
        (0..4_000).filter(|_| sampling.samples(None, id())).count() as f64 / 4_000.0
    }

    #[test]
    fn a_ratio_of_tasks_is_that_ratio() {
        for ratio in [0.0, 0.1, 0.5, 0.8, 1.0] {
            let (sampling, problem) =
                Sampling::named(Some("parentbased_traceidratio"), Some(&ratio.to_string()));
            let share = share(sampling);
            assert!((share - ratio).abs() < 0.05 && problem.is_none(), "{share} of {ratio}");
        }
    }

    #[test]
    fn the_caller_decides_unless_the_sampler_is_told_not_to_ask() {
        let caller = |flags: &str| -> TraceParent {
            format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}").parse().unwrap()
        };
        let asks = |name: &str, flags: &str| {
            let caller = caller(flags);
            Sampling::named(Some(name), Some("0")).0.samples(Some(&caller), caller.trace_id)
        };
        assert!(asks("parentbased_always_off", "01") && asks("parentbased_traceidratio", "01"));
        assert!(!asks("parentbased_always_on", "00"));
        assert!(
            asks("always_on", "00") && !asks("always_off", "01") && !asks("traceidratio", "01")
        );
        assert!(Sampling::named(None, None).0.samples(None, caller("00").trace_id));
    }

    #[test]
    fn what_is_not_known_is_told_and_replaced_by_the_default() {
        let (sampling, problem) = Sampling::named(Some("xray"), None);
        assert!(problem.unwrap().contains("parentbased_always_on"));
        assert_eq!(sampling, Sampling::named(None, None).0);
        assert!(Sampling::named(Some("traceidratio"), Some("2")).1.unwrap().contains("0 to 1"));
    }
}
