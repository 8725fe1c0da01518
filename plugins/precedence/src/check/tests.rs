//! Each finding: its place, its words, its proposal.

use crate::{Diagnostic, RuleSet, Vocabulary};

const GOOD: &str = r#"[ruleset]
name = "test"
version = "1"

[groups]
ota = ["booking-com", "expedia"]

[classes]
city = ["MAD*"]
other = ["*"]

[[field]]
id = "price-city"
fields = ["price"]
class = "city"
order = ["pms", "ota", "*"]

[[field]]
id = "inventory"
fields = ["*"]
order = ["pms", "ota"]
equal_within = 0.01

[[stay.status]]
id = "status"
order = ["checked-in@pms", "cancelled@ota", "*@*"]

[[stay.field]]
id = "details"
fields = ["placement", "money", "guests"]
order = ["pms", "ota"]

[stay]
no_show = "release"

[[capacity]]
id = "rooms"
order = ["confirmed@pms", "*@*"]
overbook = 1

[hold]
when_stale = "pms"
keep_free = 1
release = "30m"

[freshness.ota]
stale_after = "2m"
page_after = "5m"
"#;

/// The place behind the last character.
const END: &str = "";

fn vocabulary() -> Vocabulary {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Vocabulary {
        sources: owned(&["booking-com", "expedia", "pms"]),
        fields: owned(&["capacity", "availability", "closed", "price"]),
    }
}

fn findings(text: &str) -> Vec<Diagnostic> {
    RuleSet::read(text, &vocabulary()).err().unwrap_or_default()
}

/// `GOOD` with one edit has exactly one finding; its place is that of `at` in the edited text.
fn finds(old: &str, new: &str, at: &str, message: &str, proposal: &str) {
    assert_eq!(GOOD.matches(old).count(), 1, "{old} is not unique");
    let text = GOOD.replace(old, new);
    let found = findings(&text);
    let [diagnostic] = found.as_slice() else { panic!("{new}: {found:#?}") };
    assert!(diagnostic.message.contains(message), "{new}\n  says {}\n  not {message}", diagnostic.message);
    let proposed = diagnostic.proposal.as_deref().unwrap_or("");
    assert!(proposed.contains(proposal), "{new}\n  proposes {proposed}\n  not {proposal}");
    let offset = if at == END { Some(text.len()) } else { text.find(at) };
    let offset = offset.unwrap_or_else(|| panic!("{at} is not in the text"));
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    assert_eq!((diagnostic.line as usize, diagnostic.column as usize), (line, column), "{new}: {}", diagnostic.message);
}

#[test]
fn a_good_set_has_no_findings() {
    let set = RuleSet::read(GOOD, &vocabulary()).unwrap_or_else(|findings| panic!("{findings:#?}"));
    let summary = set.summary();
    assert_eq!((summary.name.as_str(), summary.version.as_str()), ("test", "1"));
    assert_eq!(summary.rules, ["price-city", "inventory", "status", "details", "rooms"], "in the order of the file");
    assert_eq!(set.hold.as_ref().unwrap().release.as_secs(), 1800);
    assert_eq!(set.freshness.len(), 2, "a group's freshness is each of its sources'");
}

#[test]
fn the_example_of_the_repository_is_good() {
    let text = include_str!("../../../../rules/hotels.toml");
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let vocabulary = Vocabulary {
        sources: owned(&["booking-com", "expedia", "pms", "website"]),
        fields: owned(&["capacity", "availability", "closed", "price", "min_stay"]),
    };
    assert_eq!(RuleSet::read(text, &vocabulary).err(), None);
}

