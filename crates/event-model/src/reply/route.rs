//! Where a reply goes, and the CloudEvents headers that it carries.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::{Head, ReplyEncoding};
use crate::ids::Partition;
use crate::record::Header;

/// Where a reply goes, and how it is written.
#[derive(Clone)]
pub struct ReplyRoute<'a> {
    /// The flow that answers; part of the reply's id and source.
    pub flow: &'a str,
    /// The reply topic.
    pub topic: Arc<str>,
    /// A fixed partition, or `None` to let the key decide.
    pub partition: Option<Partition>,
    /// The source record's key, so that replies of one key stay in order.
    pub key: Option<&'a [u8]>,
    /// JSON or Avro.
    pub encoding: ReplyEncoding,
}

impl fmt::Debug for ReplyRoute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyRoute")
            .field("flow", &self.flow)
            .field("topic", &self.topic)
            .field("encoding", &self.encoding)
            .finish_non_exhaustive()
    }
}

/// The namespace of reply ids: a fixed random UUID, so that our ids meet nobody else's.
const REPLY_IDS: Uuid = Uuid::from_u128(0x5f0c_61a4_2d9b_4b7e_9a53_c81e_07d6_3b42);

impl ReplyRoute<'_> {
    /// The headers of CloudEvents' binary mode.
    pub(super) fn headers(&self, head: &Head<'_>) -> Vec<Header> {
        let content_type = match self.encoding {
            ReplyEncoding::Json => "application/json",
            ReplyEncoding::Avro => "avro/binary",
        };
        let mut headers = vec![
            Header::text("ce_specversion", "1.0"),
            Header::text("ce_id", reply_id(self.flow, head.kind, &head.cause).to_string()),
            Header::text("ce_source", format!("xconnector/{}", self.flow)),
            Header::text("ce_type", head.kind),
            Header::text("ce_time", head.time.to_string()),
        ];
        let correlation_id = head.origin.and_then(|origin| origin.correlation_id.as_deref());
        let traceparent = head.origin.and_then(|origin| origin.traceparent.as_deref());
        let optional =
            [("ce_subject", head.subject), ("ce_correlationid", correlation_id), ("traceparent", traceparent)];
        for (name, value) in optional {
            // An empty attribute is invalid in CloudEvents; an absent one is not.
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                headers.push(Header::text(name, value));
            }
        }
        headers.push(Header::text("content-type", content_type));
        headers
    }
}

/// The same flow, kind and cause give the same id, so that a consumer recognises a reply that is published again.
fn reply_id(flow: &str, kind: &str, cause: &str) -> Uuid {
    // A zero byte cannot be part of any of the three, so no two triples run together to one text.
    Uuid::new_v5(&REPLY_IDS, format!("{flow}\0{kind}\0{cause}").as_bytes())
}
