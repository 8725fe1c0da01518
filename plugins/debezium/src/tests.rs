//! Change events and what they become. Sample events of others are read from beside the project, where they are there.

mod cloud;
mod legacy;
mod mutations;
mod samples;

use concord_plugin::testing;

use crate::Debezium;

/// What the parts of a message become, or why they do not.
fn parts(settings: &str, body: &str) -> Vec<Result<Vec<String>, String>> {
    testing::told_parts::<Debezium>(settings, &testing::delivery("application/json", body))
}

fn told(settings: &str, body: &str) -> Vec<String> {
    let mut parts = parts(settings, body);
    assert_eq!(parts.len(), 1, "{parts:?}");
    parts.remove(0).unwrap_or_else(|reason| panic!("{reason}"))
}

fn refused(settings: &str, body: &str) -> String {
    parts(settings, body).into_iter().find_map(Result::err).unwrap_or_else(|| panic!("taken: {body}"))
}
