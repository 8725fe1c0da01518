//! Findings, and the words in them: places, lists, what somebody may have meant.
//!
//! Does not know rules.

use crate::Diagnostic;

/// A diagnostic before its place is counted out.
#[derive(Debug)]
pub struct Finding {
    /// Byte offset in the text.
    pub at: usize,
    pub message: String,
    pub proposal: Option<String>,
}

impl Finding {
    pub fn new(at: usize, message: impl Into<String>) -> Self {
        Finding { at, message: message.into(), proposal: None }
    }

    pub fn propose(self, proposal: impl Into<String>) -> Self {
        Finding { proposal: Some(proposal.into()), ..self }
    }

    /// With line and column.
    pub fn diagnostic(self, text: &str) -> Diagnostic {
        let before = text.get(..self.at).unwrap_or(text);
        let last = before.rsplit('\n').next().unwrap_or("");
        Diagnostic {
            line: count(before.matches('\n').count() + 1),
            column: count(last.chars().count() + 1),
            message: self.message,
            proposal: self.proposal,
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A finding about a name that nobody knows, with the nearest known one as proposal.
pub fn unknown<'k>(at: usize, what: &str, name: &str, known: impl Iterator<Item = &'k str> + Clone) -> Finding {
    let finding = Finding::new(at, format!("unknown {what} {name:?}"));
    if let Some(near) = nearest(name, known.clone()) {
        return finding.propose(format!("did you mean `{near}`?"));
    }
    let known: Vec<&str> = known.collect();
    if known.is_empty() {
        return finding;
    }
    finding.propose(format!("known here: {}", known.join(", ")))
}

/// The known name that differs by the fewest edits, if they are few.
pub fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let most = (name.chars().count() / 3).max(1) + usize::from(name.chars().count() > 4);
    known
        .map(|candidate| (edits(&name.to_ascii_lowercase(), &candidate.to_ascii_lowercase()), candidate))
        .filter(|(edits, _)| *edits <= most)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other.
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().take(64).collect(), to.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut cost = (above[j] + usize::from(a != b)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

/// `a`, `a and b`, `a, b and c`.
pub fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `"a", "b"` as TOML writes a list of texts.
pub fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_proposed() {
        let known = ["pms", "booking-com", "expedia", "website"];
        for (name, expected) in [
            ("expedai", Some("expedia")),
            ("Expedia", Some("expedia")),
            ("booking.com", Some("booking-com")),
            ("pm", Some("pms")),
            ("web", None),
            ("hotelbeds", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
    }

    #[test]
    fn places_are_counted_in_characters() {
        let text = "a\né = \"x\"";
        let diagnostic = Finding::new(text.find("= ").unwrap(), "m").diagnostic(text);
        assert_eq!((diagnostic.line, diagnostic.column), (2, 3));
    }

    #[test]
    fn lists_read_well() {
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
        assert_eq!(listed(&["a"]), "a");
    }
}
