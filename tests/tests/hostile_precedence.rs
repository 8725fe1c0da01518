//! Precedence plugins that answer nonsense: what the host makes of them.

use concord::plugin::{Host, Limits, LoadError, Precedence, Vocabulary};
use concord::policy::{Claim, Claimed, Contest, Fault, Policy, RoomClaim, Subject};
use concord::types::{Status, Value};
use concord_tests::guests::{Target, hostile};

fn load(rule_set: &str) -> anyhow::Result<Result<Precedence, LoadError>> {
    let cache = tempfile::tempdir()?;
    let host = Host::new(&cache.path().join("compiled"))?;
    let limits = Limits { fuel_per_record: 20_000_000, fuel_to_start: 50_000_000, ..Limits::default() };
    let vocabulary = Vocabulary { sources: vec!["ota".into(), "pms".into()], fields: vec!["price".into()] };
    let component = hostile("hostile-precedence", Target::Bare)?;
    match host.precedence(&component, limits, rule_set, &vocabulary) {
        Ok(Ok(precedence)) => Ok(Ok(precedence)),
        Ok(Err(diagnostics)) => anyhow::bail!("{diagnostics:?}"),
        Err(error) => Ok(Err(error)),
    }
}

fn contest(property: &str, price: i64) -> Contest {
    let claim = |source: &str, price| Claim { source: source.into(), value: Claimed::Value(Value::Integer(price)) };
    Contest {
        property: property.into(),
        room_type: "DBL".into(),
        subject: Subject::Field("price".into()),
        claims: vec![claim("ota", price), claim("pms", price + 1)],
    }
}

fn room_claim(property: &str) -> RoomClaim {
    RoomClaim { property: property.into(), room_type: "DBL".into(), source: "pms".into(), status: Status::Confirmed }
}

fn says<T: std::fmt::Debug>(answer: &Result<T, Fault>, text: &str) {
    match answer {
        Err(Fault(message)) => assert!(message.contains(text), "`{message}` lacks `{text}`"),
        Ok(answer) => panic!("{answer:?}, not `{text}`"),
    }
}

#[test]
fn a_rule_set_is_summed_up_or_refused() -> anyhow::Result<()> {
    let precedence = load("fine")??;
    assert_eq!((precedence.summary().name.as_str(), precedence.summary().version.as_str()), ("hostile", "ota+pms"));
    assert!(precedence.id().starts_with("precedence@"));
    let refused = load("wrong").err().map(|e| e.to_string()).unwrap_or_default();
    assert!(refused.contains("the source `pmss` is unknown"), "{refused}");
    for (rule_set, text) in [
        ("panic", "cannot read this"),
        ("loop", "fuel_to_start"),
        ("silence", "without a diagnostic"),
        ("reserved", "Concord's own"),
    ] {
        match load(rule_set)? {
            Err(LoadError::Fault(message)) => assert!(message.contains(text), "{message}"),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{rule_set} was taken"),
        }
    }
    Ok(())
}

#[test]
fn nonsense_is_a_fault_of_its_contest_only() -> anyhow::Result<()> {
    let mut precedence = load("fine")??;
    let bad = [
        ("range", "names claim 2 of 2 as the winner"),
        ("rule", "which the rule set does not have"),
        ("panic", "no rule for this"),
        ("loop", "fuel_per_record"),
        ("missing", "0 answers to 1 questions"),
        ("twice", "2 answers to 1 questions"),
    ];
    let mut contests: Vec<_> = (0..64).map(|i| contest("H1", i)).collect();
    for (i, (property, _)) in bad.iter().enumerate() {
        contests[i * 9 + 4].property = (*property).into();
    }
    let verdicts = precedence.resolve(&contests);
    assert_eq!(verdicts.len(), 64);
    for (i, verdict) in verdicts.iter().enumerate() {
        match bad.iter().position(|(property, _)| *property == &*contests[i].property) {
            Some(which) => says(verdict, bad[which].1),
            None => assert_eq!(verdict.as_ref().map(|v| (v.winner, &*v.rule)), Ok((0, "first")), "contest {i}"),
        }
    }
    // Asked again, alone and together: the same.
    assert_eq!(precedence.resolve(&contests), verdicts);
    let mut other = load("fine")??;
    let alone: Vec<_> = contests.iter().flat_map(|c| other.resolve(std::slice::from_ref(c))).collect();
    assert_eq!(alone, verdicts);
    assert!(precedence.take_failure().is_none());
    Ok(())
}

#[test]
fn ranks_and_terms_are_checked() -> anyhow::Result<()> {
    let mut precedence = load("fine")??;
    let ranks = precedence.rank(&["H1", "rule", "panic", "missing", "H1"].map(room_claim));
    assert_eq!(ranks[0].as_ref().map(|r| r.priority), Ok(-7));
    assert_eq!(ranks[0], ranks[4]);
    says(&ranks[1], "which the rule set does not have");
    says(&ranks[2], "no rule for this");
    says(&ranks[3], "0 answers");
    assert_eq!(precedence.terms("H1").map(|t| t.overbook), Ok(1));
    says(&precedence.terms("rule"), "which the rule set does not have");
    says(&precedence.terms("overbook"), "rooms of overbooking");
    says(&precedence.terms("loop"), "fuel_per_record");
    Ok(())
}
