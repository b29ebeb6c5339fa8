//! What a condition proves: after `event.comment != null`, `event.comment` is not null.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

/// The dotted path that an expression spells, `event.customer.region`, or none when it is something else.
pub(crate) fn path_of(expression: &IdedExpr) -> Option<String> {
    path_segments(expression).map(|segments| segments.join("."))
}

/// As [`path_of`], in parts, the variable first.
pub(crate) fn path_segments(expression: &IdedExpr) -> Option<Vec<&str>> {
    let mut segments = Vec::new();
    let mut expression = &expression.expr;
    loop {
        if let Expr::Ident(name) = expression {
            segments.push(name.as_str());
            segments.reverse();
            return Some(segments);
        }
        let Expr::Select(select) = expression else {
            return None;
        };
        if select.test {
            return None;
        }
        segments.push(&select.field);
        expression = &select.operand.expr;
    }
}

/// The paths that are not null when `condition` is `truth`.
pub(crate) fn not_null_when(condition: &IdedExpr, truth: bool) -> Vec<String> {
    let Expr::Call(call) = &condition.expr else {
        return Vec::new();
    };
    match (call.func_name.as_str(), truth) {
        (operators::LOGICAL_AND, true) | (operators::LOGICAL_OR, false) => {
            call.args.iter().flat_map(|part| not_null_when(part, truth)).collect()
        }
        (operators::LOGICAL_NOT, _) => call.args.iter().flat_map(|inner| not_null_when(inner, !truth)).collect(),
        (operators::NOT_EQUALS, true) | (operators::EQUALS, false) => compared_with(call, is_null),
        (operators::EQUALS, true) => {
            compared_with(call, |other| matches!(&other.expr, Expr::Literal(_)) && !is_null(other))
        }
        _ => Vec::new(),
    }
}

/// The path on one side of a comparison whose other side is as asked.
fn compared_with(call: &CallExpr, other_side: impl Fn(&IdedExpr) -> bool) -> Vec<String> {
    let [left, right] = call.args.as_slice() else {
        return Vec::new();
    };
    let sides = [(left, right), (right, left)];
    sides.into_iter().filter(|(_, other)| other_side(other)).filter_map(|(side, _)| path_of(side)).collect()
}

fn is_null(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Literal(LiteralValue::Null))
}
