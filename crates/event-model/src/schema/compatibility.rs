//! Versions of a schema: what the next one has to be able to read.

use std::collections::BTreeMap;

use apache_avro::schema_compatibility::SchemaCompatibility;

use super::{EventSchema, Schemas, with_causes};

impl EventSchema {
    /// Whether data that was written with `writer` can be read as this one (Avro schema resolution), so JSON as well as Avro: what is
    /// missing has a default.
    ///
    /// # Errors
    /// What cannot be read, in Avro's words.
    pub fn can_read(&self, writer: &EventSchema) -> Result<(), String> {
        SchemaCompatibility::can_read(&writer.avro, &self.avro).map_err(|error| with_causes(&error))
    }
}

impl Schemas {
    /// The versions of each schema, `v1`, `v2` …, oldest first, by the name before the slash.
    #[must_use]
    pub fn families(&self) -> BTreeMap<String, BTreeMap<u32, std::sync::Arc<EventSchema>>> {
        let mut families: BTreeMap<String, BTreeMap<u32, _>> = BTreeMap::new();
        let names: Vec<String> = self.names().map(|name| name.to_string()).collect();
        for name in names {
            let version = |name: &str| {
                let (family, version) = name.rsplit_once('/')?;
                Some((family.to_owned(), version.strip_prefix('v')?.parse::<u32>().ok()?))
            };
            if let (Some((family, version)), Some(schema)) = (version(&name), self.get(&name)) {
                families.entry(family).or_default().insert(version, schema);
            }
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> EventSchema {
        let text = format!("{{\"type\":\"record\",\"name\":\"T\",\"fields\":[{fields}]}}");
        EventSchema::parse("t/v1", &text).unwrap()
    }

    const ID: &str = "{\"name\":\"id\",\"type\":\"string\"}";

    #[test]
    fn the_next_version_reads_the_last_one_or_is_told_what_it_cannot_read() {
        let old = record(ID);
        let reads = |fields: &str| record(fields).can_read(&old).is_ok();
        assert!(reads(ID));
        assert!(
            reads(&format!("{ID},{{\"name\":\"note\",\"type\":[\"null\",\"string\"],\"default\":null}}")),
            "optional"
        );
        assert!(reads("{\"name\":\"note\",\"type\":[\"null\",\"string\"],\"default\":null}"), "a field less");
        assert!(!reads(&format!("{ID},{{\"name\":\"note\",\"type\":\"string\"}}")), "a field that old data lacks");
        assert!(!reads("{\"name\":\"id\",\"type\":\"long\"}"), "another type");
        let choice = |symbols: &str| {
            record(&format!("{{\"name\":\"k\",\"type\":{{\"type\":\"enum\",\"name\":\"K\",\"symbols\":[{symbols}]}}}}"))
        };
        assert!(choice("\"a\",\"b\"").can_read(&choice("\"a\"")).is_ok());
        assert!(choice("\"a\"").can_read(&choice("\"a\",\"b\"")).is_err(), "a symbol less");
        assert!(record(&format!("{ID},{{\"name\":\"n\",\"type\":\"int\"}}")).can_read(&old).unwrap_err().contains("n"));
    }
}
