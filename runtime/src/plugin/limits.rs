//! What a plugin may use. Knows the bounds and their defaults; does not know how they are enforced.

use serde::{Deserialize, Serialize};

/// Bounds of one plugin. They are part of the configuration in the log, since a verdict may depend
/// on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Units of fuel, about one per Wasm instruction, that one record or one contest may take. 100
    /// million are 15 to 50 ms of a core. A booking of 600 bytes takes about 80,000 when a Rust plugin
    /// reads JSON, so this is enough for a message of some 700 KB.
    pub fuel_per_record: u64,
    /// The same for one `split`, for a delivery may hold thousands of records.
    pub fuel_per_delivery: u64,
    /// The same for `describe` and `configure`, and for the start of an instance.
    pub fuel_to_start: u64,
    /// Linear memory of an instance, in bytes.
    pub memory_bytes: usize,
    /// What one reply may hand over, in bytes as the host keeps it.
    pub output_bytes: usize,
    /// The same for the reply of `split`, which may hold a whole delivery.
    pub split_output_bytes: usize,
    /// Changes that one record may make.
    pub changes_per_record: usize,
    /// Reservation lines, over all changes of one record.
    pub lines_per_record: usize,
    /// References of one line.
    pub references_per_line: usize,
    /// Room nights that one record may set, of inventory and of stays together.
    pub room_nights_per_record: usize,
    /// Parts that one delivery may be split into.
    pub parts_per_delivery: usize,
    /// The longest stay, in nights.
    pub nights_per_stay: u32,
    /// The longest code, name or id, in bytes.
    pub code_bytes: usize,
    /// The longest value of a text field and the longest reason, in bytes.
    pub text_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            fuel_per_record: 100_000_000,
            fuel_per_delivery: 2_000_000_000,
            fuel_to_start: 2_000_000_000,
            memory_bytes: 64 << 20,
            output_bytes: 4 << 20,
            split_output_bytes: 64 << 20,
            changes_per_record: 4_096,
            lines_per_record: 1_024,
            references_per_line: 64,
            room_nights_per_record: 20_000,
            parts_per_delivery: 100_000,
            nights_per_stay: 365,
            code_bytes: 256,
            text_bytes: 4_096,
        }
    }
}

impl Limits {
    /// Whether a plugin can do anything at all within these limits.
    ///
    /// # Errors
    /// Names the first limit that is out of range, and its range.
    pub fn check(&self) -> Result<(), String> {
        let range = |name: &str, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(format!("limit `{name}` is {value}; it must lie between {least} and {most}"))
        };
        range("fuel_per_record", self.fuel_per_record, 10_000, 1 << 40)?;
        range("fuel_per_delivery", self.fuel_per_delivery, 10_000, 1 << 40)?;
        range("fuel_to_start", self.fuel_to_start, 10_000, 1 << 40)?;
        range("memory_bytes", self.memory_bytes as u64, 1 << 20, 4 << 30)?;
        range("output_bytes", self.output_bytes as u64, 4 << 10, 1 << 30)?;
        range("split_output_bytes", self.split_output_bytes as u64, 4 << 10, 1 << 30)?;
        range("changes_per_record", self.changes_per_record as u64, 1, 1_000_000)?;
        range("lines_per_record", self.lines_per_record as u64, 1, 1_000_000)?;
        range("references_per_line", self.references_per_line as u64, 0, 10_000)?;
        range("room_nights_per_record", self.room_nights_per_record as u64, 1, 40_000)?;
        range("parts_per_delivery", self.parts_per_delivery as u64, 1, 10_000_000)?;
        range("nights_per_stay", self.nights_per_stay.into(), 1, 3_650)?;
        range("code_bytes", self.code_bytes as u64, 1, 4_096)?;
        range("text_bytes", self.text_bytes as u64, 1, 1 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn the_defaults_are_within_range() {
        assert_eq!(Limits::default().check(), Ok(()));
        let none = Limits { fuel_per_record: 0, ..Limits::default() };
        assert_eq!(
            none.check(),
            Err("limit `fuel_per_record` is 0; it must lie between 10000 and 1099511627776".to_owned())
        );
    }
}
