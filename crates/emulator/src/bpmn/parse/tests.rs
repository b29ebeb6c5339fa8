use super::super::model::{BoundaryEvent, Kind};
use super::*;

fn wrap(content: &str) -> String {
    format!(
        "<definitions xmlns=\"{BPMN}\" xmlns:flowable=\"{}\" xmlns:workflow=\"{}\" targetNamespace=\"t\">\n\
         <message id=\"m\" name=\"go\"/>\n<process id=\"p\" isExecutable=\"true\">\n<startEvent id=\"start\"/>\n{content}\n\
         </process>\n</definitions>",
        EXTENSIONS[1], EXTENSIONS[0]
    )
}

fn refused(content: &str) -> ModelError {
    parse(&wrap(content)).expect_err(content)
}

#[test]
fn the_tickets_model_is_read_whole() {
    let source = include_str!("../../../../../flows/tickets/ticket_triage.bpmn");
    let processes = parse(source).unwrap();
    let process = &processes[0];
    assert_eq!(&*process.key, "ticket_triage");
    let node = |id: &str| process.nodes.iter().find(|n| &*n.id == id).unwrap();
    let Kind::UserTask(triage) = &node("triage").kind else { panic!("triage is a user task") };
    assert_eq!(triage.outcome.as_ref().unwrap().possible[1], ("Assign".to_owned(), "assigned".to_owned()));
    assert_eq!(node("triage").boundary.len(), 1);
    assert_eq!(node("updates").incoming, 2);
    assert!(matches!(&node("publishOutcome").kind, Kind::ExternalTask { exclusive: false, .. }));
    assert!(matches!(node("ticketClosed").kind, Kind::TerminateEnd));
    let Kind::Boundary { event: BoundaryEvent::Timer(_), interrupting: true } = node("urgentOverdue").kind else {
        panic!("an interrupting timer")
    };
}

#[test]
fn both_engines_attributes_are_read() {
    for prefix in ["flowable", "workflow"] {
        let task = format!("<serviceTask id=\"s\" {prefix}:type=\"external-worker\" {prefix}:topic=\"t\"/>");
        let processes = parse(&wrap(&task)).unwrap();
        assert!(matches!(processes[0].nodes[1].kind, Kind::ExternalTask { exclusive: true, .. }), "{prefix}");
    }
}

#[test]
fn unknown_constructs_are_refused_with_id_and_line() {
    for content in [
        "<scriptTask id=\"x\"/>",
        "<subProcess id=\"x\"/>",
        "<callActivity id=\"x\"/>",
        "<endEvent id=\"x\"><errorEventDefinition/></endEvent>",
        "<serviceTask id=\"x\" flowable:class=\"org.example.Delegate\"/>",
        "<serviceTask id=\"x\" flowable:type=\"http\"/>",
        "<serviceTask id=\"x\" flowable:type=\"http\" flowable:async=\"true\"/>",
        "<serviceTask id=\"x\" flowable:type=\"http\" flowable:async=\"true\"><extensionElements>\
         <flowable:field name=\"saveResponseParameters\" stringValue=\"true\"/></extensionElements></serviceTask>",
        "<serviceTask id=\"x\" flowable:type=\"http\" flowable:async=\"true\"><extensionElements>\
         <flowable:failedJobRetryTimeCycle>PT1S</flowable:failedJobRetryTimeCycle></extensionElements></serviceTask>",
        "<userTask id=\"x\" flowable:async=\"true\"/>",
        "<userTask id=\"x\"><multiInstanceLoopCharacteristics/></userTask>",
        "<userTask id=\"x\"><extensionElements><flowable:taskListener event=\"create\"/></extensionElements></userTask>",
        "<userTask id=\"x\" flowable:dueDate=\"tomorrow\"/>",
        "<userTask id=\"x\" workflow:outcomeVariable=\"v\"/>",
        "<userTask id=\"x\" flowable:candidateGroups=\"${a.b()}\"/>",
        "<intermediateCatchEvent id=\"x\"><signalEventDefinition/></intermediateCatchEvent>",
        "<intermediateCatchEvent id=\"x\"><messageEventDefinition messageRef=\"none\"/></intermediateCatchEvent>",
        "<intermediateCatchEvent id=\"x\"><timerEventDefinition><timeCycle>R/PT1H</timeCycle></timerEventDefinition>\
         </intermediateCatchEvent>",
        "<exclusiveGateway id=\"x\"/>",
        "<sequenceFlow id=\"x\" sourceRef=\"start\" targetRef=\"nowhere\"/>",
        "<boundaryEvent id=\"x\" attachedToRef=\"start\"><timerEventDefinition><timeDuration>PT1H</timeDuration>\
         </timerEventDefinition></boundaryEvent>",
        "<exclusiveGateway id=\"x\" default=\"start\"/>",
        "<exclusiveGateway id=\"x\"/><endEvent id=\"e\"/><sequenceFlow id=\"f\" sourceRef=\"x\" targetRef=\"e\">\
         <conditionExpression>${a}</conditionExpression></sequenceFlow>",
        "<userTask id=\"y\"/><userTask id=\"x\"/><userTask id=\"x\"/>",
    ] {
        let error = refused(content);
        assert_eq!((error.element.as_str(), error.line), ("x", 5), "{content}: {error}");
    }
}

#[test]
fn broken_files_are_refused() {
    for source in ["", "not xml", "<definitions/>", "<a><b></a>", "<!DOCTYPE a><a/>", "<q:a/>"] {
        assert!(parse(source).is_err(), "{source}");
    }
    let deep = format!("{}{}", "<a>".repeat(10_000), "</a>".repeat(10_000));
    assert!(parse(&deep).unwrap_err().reason.contains("nested"));
}
