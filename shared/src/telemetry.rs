//! Logs to the terminal, for people or as JSON; spans and metrics to a collector. Programs call [`init`] once, in `main`.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{LogFormat, LogSettings, TelemetrySettings};

/// Why logs, traces or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("the log filter `{filter}` cannot be read")]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// It is set up already.
    #[error("logging was set up before in this process")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
    /// The exporter of traces and metrics does not start.
    #[error("the exporter of traces and metrics does not start (telemetry.otlp_endpoint): {0}")]
    Exporter(String),
    /// It was started before.
    #[error("an exporter of traces and metrics was started before in this process")]
    ExporterTwice,
    /// There is none in this program.
    #[error(
        "this program was built without the feature `otlp`: build it with `--features otlp`, or leave telemetry.otlp_endpoint empty"
    )]
    NoExporter,
}

/// Who a program is to those who read its traces and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What sort of program it is.
    pub name: String,
    /// Which one of its sort, as the name of a worker.
    pub instance: String,
}

impl Service {
    /// The program of that name, unless the settings call it otherwise.
    pub fn new(program: &str, instance: impl Into<String>, settings: &TelemetrySettings) -> Self {
        let name = match settings.service_name.as_str() {
            "" => format!("callsheet-{program}"),
            name => name.to_owned(),
        };
        Self {
            name,
            instance: instance.into(),
        }
    }

    /// The same in OpenTelemetry's words.
    #[cfg(feature = "otlp")]
    pub(crate) fn attributes(&self) -> [(&'static str, String); 4] {
        [
            ("service.name", self.name.clone()),
            ("service.namespace", "callsheet".to_owned()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", self.instance.clone()),
        ]
    }
}

/// Says that logs are set up; every line is written when it is logged. Dropped, it sends the spans and metrics that are left, for some
/// seconds at most.
#[derive(Debug)]
#[must_use = "hold it until the program ends: what is not sent yet is in it"]
pub struct Guard {
    #[cfg(feature = "otlp")]
    _exporter: Option<crate::otlp::Exporter>,
}

impl Guard {
    const fn new() -> Self {
        Self {
            #[cfg(feature = "otlp")]
            _exporter: None,
        }
    }

    /// The same, which sends spans and metrics to the collector in the settings, if there is one.
    ///
    /// # Errors
    /// If the exporter does not start, or there is none in this program.
    #[cfg(feature = "otlp")]
    pub fn exporting(
        self,
        service: &Service,
        settings: &TelemetrySettings,
    ) -> Result<Self, TelemetryError> {
        let exporter = settings
            .collector()
            .map(|collector| {
                crate::otlp::Exporter::start(service, collector, settings.push_interval())
            })
            .transpose()?;
        Ok(Self {
            _exporter: exporter,
        })
    }

    /// The same, which sends spans and metrics to the collector in the settings, if there is one.
    ///
    /// # Errors
    /// If there is one: this program was built without an exporter.
    #[cfg(not(feature = "otlp"))]
    pub fn exporting(
        self,
        _service: &Service,
        settings: &TelemetrySettings,
    ) -> Result<Self, TelemetryError> {
        match settings.collector() {
            None => Ok(self),
            Some(_) => Err(TelemetryError::NoExporter),
        }
    }
}

/// Sends all logs of this process to stderr, coloured on a terminal unless `NO_COLOR` is set.
///
/// # Errors
/// If the filter cannot be read, or it was called before.
pub fn init(settings: &LogSettings) -> Result<Guard, TelemetryError> {
    init_with(settings, io::stderr, io::stderr().is_terminal())
}

/// Sends all logs of this process to `writer`: a file, or a terminal that progress bars share.
///
/// # Errors
/// If the filter cannot be read, or it was called before.
pub fn init_with<W>(
    settings: &LogSettings,
    writer: W,
    colours: bool,
) -> Result<Guard, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    subscriber(settings, writer, colours)?
        .try_init()
        .map_err(TelemetryError::Twice)?;
    Ok(Guard::new())
}

fn subscriber<W>(
    settings: &LogSettings,
    writer: W,
    colours: bool,
) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&settings.filter)
        .map_err(|source| TelemetryError::Filter {
            filter: settings.filter.clone(),
            source,
        })?;
    // lapin logs whole messages that come back, and once more every failure that we log ourselves.
    let filter = match settings.filter.contains("lapin") {
        true => filter,
        false => filter.add_directive("lapin=off".parse().expect("it names a module and a level")),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    Ok(match settings.format {
        LogFormat::Json => Box::new(lines.json().flatten_event(true).finish()),
        // Colours are on by themselves, unless `NO_COLOR` says otherwise.
        LogFormat::Human if colours => Box::new(lines.finish()),
        LogFormat::Human => Box::new(lines.with_ansi(false).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::fields;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written for one info and one debug event of this module.
    fn written(format: LogFormat, filter: &str) -> String {
        let settings = LogSettings {
            format,
            filter: filter.to_owned(),
        };
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(&settings, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("attempt", { fields::JOB_KIND } = "scene");
            let _entered = span.enter();
            tracing::info!({ fields::WAIT_MS } = 12, "granted");
            tracing::debug!("asked");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn people_get_lines_with_fields_and_no_colours_in_a_pipe() {
        let text = written(LogFormat::Human, "info");
        assert!(
            text.contains("granted") && text.contains("wait_ms=12"),
            "{text}"
        );
        assert!(text.contains("job.kind=\"scene\""), "{text}");
        assert!(
            !text.contains("asked") && !text.contains('\u{1b}'),
            "{text:?}"
        );
    }

    #[test]
    fn programs_get_one_object_a_line() {
        let text = written(LogFormat::Json, "warn,shared=debug");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["message"], "granted");
        assert_eq!(lines[0]["wait_ms"], 12);
        assert_eq!(lines[0]["span"]["job.kind"], "scene");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let settings = LogSettings {
            format: LogFormat::Human,
            filter: "shared=loud".to_owned(),
        };
        let error = subscriber(&settings, io::sink, false).err().unwrap();
        assert!(error.to_string().contains("shared=loud"), "{error}");
    }
}
