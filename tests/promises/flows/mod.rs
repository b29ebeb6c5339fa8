//! The flows of this repository, each with what must really happen: on real Kafka, on both engines, with the systems they touch

mod complaints;
mod content_review;
mod contracts;
mod document_approval;
mod ended;
mod finance_exceptions;
mod master_data;
mod office;
mod over_kafka;
mod people;
mod posted;
mod tickets;