#[test]
fn unknown_names() {
    finds(
        "\"pms\", \"ota\", \"*\"",
        "\"pms\", \"expedai\", \"*\"",
        "\"expedai\"",
        "unknown source or group \"expedai\"",
        "did you mean `expedia`?",
    );
    finds(
        "[\"booking-com\", \"expedia\"]",
        "[\"booking.com\", \"expedia\"]",
        "\"booking.com\"",
        "unknown source \"booking.com\"",
        "did you mean `booking-com`?",
    );
    finds("class = \"city\"", "class = \"citty\"", "\"citty\"", "unknown class \"citty\"", "`city`");
    finds("fields = [\"price\"]", "fields = [\"prize\"]", "\"prize\"", "unknown field \"prize\"", "`price`");
    finds(
        "\"placement\", \"money\"",
        "\"placement\", \"price\"",
        "\"price\", \"guests\"",
        "unknown field of a stay \"price\"",
        "known here: placement, money, guests",
    );
    finds("checked-in@pms", "checkedin@pms", "\"checkedin@pms\"", "unknown status \"checkedin\"", "`checked-in`");
    finds("cancelled@ota", "cancelled@otas", "\"cancelled@otas\"", "unknown source or group \"otas\"", "`ota`");
    finds(
        "\"checked-in@pms\"",
        "\"checked-in\"",
        "\"checked-in\"",
        "\"checked-in\" is no `status@source`",
        "\"checked-in@*\"",
    );
    finds("\"checked-in@pms\"", "\"pms\"", "\"pms\", \"cancelled", "\"pms\" is no `status@source`", "\"*@pms\"");
    finds(
        "[\"pms\", \"ota\", \"*\"]",
        "[\"confirmed@pms\", \"*\"]",
        "\"confirmed@pms\", \"*\"",
        "names a status",
        "\"pms\"",
    );
    finds("when_stale = \"pms\"", "when_stale = \"pmss\"", "\"pmss\"", "unknown source or group", "`pms`");
    finds("[freshness.ota]", "[freshness.otta]", "otta", "unknown source or group \"otta\"", "`ota`");
    finds("no_show = \"release\"", "no_show = \"realease\"", "\"realease\"", "unknown no_show", "`release`");
}

#[test]
fn unknown_and_missing_keys() {
    finds("keep_free", "keepfree", "keepfree", "unknown key \"keepfree\" in [hold]", "`keep_free`");
    finds(
        "overbook",
        "equal_within",
        "equal_within = 1",
        "unknown key \"equal_within\" in [[capacity]]",
        "known here: id, class, order, overbook",
    );
    finds("[hold]", "[holt]", "holt]", "unknown key \"holt\"", "`hold`");
    finds("version = \"1\"\n", "", "[ruleset]", "[ruleset] has no `version`", "add: version");
    finds("[ruleset]\nname = \"test\"\nversion = \"1\"\n", "", "\n[groups]", "no [ruleset]", "add: [ruleset]");
    finds("id = \"rooms\"\n", "", "[[capacity]]", "[[capacity]] has no `id`", "add: id");
    finds("release = \"30m\"\n", "", "[hold]", "no `release`", "add: release");
    finds("stale_after = \"2m\"\n", "", "[freshness.ota]", "no `stale_after`", "add: stale_after");
    finds("order = [\"confirmed@pms\", \"*@*\"]\n", "", "[[capacity]]", "no `order`", "add: order = [\"*@*\"]");
    finds("fields = [\"*\"]\n", "", "[[field]]\nid = \"inventory\"", "no `fields`", "add: fields = [\"*\"]");
}

#[test]
fn wrong_kinds_of_values() {
    finds(
        "[\"confirmed@pms\", \"*@*\"]",
        "\"*@*\"",
        "\"*@*\"\noverbook",
        "order has to be a list of texts, not a text",
        "",
    );
    finds("overbook = 1", "overbook = -1", "-1", "overbook has to be a whole number from 0", "");
    finds("equal_within = 0.01", "equal_within = \"1%\"", "\"1%\"", "equal_within has to be a number", "\"0.01\"");
    finds("release = \"30m\"", "release = \"30\"", "\"30\"", "release has to be a duration", "\"30m\"");
    finds("page_after = \"5m\"", "page_after = \"1m\"", "\"1m\"", "page_after is shorter than stale_after", "");
    finds("[hold]\nwhen_stale", "[[hold]]\nwhen_stale", "[[hold]]", "`hold` has to be a table, not a list", "[hold]");
    finds("[[capacity]]", "[capacity]", "[capacity]", "`capacity` has to be a list of rules", "[[capacity]]");
    finds("id = \"rooms\"", "id = \"\"", "\"\"", "id is empty", "");
    finds("id = \"rooms\"", "id = \"a\\u0000\"", "\"a\\u0000\"", "control characters", "");
    finds("id = \"rooms\"", "id = \"!fault\"", "[[capacity]]", "begins with `!`", "");
    finds("order = [\"confirmed@pms\", \"*@*\"]", "order = []", "[]", "order is empty", "");
    finds(
        "[\"booking-com\", \"expedia\"]",
        "[\"booking-com\", \"booking-com\"]",
        "\"booking-com\"]",
        "stands twice",
        "remove it",
    );
    finds("id = \"rooms\"", "id = \"status\"", "[[capacity]]", "the id \"status\" is taken", "another id");
    finds(
        "ota = [\"booking-com\", \"expedia\"]",
        "ota = [\"booking-com\"]\npms = [\"expedia\"]",
        "pms = [",
        "has the name of a source",
        "another name",
    );
    finds(
        "ota = [\"booking-com\", \"expedia\"]",
        "ota = [\"booking-com\", \"expedia\"]\n\"a@b\" = [\"pms\"]",
        "\"a@b\"",
        "cannot be called",
        "",
    );
}

