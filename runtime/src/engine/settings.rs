//! Which ClickHouse settings a request may bring along.
//!
//! Knows names only. The writer may use every setting of the engine but a few; the reader may use those
//! that shape its own answer. What is neither known nor allowed is an error, never silently dropped.

use super::gate::{Catalog, Refusal, Role};

/// Settings that name files, or that would open a lock.
pub(super) fn denied(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("format_schema")
        || name.starts_with("format_template")
        || name.starts_with("allow_introspection")
        || matches!(name.as_str(), "output_format_schema" | "readonly" | "allow_ddl" | "storage_policy_path")
}

/// What becomes of a setting that a client gave in the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Apply,
    /// Means something to an HTTP server that is not this one, or only asks for what holds anyway.
    Ignore,
}

/// Settings of a read that cost or change nothing but its own answer.
const READER_SETTINGS: &[&str] = &[
    "add_http_cors_header",
    "aggregate_functions_null_for_empty",
    "date_time_output_format",
    "do_not_merge_across_partitions_select_final",
    "extremes",
    "final",
    "force_index_by_date",
    "force_primary_key",
    "format_csv_delimiter",
    "format_csv_null_representation",
    "format_tsv_null_representation",
    "join_use_nulls",
    "limit",
    "log_comment",
    "max_block_size",
    "max_bytes_before_external_sort",
    "max_bytes_to_read",
    "max_execution_time",
    "max_result_bytes",
    "max_result_rows",
    "max_rows_to_read",
    "max_threads",
    "offset",
    "optimize_read_in_order",
    "read_overflow_mode",
    "result_overflow_mode",
    "select_sequential_consistency",
    "session_timezone",
    "timeout_overflow_mode",
    "transform_null_in",
    "union_default_mode",
    "use_skip_indexes",
];

const READER_SETTING_PREFIXES: &[&str] = &[
    "output_format_arrow_",
    "output_format_binary_",
    "output_format_csv_",
    "output_format_decimal_",
    "output_format_json_",
    "output_format_markdown_",
    "output_format_native_",
    "output_format_parquet_",
    "output_format_pretty_",
    "output_format_tsv_",
    "output_format_write_",
];

const IGNORED_SETTINGS: &[&str] = &[
    "cancel_http_readonly_queries_on_client_close",
    "enable_http_compression",
    "http_headers_progress_interval_ms",
    "http_receive_timeout",
    "http_response_buffer_size",
    "http_send_timeout",
    "http_wait_end_of_query",
    "http_write_exception_in_output_format",
    "http_zlib_compression_level",
    "readonly",
    "send_progress_in_http_headers",
    "wait_end_of_query",
    "network_compression_method",
    "connect_timeout",
    "receive_timeout",
    "send_timeout",
];

/// Judges a setting of the URL; an unknown one is an error, as it is in ClickHouse.
pub(super) fn judge(role: Role, name: &str, catalog: &Catalog) -> Result<Verdict, Refusal> {
    if IGNORED_SETTINGS.contains(&name) {
        return Ok(Verdict::Ignore);
    }
    if !catalog.settings.contains(name) {
        let message = format!("Unknown setting {name:?}.");
        return Err(Refusal { code: 115, name: "UNKNOWN_SETTING", message });
    }
    if denied(name) {
        return Err(Refusal::denied(format!("The setting {name} is not allowed.")));
    }
    let reads =
        READER_SETTINGS.contains(&name) || READER_SETTING_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if role == Role::Reader && !reads {
        return Err(Refusal::readonly(format!("Cannot modify {name:?}: this user only reads.")));
    }
    Ok(Verdict::Apply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_judged_by_name() {
        let catalog = Catalog {
            settings: ["max_threads", "mutations_sync", "readonly", "format_schema"].map(String::from).into(),
            ..Catalog::default()
        };
        let verdict = |role, name| judge(role, name, &catalog).map_err(|refusal| refusal.code);
        assert_eq!(verdict(Role::Reader, "max_threads"), Ok(Verdict::Apply));
        assert_eq!(verdict(Role::Reader, "mutations_sync"), Err(164));
        assert_eq!(verdict(Role::Writer, "mutations_sync"), Ok(Verdict::Apply));
        assert_eq!(verdict(Role::Reader, "readonly"), Ok(Verdict::Ignore));
        assert_eq!(verdict(Role::Writer, "format_schema"), Err(497));
        assert_eq!(verdict(Role::Writer, "nonsense"), Err(115));
    }
}
