//! Versions of a schema: what the next one has to be able to read, or who has to be able to read it.

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

    /// Whether this may be the version after `before`. What others write and we read, events and answers: this one reads what is written
    /// with the one before. What we write and others read, commands and replies: whoever has only the one before reads this one.
    ///
    /// # Errors
    /// What somebody could not read, and what to do.
    pub fn can_follow(&self, before: &EventSchema) -> Result<(), String> {
        let (new, old) = (&self.name, &before.name);
        if self.role != before.role {
            let (is, was) = (self.role, before.role);
            return Err(format!("{new} describes {is} and {old} {was}; begin another schema"));
        }
        if self.role.is_read_by_us() {
            self.can_read(before).map_err(|why| {
                format!("{new} cannot read what was written with {old}: {why}; give new fields a default, or begin another schema")
            })
        } else {
            before.can_read(self).map_err(|why| {
                format!("who knows {old} cannot read {new}: {why}; keep the fields that {old} has no default for, as they are, or begin another schema")
            })
        }
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

    fn versioned(role: &str, version: &str, fields: &str) -> EventSchema {
        let text =
            format!("{{\"type\":\"record\",\"name\":\"T\",\"xconnector.role\":\"{role}\",\"fields\":[{fields}]}}");
        EventSchema::parse(&format!("t/{version}"), &text).unwrap()
    }

    #[test]
    fn what_we_read_must_go_on_being_read_and_what_we_write_must_still_be_understood() {
        let follows =
            |role: &str, old: &str, new: &str| versioned(role, "v2", new).can_follow(&versioned(role, "v1", old));
        let (one, two) = (ID, &format!("{ID},{{\"name\":\"note\",\"type\":\"string\"}}"));
        for (role, more, less) in
            [("event", false, true), ("answer", false, true), ("command", true, false), ("reply", true, false)]
        {
            assert_eq!(follows(role, one, two).is_ok(), more, "{role}: a field more, without default");
            assert_eq!(follows(role, two, one).is_ok(), less, "{role}: a field less, that had no default");
            assert!(follows(role, one, "{\"name\":\"id\",\"type\":\"long\"}").is_err(), "{role}: another type");
        }
        let told = follows("command", two, one).unwrap_err();
        assert!(told.starts_with("who knows t/v1 cannot read t/v2: ") && told.contains("note"), "{told}");
        let told = versioned("answer", "v2", one).can_follow(&versioned("command", "v1", one)).unwrap_err();
        assert_eq!(told, "t/v2 describes answers and t/v1 commands; begin another schema");
    }

    #[test]
    fn a_schema_says_what_it_describes_in_one_of_four_words() {
        assert_eq!(record(ID).role(), crate::Role::Event);
        assert_eq!(versioned("command", "v1", ID).role(), crate::Role::Command);
        let text = "{\"type\":\"record\",\"name\":\"T\",\"xconnector.role\":\"commands\",\"fields\":[]}";
        let told = EventSchema::parse("t/v1", text).unwrap_err().to_string();
        assert!(
            told.contains("its xconnector.role must be \"event\" or \"reply\" or \"command\" or \"answer\""),
            "{told}"
        );
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