#[test]
fn toml_that_does_not_read() {
    finds("version = \"1\"", "version = \"1", "\n\n[groups]", "not TOML", "");
    let found = findings("a = \nb = 1\nc = = 2\n");
    assert!(found.len() >= 2 && found.iter().all(|finding| finding.message.starts_with("not TOML")), "{found:?}");
    assert!(
        findings(&GOOD.replace("name = \"test\"", "name = \"test\"\nname = \"again\""))[0]
            .message
            .contains("duplicate key")
    );
    assert!(!findings(&format!("a = {}", "[".repeat(100_000))).is_empty(), "deep nesting is refused, not followed");
}

#[test]
fn questions_without_a_rule() {
    let found = findings(&GOOD.replace("fields = [\"*\"]", "fields = [\"capacity\", \"closed\"]"));
    let messages: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(
        messages,
        ["no rule decides the field availability", "no rule decides the field price for properties of class other"]
    );
    let proposal = found[1].proposal.as_deref().unwrap();
    assert!(
        proposal.starts_with("add: [[field]]\n")
            && proposal.contains("fields = [\"price\"]\nclass = \"other\"\norder = "),
        "{proposal}"
    );
    let rule = proposal.strip_prefix("add: ").unwrap();
    let other =
        found[0].proposal.as_deref().unwrap().strip_prefix("add: ").unwrap().replace("field-else", "field-more");
    let text = GOOD.replace("fields = [\"*\"]", "fields = [\"capacity\", \"closed\"]");
    assert_eq!(findings(&format!("{text}\n{rule}\n\n{other}\n")), [], "what is proposed helps");
    finds(
        "\"placement\", \"money\", \"guests\"",
        "\"placement\"",
        "[[stay.field]]",
        "no rule decides money and guests of a stay",
        "fields = [\"money\", \"guests\"]",
    );
    let rule = "[[stay.status]]\nid = \"status\"\norder = [\"checked-in@pms\", \"cancelled@ota\", \"*@*\"]\n";
    finds(rule, "", END, "no rule decides the status of a stay", "[[stay.status]]");
}

#[test]
fn classes_that_leave_properties_out() {
    let text = GOOD.replace("other = [\"*\"]\n", "").replace("fields = [\"*\"]", "fields = [\"*\"]\nclass = \"city\"");
    let messages: Vec<String> = findings(&text).into_iter().map(|finding| finding.message).collect();
    assert_eq!(
        messages,
        ["no rule decides the fields capacity, availability, closed and price for properties of no class"]
    );
}

#[test]
fn claims_that_an_order_leaves_out() {
    finds(
        "[\"pms\", \"ota\"]\nequal",
        "[\"pms\"]\nequal",
        "[\"pms\"]\nequal",
        "the order of rule \"inventory\" leaves out booking-com and expedia",
        "add to its end: \"booking-com\", \"expedia\", or \"*\"",
    );
    finds(
        "\"cancelled@ota\", \"*@*\"",
        "\"*@pms\", \"*@booking-com\"",
        "[\"checked-in@pms\"",
        "leaves out *@expedia",
        "\"*@expedia\", or \"*@*\" for all the rest",
    );
    finds(
        "\"cancelled@ota\", \"*@*\"",
        "\"*@ota\", \"confirmed@*\", \"tentative@pms\"",
        "[\"checked-in@pms\"",
        "leaves out reinstated@pms, checked-out@pms, cancelled@pms and no-show@pms",
        "\"*@*\"",
    );
    finds(
        "[\"confirmed@pms\", \"*@*\"]",
        "[\"confirmed@*\", \"tentative@*\", \"checked-in@*\", \"checked-out@pms\", \"reinstated@pms\", \"reinstated@ota\"]",
        "[\"confirmed@*\"",
        "leaves out checked-out@booking-com and checked-out@expedia",
        "",
    );
}

