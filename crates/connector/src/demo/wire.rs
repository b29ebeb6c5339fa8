//! An event of a ticket as the bytes and headers that the CRM publishes.

use event_model::EventSchema;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::plan::{Defect, Encoding, Fate, Ticket};

/// The CloudEvents source of every event.
const SOURCE: &str = "demo-crm";
/// The schema id that the settings of the demonstration list.
pub(super) const SCHEMA_ID: u32 = 1;

/// A record to publish.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wire {
    /// Its value.
    pub value: Vec<u8>,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
}

/// Writes event number `number` of a ticket.
///
/// # Errors
/// The event does not fit the schema; a test proves that all of them do.
pub(super) fn write(
    ticket: &Ticket,
    number: usize,
    kind: &str,
    schema: &EventSchema,
    now: Timestamp,
) -> anyhow::Result<Wire> {
    let mut data = ticket.body.clone();
    data["kind"] = kind.into();
    data["reportedAt"] = now.to_string().into();
    data["comment"] = match kind {
        "updated" => "The customer called again and adds details.".into(),
        "withdrawn" => "Works again, thank you.".into(),
        _ => Value::Null,
    };
    let attributes = [
        ("specversion", "1.0".to_owned()),
        ("id", format!("{}-{number}", ticket.id)),
        ("source", SOURCE.to_owned()),
        ("type", format!("crm.ticket.{kind}")),
        ("time", now.to_string()),
        ("correlationid", ticket.id.clone()),
    ];
    if ticket.encoding == Encoding::StructuredJson && !matches!(ticket.fate, Fate::Refused(_)) {
        let mut event: Value = attributes.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        event["datacontenttype"] = "application/json".into();
        event["data"] = data;
        let headers = vec![("content-type", "application/cloudevents+json".to_owned())];
        return Ok(Wire { value: serde_json::to_vec(&event)?, headers });
    }
    let checked = |data: Value| schema.check_json(data).map_err(|violation| anyhow::anyhow!("{violation}"));
    let (content_type, mut value) = match ticket.encoding {
        // A schema violation can be written as JSON only.
        _ if ticket.fate == Fate::Refused(Defect::UnknownServiceLevel) => {
            data["sla"] = "platinum".into();
            ("application/json", serde_json::to_vec(&data)?)
        }
        Encoding::Json | Encoding::StructuredJson => ("application/json", serde_json::to_vec(&data)?),
        Encoding::Avro => {
            let bytes =
                schema.encode_single_object(&checked(data)?).map_err(|violation| anyhow::anyhow!("{violation}"))?;
            ("avro/binary", bytes)
        }
        Encoding::ConfluentAvro => {
            let datum = schema.encode_avro(&checked(data)?).map_err(|violation| anyhow::anyhow!("{violation}"))?;
            let mut bytes = vec![0];
            bytes.extend(SCHEMA_ID.to_be_bytes());
            bytes.extend(datum);
            ("application/vnd.confluent.avro", bytes)
        }
    };
    if ticket.fate == Fate::Refused(Defect::Truncated) {
        value.truncate(value.len() / 2);
    }
    let [version, id, source, kind, time, correlation] = attributes;
    let named = [("ce_specversion", version), ("ce_id", id), ("ce_source", source), ("ce_type", kind)];
    let mut headers: Vec<(&'static str, String)> = named.into_iter().map(|(name, (_, value))| (name, value)).collect();
    headers.push(("ce_time", time.1));
    headers.push(("ce_correlationid", correlation.1));
    headers.push(("content-type", content_type.to_owned()));
    Ok(Wire { value, headers })
}

/// Writes event number `number` of a scene.
///
/// # Errors
/// It cannot be written as JSON.
pub(super) fn write_scene(flow: &str, object: &str, number: usize, event: &Value) -> anyhow::Result<Wire> {
    let headers = vec![
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", format!("{object}-{number}")),
        ("ce_source", format!("demo-{flow}")),
        ("ce_type", flow.to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    Ok(Wire { value: serde_json::to_vec(event)?, headers })
}

#[cfg(test)]
mod tests {
    use event_model::{Coordinates, Header, Offset, Partition, Record, SchemaIds, Schemas};

    use super::super::plan::Plan;
    use super::*;

    #[test]
    fn good_events_are_read_as_what_was_meant_and_bad_ones_are_not_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas");
        let schema = Schemas::load(folder.as_ref()).unwrap().get("ticket/v1").unwrap();
        let ids = SchemaIds::new([(SCHEMA_ID, schema.clone())].into());
        let mut plan = Plan::new(1);
        let (mut good, mut bad) = (0, 0);
        for ticket in (0..40).map(|_| plan.next()) {
            for (number, kind) in ticket.events().into_iter().enumerate() {
                let wire = write(&ticket, number, kind, &schema, Timestamp::UNIX_EPOCH).unwrap();
                let headers = wire.headers.iter().map(|(name, value)| Header::text(*name, value.clone())).collect();
                let coordinates =
                    Coordinates { topic: "t".into(), partition: Partition::new(0), offset: Offset::new(0) };
                let value = Some(wire.value);
                let record = Record { coordinates, key: None, value, headers, timestamp_ms: None };
                let read = event_model::decode(&record, &schema, &ids);
                if matches!(ticket.fate, Fate::Refused(_)) {
                    assert!(read.is_err(), "{}", ticket.id);
                    bad += 1;
                } else {
                    let event = read.unwrap();
                    assert_eq!(event.event_id(), format!("{SOURCE}/{}-{number}", ticket.id));
                    assert_eq!(event.correlation_id.as_deref(), Some(&*ticket.id));
                    assert_eq!(event.data["kind"], kind);
                    good += 1;
                }
            }
        }
        assert!(good > 36 && bad == 4, "{good} good, {bad} bad");
    }
}
