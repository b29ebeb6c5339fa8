use std::io;
use std::sync::Mutex;

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use workflow_client::Endpoint;

use super::*;

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

/// The lines that a report logs while this is done with it.
fn logged(work: impl FnOnce(&mut Report)) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let telemetry = Telemetry::register(&mut Registry::default());
    tracing::subscriber::with_default(subscriber, || {
        work(&mut Report::new(telemetry, "tickets".into(), "outcome".into()))
    });
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn call_error(fault: Fault) -> CallError {
    CallError {
        fault,
        status: None,
        endpoint: Endpoint::Jobs,
        operation: "acquire",
        message: "no".to_owned(),
        retry_after: None,
    }
}

fn kafka(code: RDKafkaErrorCode) -> Refusal {
    Refusal::Kafka(KafkaError::MessageProduction(code))
}

#[test]
fn a_lasting_fault_is_logged_once_with_what_to_do_and_its_end_once() {
    let lines = logged(|report| {
        for _ in 0..3 {
            report.engine_fault(&call_error(Fault::Unauthorized), Duration::from_secs(1));
        }
        report.engine_fault(&call_error(Fault::Forbidden), Duration::from_secs(1));
        report.well();
        report.well();
    });
    let said: Vec<_> = ["(401)", "(403)", "again"].iter().zip(&lines).map(|(word, line)| line.contains(word)).collect();
    assert_eq!((said, lines.len()), (vec![true; 3], 3), "{lines:#?}");
}

#[test]
fn a_lasting_refusal_is_logged_once_per_cause_with_what_to_do() {
    let lines = logged(|report| {
        for _ in 0..3 {
            report.refused(&[kafka(RDKafkaErrorCode::MessageTimedOut)], Duration::from_secs(1));
        }
        report.refused(&[Refusal::NoInstance { job_id: "j1".to_owned() }], Duration::from_secs(1));
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines[0].contains("xconnector topics create") && lines[0].contains("when their lock expires"),
        "{lines:#?}"
    );
    assert!(lines[1].contains("j1") && lines[1].contains("models of this flow"), "{lines:#?}");
}

#[test]
fn a_healthy_loop_logs_its_start_and_its_end_alone() {
    let lines = logged(|report| {
        for jobs in [0, 3, 0] {
            report.acquiring(true);
            report.acquired(jobs);
            report.well();
        }
        report.acquiring(false);
        report.acquiring(false);
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
fn every_metric_has_the_prefix_and_a_cut_off_loop_is_not_shown_as_acquiring() {
    let mut registry = Registry::default();
    let telemetry = Telemetry::register(&mut registry);
    let mut report = Report::new(telemetry, "tickets".into(), "outcome".into());
    let text = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    };
    report.acquiring(true);
    report.acquired(2);
    report.acquired(0);
    report.engine_fault(&call_error(Fault::Unsent), Duration::ZERO);
    report.refused(&[kafka(RDKafkaErrorCode::MessageSizeTooLarge)], Duration::ZERO);
    let label = r#"{flow="tickets",topic="outcome""#;
    for line in [
        format!("acquiring{label}}} 1"),
        format!("jobs_acquired_total{label}}} 2"),
        format!("empty_polls_total{label}}} 1"),
        format!("engine_faults_total{label},kind=\"unsent\"}} 1"),
        format!("records_refused_total{label},kind=\"MessageSizeTooLarge\"}} 1"),
    ] {
        assert!(text().contains(&format!("xconnector_intake_{line}")), "{line} in {}", text());
    }
    drop(report);
    assert!(text().contains(&format!("xconnector_intake_acquiring{label}}} 0")));
}
