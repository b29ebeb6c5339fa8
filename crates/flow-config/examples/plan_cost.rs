//! What planning one event costs: `cargo run --release -p flow-config --example plan_cost`, from the repository's root.
//!
//! The event is a new ticket of about 1 KB; the tickets flow evaluates eleven expressions for it (key, condition,
//! business key, eight variables), four of them in the interpreter.

#![expect(clippy::print_stdout, reason = "a measurement that a person runs in a terminal")]

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use event_model::{Coordinates, Offset, Partition, Record, SchemaIds, Schemas, decode};
use flow_config::Flow;

const EVENTS: u32 = 200_000;

fn main() -> Result<(), Box<dyn Error>> {
    let schemas = Schemas::load(Path::new("schemas"))?;
    let flow = Flow::load(Path::new("flows/tickets"), &schemas)
        .map_err(|problems| problems.iter().map(|problem| format!("{problem}\n")).collect::<String>())?;
    let value = serde_json::json!({
        "ticketId": "T-2026-004711", "kind": "created", "title": "Invoice 88120 charges the maintenance fee twice",
        "description": "The customer compared the invoice with the contract. ".repeat(14), "category": "outage",
        "sla": "gold", "channel": "portal", "reportedAt": 1_795_514_564_518_i64,
        "customer": {"id": "C-10482", "name": "Nordwerk GmbH", "type": "business", "region": "DE-NORTH"}
    });
    let record = Record {
        coordinates: Coordinates {
            topic: "crm.tickets.v1".into(),
            partition: Partition::new(0),
            offset: Offset::new(0),
        },
        key: Some(b"T-2026-004711".to_vec()),
        value: Some(value.to_string().into_bytes()),
        headers: Vec::new(),
        timestamp_ms: None,
    };
    let event = decode(&record, flow.schema(), &SchemaIds::default())?;
    for round in 1..=5 {
        let start = Instant::now();
        for _ in 0..EVENTS {
            black_box(flow.plan(black_box(&event), black_box(&record))?);
        }
        let each = start.elapsed().as_nanos() / u128::from(EVENTS);
        println!("round {round}: {each} ns per event of {} bytes", value.to_string().len());
    }
    Ok(())
}
