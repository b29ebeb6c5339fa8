//! Models of one engine for the other, and of both for each.

use super::*;

fn model(declarations: &str, body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<definitions xmlns=\"http://www.omg.org/spec/BPMN/20100524/MODEL\" {declarations}>\n\
         <process id=\"p\">{body}</process>\n</definitions>"
    )
}

fn flowable(body: &str) -> String {
    model("xmlns:flowable=\"http://flowable.org/bpmn\"", body)
}

fn opentext(body: &str) -> String {
    model("xmlns:workflow=\"http://workflow.opentext.com\"", body)
}

fn both(body: &str) -> String {
    model("xmlns:f=\"http://flowable.org/bpmn\" xmlns:workflow=\"http://workflow.opentext.com\"", body)
}

fn to(dialect: Dialect, xml: &str) -> Result<String, String> {
    let problems = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    translate(xml, Path::new("m.bpmn"), dialect).map_err(problems)
}

const TASK: &str = "<serviceTask id=\"t\" flowable:type=\"http\" name=\"A &amp; B\"><extensionElements>\n  <flowable:field name=\"requestUrl\"><flowable:string><![CDATA[http://x?a&b]]></flowable:string></flowable:field></extensionElements></serviceTask><!-- kept -->";

#[test]
fn a_model_of_one_engine_is_that_of_the_other_and_back_again() {
    let there = to(Dialect::OpenText, &flowable(TASK)).unwrap();
    assert!(!there.contains("flowable"), "{there}");
    assert!(
        there.contains("workflow:type=\"http\" name=\"A &amp; B\"")
            || there.contains("name=\"A &amp; B\" workflow:type=\"http\""),
        "{there}"
    );
    assert!(there.contains("<workflow:field name=\"requestUrl\"><workflow:string><![CDATA[http://x?a&b]]></workflow:string></workflow:field>"), "{there}");
    assert!(there.contains("xmlns:workflow=\"http://workflow.opentext.com\"") && there.contains("<!-- kept -->"));
    assert_eq!(to(Dialect::Flowable, &there).unwrap(), to(Dialect::Flowable, &flowable(TASK)).unwrap());
}

#[test]
fn what_is_the_engines_own_stays_byte_for_byte() {
    assert_eq!(to(Dialect::Flowable, &flowable(TASK)).unwrap(), flowable(TASK));
    let plain = model("", "<userTask id='u'/>\r\n");
    assert_eq!(to(Dialect::OpenText, &plain).unwrap(), plain);
}

#[test]
fn of_a_model_for_both_each_engine_gets_its_own() {
    let body = "<userTask id=\"u\" f:dueDate=\"PT4H\" f:candidateGroups=\"a\" workflow:candidateGroups=\"b\" workflow:outcomeVariable=\"o\">\
                <extensionElements><f:taskListener event=\"create\"/><workflow:executionListener event=\"end\"/></extensionElements></userTask>";
    let flowable = to(Dialect::Flowable, &both(body)).unwrap();
    assert!(
        flowable.contains("candidateGroups=\"a\"")
            && !flowable.contains("\"b\"")
            && !flowable.contains("outcomeVariable"),
        "{flowable}"
    );
    assert!(flowable.contains("taskListener") && !flowable.contains("executionListener"), "{flowable}");
    let opentext = to(Dialect::OpenText, &both(body)).unwrap();
    assert!(opentext.contains("workflow:candidateGroups=\"b\"") && !opentext.contains("\"a\""), "{opentext}");
    assert!(
        opentext.contains("workflow:dueDate=\"PT4H\"") && opentext.contains("workflow:outcomeVariable=\"o\""),
        "{opentext}"
    );
    assert!(opentext.contains("executionListener") && !opentext.contains("taskListener"), "{opentext}");
}

#[test]
fn what_the_target_lacks_is_refused_with_its_line() {
    let refused =
        to(Dialect::OpenText, &flowable("\n<serviceTask id=\"s\" flowable:class=\"com.acme.Pay\"/>")).unwrap_err();
    assert!(
        refused.starts_with("m.bpmn:4: `class` of <serviceTask> has no counterpart in the workflow service"),
        "{refused}"
    );
    let refused = to(Dialect::OpenText, &flowable("<serviceTask id=\"s\" flowable:type=\"camel\"/>")).unwrap_err();
    assert!(refused.contains("service tasks of the type `camel` do not exist in the workflow service"), "{refused}");
    let refused =
        to(Dialect::Flowable, &opentext("<userTask id=\"u\" workflow:possibleOutcomes=\"A:a\"/>")).unwrap_err();
    assert!(refused.contains("`possibleOutcomes` of <userTask> has no counterpart in Flowable"), "{refused}");
    let details = "<serviceTask id=\"s\" workflow:type=\"http\"><extensionElements><workflow:authenticationDetails grantType=\"x\"/></extensionElements></serviceTask>";
    assert!(
        to(Dialect::Flowable, &opentext(details))
            .unwrap_err()
            .contains("`workflow:authenticationDetails` does not exist in Flowable")
    );
    // an attribute of that name that is no extension is none of our business
    assert!(to(Dialect::OpenText, &flowable("<serviceTask id=\"s\" class=\"x\"/>")).is_ok());
}

#[test]
fn a_text_that_is_no_xml_is_refused_and_never_a_panic() {
    for text in ["<a", "<a></b>", "<a>", "<a b='1' b='2'/>", "", "\u{0}", "<a &x;/>"] {
        let _ = to(Dialect::OpenText, &format!("{text}{FLOWABLE}"));
    }
    let refused = |body: &str| to(Dialect::OpenText, &format!("<!-- {FLOWABLE} -->{body}")).unwrap_err();
    assert!(refused("<a><b></a>").contains("is not readable as BPMN"));
    assert!(refused("<a>").contains("ends inside an element"));
}

#[test]
fn an_http_task_has_its_fields_on_both_engines_or_is_refused() {
    let field = |prefix: &str| format!("<{prefix}:field name=\"requestUrl\" stringValue=\"http://x\"/>");
    let task = |fields: &str| {
        format!(
            "\n<serviceTask id=\"tell\" f:type=\"http\" workflow:type=\"http\" f:async=\"true\"><extensionElements>{fields}</extensionElements></serviceTask>"
        )
    };
    let complete = both(&task(&(field("f") + &field("workflow"))));
    for dialect in [Dialect::Flowable, Dialect::OpenText] {
        let translated = to(dialect, &complete).unwrap();
        assert_eq!(translated.matches("requestUrl").count(), 1, "{translated}");
        assert_eq!(translated.matches(":async=\"true\"").count(), 1, "{translated}");
    }
    let half = both(&task(&field("f")));
    assert!(to(Dialect::Flowable, &half).is_ok());
    let refused = to(Dialect::OpenText, &half).unwrap_err();
    let wanted = "m.bpmn:4: the HTTP task `tell` has no field requestUrl for the workflow service";
    assert!(refused.starts_with(wanted), "{refused}");
    let token = "<serviceTask id=\"t\" workflow:type=\"http\"><extensionElements><workflow:field name=\"requestUrl\" stringValue=\"u\"/>\
                 <workflow:field name=\"useCurrentAuthToken\" stringValue=\"true\"/></extensionElements></serviceTask>";
    let refused = to(Dialect::Flowable, &opentext(token)).unwrap_err();
    assert!(refused.contains("the field `useCurrentAuthToken` does not exist in Flowable"), "{refused}");
}