#[test]
fn whether_a_no_show_needs_a_room_is_a_setting() {
    let all = "[\"confirmed@*\", \"tentative@*\", \"checked-in@*\", \"checked-out@*\", \"reinstated@*\"]";
    let text = GOOD.replace("[\"confirmed@pms\", \"*@*\"]", all);
    assert_eq!(findings(&text), []);
    let found = findings(&text.replace("\"release\"", "\"first-night\""));
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("leaves out no-show@*"), "{found:?}");
}

#[test]
fn entries_that_can_never_apply() {
    finds(
        "[\"pms\", \"ota\", \"*\"]",
        "[\"pms\", \"ota\", \"expedia\", \"*\"]",
        "\"expedia\", \"*\"",
        "\"expedia\" can never apply in rule \"price-city\": \"ota\" comes before it",
        "move it further up",
    );
    finds("[\"pms\", \"ota\", \"*\"]", "[\"*\", \"pms\"]", "\"pms\"]", "\"*\" comes before it", "");
    finds(
        "[\"pms\", \"ota\", \"*\"]",
        "[\"pms\", \"booking-com\", \"expedia\", \"ota\"]",
        "\"ota\"]",
        "\"booking-com\", \"expedia\" come before it",
        "",
    );
    finds(
        "\"cancelled@ota\", \"*@*\"",
        "\"cancelled@ota\", \"cancelled@expedia\", \"*@*\"",
        "\"cancelled@expedia\"",
        "\"cancelled@ota\" comes before it",
        "",
    );
    finds(
        "[\"confirmed@pms\", \"*@*\"]",
        "[\"confirmed@pms\", \"cancelled@pms\", \"*@*\"]",
        "\"cancelled@pms\"",
        "a stay that is cancelled needs no room",
        "",
    );
    finds(
        "[\"confirmed@pms\", \"*@*\"]",
        "[\"confirmed@pms\", \"no-show@ota\", \"*@*\"]",
        "\"no-show@ota\"",
        "a stay that is no-show needs no room",
        "",
    );
    finds("[\"pms\", \"ota\", \"*\"]", "[\"pms\", \"ota\", \"pms\"]", "\"pms\"]", "stands twice in order", "remove it");
}

#[test]
fn rules_that_can_never_apply() {
    let more = |rule: &str| format!("{rule}\n[[stay.status]]");
    finds(
        "[[stay.status]]",
        &more("[[field]]\nid = \"late\"\nfields = [\"price\"]\norder = [\"*\"]\n"),
        "[[field]]\nid = \"late\"",
        "the rule \"late\" can never apply: price-city and inventory before it cover",
        "move it further up",
    );
    finds(
        "[[stay.status]]",
        &more("[[stay.status]]\nid = \"early\"\norder = [\"*@*\"]\n"),
        "[[stay.status]]\nid = \"status\"",
        "the rule \"status\" can never apply: early before it covers",
        "",
    );
    let text = GOOD
        .replace("fields = [\"price\"]\nclass = \"city\"", "fields = [\"price\"]")
        .replace("fields = [\"*\"]", "fields = [\"price\", \"*\"]");
    let found = findings(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].line, found[0].column), (19, 11));
    assert_eq!(found[0].message, "\"price\" can never apply in rule \"inventory\": the rule \"price-city\" decides it");
}

#[test]
fn patterns_that_can_never_apply() {
    finds(
        "city = [\"MAD*\"]",
        "city = [\"MAD*\", \"MAD0?\"]",
        "\"MAD0?\"",
        "\"MAD0?\" can never apply: \"MAD*\" of class \"city\"",
        "remove it",
    );
    finds(
        "other = [\"*\"]",
        "other = [\"MAD001\", \"*\"]",
        "\"MAD001\"",
        "\"MAD*\" of class \"city\" comes before it",
        "move the class further up",
    );
}

/// Every prefix of a rule set, and every prefix with a line gone: findings, never a panic.
#[test]
fn broken_sets_never_panic() {
    for (end, _) in GOOD.char_indices() {
        let _findings = findings(&GOOD[..end]);
    }
    let lines: Vec<&str> = GOOD.lines().collect();
    for gone in 0..lines.len() {
        let mut rest = lines.clone();
        rest.remove(gone);
        let _findings = findings(&rest.join("\n"));
        rest.truncate(gone);
        let _findings = findings(&rest.join("\n"));
    }
}
