//! Fields that the engines write in more than one way.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::time;
use crate::variable::{Variable, VariableRow};

pub(crate) fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.as_deref().and_then(time::parse))
}

pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    or_default(deserializer)
}

pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

pub(crate) fn non_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()))
}

pub(crate) fn variables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Variable>>, D::Error> {
    let rows: Option<Vec<VariableRow>> = Option::deserialize(deserializer)?;
    Ok(rows.map(|rows| rows.into_iter().map(Variable::from).collect()))
}

pub(crate) fn variable_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Variable>, D::Error> {
    Ok(variables(deserializer)?.unwrap_or_default())
}
