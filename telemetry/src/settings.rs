//! The OTEL_ variables that are not read by the exporter itself.

use crate::sampling::Sampling;

/// Spans that wait for their export at most, where OTEL_BSP_MAX_QUEUE_SIZE says nothing: the
/// standard's default.
const QUEUE: usize = 2048;

/// What the environment says of traces.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where to; the exporter reads the endpoint itself.
    pub(crate) on: bool,
    pub(crate) sampling: Sampling,
    pub(crate) queue: usize,
    /// For the log, once there is one.
    pub(crate) problems: Vec<String>,
}

impl Settings {
    /// From the environment of the process.
    pub(crate) fn from_env() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        // An empty variable counts as unset, as the standard says.
        let get = |name: &str| {
            get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let mut problems = Vec::new();
        let names = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let endpoint = names.iter().find_map(|name| Some((*name, get(name)?)));
        let mut on = match get("OTEL_TRACES_EXPORTER").as_deref() {
            None => endpoint.is_some(),
            Some("none") => false,
            Some("otlp") => true,
            Some(other) => {
                problems.push(format!(
                    "traces are off: OTEL_TRACES_EXPORTER={other} is not known (otlp, none)"
                ));
                false
            }
        };
        if get("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            on = false;
        }
        if let Some((name, url)) = endpoint.filter(|_| on)
            && !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme))
        {
            // Behind a user there may be a password.
            let what = if url.contains('@') { String::new() } else { format!("={url}") };
            problems.push(format!(
                "traces are off: {name}{what} is not a URL such as http://localhost:4318"
            ));
            on = false;
        }
        let protocol = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
        if let Some((name, protocol)) = protocol.iter().find_map(|name| Some((name, get(name)?)))
            && on
            && protocol != "http/protobuf"
        {
            problems.push(format!(
                "{name}={protocol} is not supported: spans are sent as http/protobuf, usually \
                 to port 4318"
            ));
        }
        let (sampling, problem) = Sampling::named(
            get("OTEL_TRACES_SAMPLER").as_deref(),
            get("OTEL_TRACES_SAMPLER_ARG").as_deref(),
        );
        problems.extend(problem.filter(|_| on));
        let queue =
            get("OTEL_BSP_MAX_QUEUE_SIZE").and_then(|text| text.parse().ok()).filter(|n| *n > 0);
        Self { on, sampling, queue: queue.unwrap_or(QUEUE), problems }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Settings {
        Settings::read(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    #[test]
    fn traces_are_on_where_they_have_somewhere_to_go() {
        assert!(!read(&[]).on && !read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).on);
        assert!(read(&[ENDPOINT]).on);
        assert!(read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector/x")]).on);
        assert!(read(&[("OTEL_TRACES_EXPORTER", "otlp")]).on);
        assert!(!read(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]).on);
        assert!(!read(&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")]).on);
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let problem = |variables: &[(&str, &str)]| {
            let settings = read(variables);
            assert_eq!(settings.problems.len(), 1, "{settings:?}");
            (settings.on, settings.problems[0].clone())
        };
        let (on, text) = problem(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")]);
        assert!(!on && text.contains("OTEL_EXPORTER_OTLP_ENDPOINT=collector:4317"), "{text}");
        let (on, text) = problem(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "me:hush@collector:4317")]);
        assert!(
            !on && text.contains("OTEL_EXPORTER_OTLP_ENDPOINT is not a URL")
                && !text.contains("hush"),
            "{text}"
        );
        let (on, text) = problem(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
        assert!(on && text.contains("http/protobuf"), "{text}");
        let (on, text) = problem(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "zipkin")]);
        assert!(!on && text.contains("zipkin"), "{text}");
        assert!(problem(&[ENDPOINT, ("OTEL_TRACES_SAMPLER", "xray")]).0);
        assert_eq!(read(&[ENDPOINT, ("OTEL_BSP_MAX_QUEUE_SIZE", "7")]).queue, 7);
        assert_eq!(read(&[ENDPOINT, ("OTEL_BSP_MAX_QUEUE_SIZE", "0")]).queue, QUEUE);
    }
}
