//! Messages and what they become. Sample messages of others are read from beside the project, where they are there.

mod inventory;
mod mutations;
mod reservations;
mod samples;

use concord_plugin::testing;

use crate::Opentravel;

/// What the parts of a message become, or why they do not.
fn parts_with(settings: &str, body: &str) -> Vec<Result<Vec<String>, String>> {
    let delivery = testing::delivery("application/xml", body);
    match testing::through::<Opentravel>(settings, &delivery) {
        Ok(parts) => parts.into_iter().map(|said| said.map(|said| testing::told(&said))).collect(),
        Err(reason) => vec![Err(reason)],
    }
}

fn told_with(settings: &str, body: &str) -> Vec<String> {
    let mut parts = parts_with(settings, body);
    assert_eq!(parts.len(), 1, "{parts:?}");
    parts.remove(0).unwrap_or_else(|reason| panic!("{reason}"))
}

fn told(body: &str) -> Vec<String> {
    told_with("{}", body)
}

fn refused_with(settings: &str, body: &str) -> String {
    parts_with(settings, body).into_iter().find_map(Result::err).unwrap_or_else(|| panic!("taken: {body}"))
}

fn refused(body: &str) -> String {
    refused_with("{}", body)
}
