//! The two worlds of `wit/`, as wasmtime generates them. Knows the wire's words only.
//!
//! Requests to a normalizer are borrowed, since bodies are large; questions to a precedence plugin
//! are small, and an answer that is known already is not asked again.

/// A plugin per source.
#[allow(dead_code, unused_variables, missing_docs, clippy::all)]
pub mod normalizer {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "normalizer",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// The plugin that holds the rules.
#[allow(dead_code, unused_variables, missing_docs, clippy::all)]
pub mod precedence {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "precedence",
        with: { "concord:plugin/types": super::normalizer::concord::plugin::types },
    });
}
