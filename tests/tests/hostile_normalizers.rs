//! Normalizers that loop, grow, trap, lie and shout: what the host makes of them.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use concord::change::{Action, Change};
use concord::plugin::{Delivery, Event, Host, Limits, LoadError, Normalized, Normalizer, Precedence, Split};
use concord::types::{Day, FieldType};
use concord_tests::guests::{Target, hostile};

/// One host for all tests: each plugin is compiled once.
fn host() -> anyhow::Result<Host> {
    static HOST: OnceLock<(Host, tempfile::TempDir)> = OnceLock::new();
    if let Some((host, _)) = HOST.get() {
        return Ok(host.clone());
    }
    let cache = tempfile::tempdir()?;
    let host = Host::new(&cache.path().join("compiled"))?;
    Ok(HOST.get_or_init(|| (host, cache)).0.clone())
}

fn load(package: &str, target: Target) -> anyhow::Result<Normalizer> {
    let limits = Limits { fuel_per_record: 20_000_000, fuel_per_delivery: 200_000_000, ..Limits::default() };
    let mut normalizer = host()?.normalizer(&hostile(package, target)?, limits)?;
    let fields = [("price", FieldType::Money), ("min_stay", FieldType::Integer), ("note", FieldType::Text)];
    normalizer.set_fields(&fields.map(|(name, kind)| (Arc::from(name), kind)).into_iter().collect());
    Ok(normalizer)
}

fn hostile_normalizer() -> anyhow::Result<Normalizer> {
    load("hostile-normalizer", Target::Bare)
}

fn event(id: usize, body: &str) -> Event {
    Event {
        id: format!("e{id}"),
        time: Some(1_700_000_000_000_000),
        property: "H1".into(),
        date: Day(20_513),
        content_type: "text/plain".into(),
        attributes: vec![("hotel".into(), "H1".into())],
        body: body.as_bytes().to_vec().into(),
    }
}

fn events(bodies: &[&str]) -> Vec<Event> {
    bodies.iter().enumerate().map(|(i, body)| event(i, body)).collect()
}

/// What a normalizer says to one body.
fn alone(normalizer: &mut Normalizer, body: &str) -> anyhow::Result<Normalized> {
    let mut all = normalizer.normalize("{}", &events(&[body]))?;
    all.pop().ok_or_else(|| anyhow::anyhow!("no answer"))
}

/// Expects a fault with all of these texts in its message.
fn fault(normalizer: &mut Normalizer, body: &str, texts: &[&str]) -> anyhow::Result<()> {
    match alone(normalizer, body)? {
        Normalized::Fault(message) => {
            for text in texts {
                assert!(message.contains(text), "{body}: `{message}` lacks `{text}`");
            }
        }
        other => panic!("{body}: {other:?}"),
    }
    Ok(())
}

fn rejected(normalizer: &mut Normalizer, body: &str, reason: &str) -> anyhow::Result<()> {
    assert_eq!(alone(normalizer, body)?, Normalized::Rejected(reason.into()), "{body}");
    Ok(())
}

/// Each partition has its own plugins and moves between threads with them.
#[test]
fn plugins_can_be_sent_to_another_thread() {
    fn sent<T: Send>() {}
    fn shared<T: Sync>() {}
    sent::<Normalizer>();
    sent::<Precedence>();
    sent::<Host>();
    shared::<Host>();
}

#[test]
fn it_describes_itself() -> anyhow::Result<()> {
    let normalizer = hostile_normalizer()?;
    assert_eq!(&*normalizer.id(), "hostile@1.0.0");
    assert_eq!(normalizer.describe().fields, ["price"]);
    Ok(())
}

#[test]
fn a_booking_comes_through() -> anyhow::Result<()> {
    let mut normalizer = hostile_normalizer()?;
    let Normalized::Said { property, changes } = alone(&mut normalizer, "book")? else { panic!("not said") };
    assert_eq!(&*property, "H1");
    let [Change { revision: None, action: Action::LineSet { reservation, line } }] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    assert_eq!((&**reservation, line.arrival, line.departure), ("e0", Some(Day(20_513)), Some(Day(20_515))));
    Ok(())
}

#[test]
fn what_takes_too_much_is_a_fault() -> anyhow::Result<()> {
    let mut n = hostile_normalizer()?;
    fault(&mut n, "loop", &["20000000 units of fuel", "fuel_per_record"])?;
    fault(&mut n, "grow", &["bytes of memory", "memory_bytes"])?;
    fault(&mut n, "recurse", &["recursion"])?;
    fault(&mut n, "descend", &["recursion"])?;
    fault(&mut n, "shout", &["fuel_per_record"])?;
    fault(&mut n, "huge-text", &["larger than 4194304 bytes", "output_bytes"])?;
    fault(&mut n, "huge-list", &["larger than 4194304 bytes", "output_bytes"])?;
    assert!(matches!(alone(&mut n, "book")?, Normalized::Said { .. }));
    Ok(())
}

#[test]
fn a_panic_keeps_its_words() -> anyhow::Result<()> {
    let mut n = hostile_normalizer()?;
    fault(&mut n, "panic 4711", &["panicked on one record", "its last words", "no room 4711"])?;
    // Only the last lines are kept, so the reason is not drowned.
    fault(&mut n, "chatter", &["line 9999", "enough"])?;
    let Normalized::Fault(message) = alone(&mut n, "chatter")? else { panic!("no fault") };
    assert!(message.len() < 10_000, "{} bytes", message.len());
    Ok(())
}

#[test]
fn wrong_counts_and_places_are_faults() -> anyhow::Result<()> {
    let mut n = hostile_normalizer()?;
    fault(&mut n, "missing", &["0 answers to 1 questions"])?;
    fault(&mut n, "twice", &["2 answers to 1 questions"])?;
    fault(&mut n, "misplaced", &["answered record 7 in place of record 0"])?;
    Ok(())
}

#[test]
fn replies_that_are_no_replies_are_faults() -> anyhow::Result<()> {
    let mut n = load("hostile-raw", Target::Bare)?;
    for body in ["discriminant", "beyond", "endless", "text beyond", "utf8", "crooked"] {
        fault(&mut n, body, &["the plugin"])?;
    }
    rejected(&mut n, "fine", "the plugin rejected the message without a reason")?;
    assert!(matches!(n.split("{}", &Delivery::default())?, Split::Fault(_)));
    Ok(())
}

#[test]
fn a_rejection_is_the_guests_own() -> anyhow::Result<()> {
    let mut n = hostile_normalizer()?;
    rejected(&mut n, "reject no arrival date", "no arrival date")?;
    let Normalized::Rejected(reason) = alone(&mut n, "long-reject")? else { panic!("not rejected") };
    assert_eq!(reason.len(), 4_096 + " ...".len());
    Ok(())
}

#[test]
fn another_property_is_left_to_the_merge() -> anyhow::Result<()> {
    let mut n = hostile_normalizer()?;
    let Normalized::Said { property, .. } = alone(&mut n, "elsewhere")? else { panic!("not said") };
    assert_eq!(&*property, "OTHER");
    rejected(&mut n, "nowhere", "the property is empty")
}

#[test]
fn values_out_of_bounds_are_rejected_in_words() -> anyhow::Result<()> {
    let mut n = hostile_normalizer()?;
    let range = "1900-01-01 to 2299-12-31";
    rejected(&mut n, "stay 20514 20513", "departure 2026-03-01 is not after arrival 2026-03-02 (reservation 4711)")?;
    rejected(
        &mut n,
        "stay 20513 20879",
        "the stay 2026-03-01 to 2027-03-02 has 366 nights; at most 365 are taken (reservation 4711)",
    )?;
    rejected(&mut n, "stay 200000 200001", &format!("the arrival lies outside {range} (200000 days from 1970-01-01)"))?;
    rejected(&mut n, "money 12345678 5 EUR", "`amount` 123.45678 has more than four decimals")?;
    rejected(
        &mut n,
        "money 9223372036854775807 0 EUR",
        "`amount` 9223372036854775807 does not fit: at most 99999999999999.9999 is taken",
    )?;
    rejected(&mut n, "money 1 200 EUR", "`amount` 1e-200 has a scale over 18")?;
    rejected(&mut n, "money 1 2 euro", "the currency `euro` of `amount` is no ISO 4217 code such as EUR")?;
    rejected(&mut n, "set capacity integer -1", "`capacity` is -1; it must lie between 0 and 2147483647")?;
    rejected(&mut n, "set closed integer 1", "the field `closed` takes a boolean, not an integer")?;
    rejected(&mut n, "set price integer 1", "the field `price` takes money, not an integer")?;
    rejected(
        &mut n,
        "set colour text x 1",
        "the field `colour` is not declared; add it to the pipeline's `[fields]` table",
    )?;
    rejected(&mut n, "set note text x 5000", "the text of `note` has 5000 bytes; at most 4096 are allowed")?;
    rejected(&mut n, "nights 20514 20514", "the end 2026-03-02 is not after the first day 2026-03-02")?;
    rejected(&mut n, "revision 0", "a revision has 0 numbers; it needs between 1 and 8")?;
    rejected(&mut n, "revision 9", "a revision has 9 numbers; it needs between 1 and 8")?;
    rejected(&mut n, "line ", "the room type is empty")?;
    rejected(&mut n, "line aNULb", "the room type `a\\0b` contains control characters")?;
    rejected(&mut n, "same-lines", "reservation r lists its line 1 twice")?;
    for fine in ["stay 20513 20878", "money 12345600 5 EUR", "set price money 9900 EUR", "set min_stay integer -3"] {
        assert!(matches!(alone(&mut n, fine)?, Normalized::Said { .. }), "{fine}");
    }
    Ok(())
}

#[test]
fn too_much_in_one_message_is_too_large() -> anyhow::Result<()> {
    let mut n = hostile_normalizer()?;
    for body in ["many", "references 65", "nights -20000 100000"] {
        let said = alone(&mut n, body)?;
        assert!(matches!(&said, Normalized::TooLarge(reason) if reason.starts_with("more than")), "{body}: {said:?}");
    }
    // A withdrawal reaches only what is there; it may speak of all time.
    assert!(matches!(alone(&mut n, "withdraw -20000 100000")?, Normalized::Said { .. }));
    Ok(())
}

#[test]
fn one_poisoned_record_harms_nobody_else() -> anyhow::Result<()> {
    let mut n = hostile_normalizer()?;
    for poison in ["loop", "panic 1", "grow", "missing", "twice", "huge-list", "recurse"] {
        let mut bodies = vec!["book"; 64];
        bodies[29] = poison;
        let said = n.normalize("{}", &events(&bodies))?;
        assert_eq!(said.len(), 64);
        for (i, said) in said.iter().enumerate() {
            let fine =
                if i == 29 { matches!(said, Normalized::Fault(_)) } else { matches!(said, Normalized::Said { .. }) };
            assert!(fine, "{poison}, record {i}: {said:?}");
        }
    }
    Ok(())
}

/// The verdict depends neither on the company nor on what the instance did before.
#[test]
fn every_cut_gives_the_same_verdicts() -> anyhow::Result<()> {
    let commands = [
        "book",
        "loop",
        "panic 7",
        "reject why",
        "book",
        "twice",
        "hoard",
        "work 1000000",
        "many",
        "work 2500000",
        "grow",
        "sulk",
        "book",
        "misplaced",
        "huge-text",
        "stay 5 4",
        "work 3900000",
        "chatter",
        "recurse",
        "book",
        "work 1700000",
        "hoard",
    ];
    let bodies: Vec<&str> = commands.iter().copied().cycle().take(90).collect();
    let all = events(&bodies);
    let mut expected = Vec::new();
    for event in &all {
        expected.extend(hostile_normalizer()?.normalize("{}", std::slice::from_ref(event))?);
    }
    let backwards: Vec<usize> = (0..90).rev().collect();
    let shuffled: Vec<usize> = (0..90).map(|i| (i * 37 + 11) % 90).collect();
    let in_order: Vec<usize> = (0..90).collect();
    for (order, cut) in
        [(&in_order, 1), (&in_order, 7), (&in_order, 90), (&backwards, 90), (&shuffled, 64), (&shuffled, 2)]
    {
        let mut normalizer = hostile_normalizer()?;
        for batch in order.chunks(cut) {
            let asked: Vec<_> = batch.iter().map(|i| all[*i].clone()).collect();
            for (said, i) in normalizer.normalize("{}", &asked)?.iter().zip(batch) {
                assert_eq!(said, &expected[*i], "cut {cut}, record {i}: {}", bodies[*i]);
            }
        }
    }
    Ok(())
}

#[test]
fn heavy_records_need_no_company_of_their_own() -> anyhow::Result<()> {
    let mut n = hostile_normalizer()?;
    let heavy = vec!["work 1500000"; 256];
    let said = n.normalize("{}", &events(&heavy))?;
    assert!(said.iter().all(|s| matches!(s, Normalized::Said { .. })));
    Ok(())
}

#[test]
fn deliveries_are_split_within_bounds() -> anyhow::Result<()> {
    let mut n = hostile_normalizer()?;
    let mut split =
        |body: &str| n.split("{}", &Delivery { body: body.as_bytes().to_vec().into(), ..Delivery::default() });
    let Split::Routed(parts) = split("hello")? else { panic!("not routed") };
    assert_eq!((&*parts[0].property, parts[0].body.as_ref()), ("H1", None));
    assert_eq!((&*parts[1].property, parts[1].body.as_deref()), ("H2", Some(&b"hello"[..])));
    assert!(matches!(split("split loop")?, Split::Fault(reason) if reason.contains("fuel_per_delivery")));
    assert_eq!(split("split reject")?, Split::Rejected("no hotel in it".into()));
    assert!(matches!(split("split nothing")?, Split::Rejected(_)));
    assert!(matches!(split("split far")?, Split::Rejected(_)));
    assert_eq!(split("split nameless")?, Split::Rejected("the property is empty".into()));
    assert!(matches!(split("split many")?, Split::TooLarge(_)));
    Ok(())
}

/// WASI is there and nothing happens in it.
#[test]
fn wasi_is_inert() -> anyhow::Result<()> {
    let mut n = load("hostile-inert", Target::Wasi)?;
    rejected(&mut n, "clock", "Ok(0ns)")?;
    rejected(&mut n, "environment", "0 0")?;
    rejected(&mut n, "files", "Err(NotFound)")?;
    rejected(&mut n, "input", "Some(0)")?;
    rejected(&mut n, "sleep", "0ns")?;
    fault(&mut n, "panic", &["so far so good", "and no further"])?;
    fault(&mut n, "exit", &["exit"])?;
    let first = alone(&mut load("hostile-inert", Target::Wasi)?, "random")?;
    assert_eq!(first, alone(&mut load("hostile-inert", Target::Wasi)?, "random")?);
    Ok(())
}

fn refusal(component: &[u8]) -> anyhow::Result<LoadError> {
    match host()?.normalizer(component, Limits::default()) {
        Ok(_) => anyhow::bail!("it was loaded"),
        Err(error) => Ok(error),
    }
}

/// Replaces a name inside a component by one of the same length.
fn patched(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = component.to_vec();
    let mut place = 0;
    while let Some(at) = bytes[place..].windows(from.len()).position(|w| w == from.as_bytes()) {
        bytes[place + at..place + at + to.len()].copy_from_slice(to.as_bytes());
        place += at + to.len();
    }
    assert!(place > 0, "{from} is not in it");
    bytes
}

#[test]
fn a_component_can_be_inspected() -> anyhow::Result<()> {
    let bare = host()?.inspect(&hostile("hostile-normalizer", Target::Bare)?)?;
    assert_eq!(bare.world, "normalizer");
    assert!(bare.imports.iter().all(|name| name.starts_with("concord:plugin/")), "{:?}", bare.imports);
    let wasi = host()?.inspect(&hostile("hostile-inert", Target::Wasi)?)?;
    assert!(wasi.imports.iter().any(|name| name.starts_with("wasi:cli/environment@")), "{:?}", wasi.imports);
    assert_eq!(host()?.inspect(&hostile("hostile-precedence", Target::Bare)?)?.world, "precedence");
    Ok(())
}

#[test]
fn unfit_components_are_refused_with_a_reason() -> anyhow::Result<()> {
    let fine = hostile("hostile-normalizer", Target::Bare)?;
    let wasi = hostile("hostile-inert", Target::Wasi)?;
    assert!(matches!(refusal(b"not wasm")?, LoadError::NotWasm));
    assert!(matches!(refusal(b"\0asm\x01\0\0\0")?, LoadError::CoreModule));
    assert!(matches!(refusal(&fine[..fine.len() / 2])?, LoadError::Invalid(_)));
    let world = refusal(&hostile("hostile-precedence", Target::Bare)?)?;
    assert_eq!(
        world.to_string(),
        "this is a precedence plugin; a normalizer plugin is needed here (one that exports `concord:plugin/normalize@0.1.0`)"
    );
    let version = refusal(&patched(&fine, "normalize@0.1.0", "normalize@0.2.0"))?;
    assert!(
        matches!(&version, LoadError::WrongVersion { found, .. } if found.ends_with("normalize@0.2.0")),
        "{version}"
    );
    let import = refusal(&patched(&fine, "plugin/log@0.1.0", "plugin/net@0.1.0"))?;
    assert!(
        matches!(&import, LoadError::ForbiddenImport { import, .. } if import == "concord:plugin/net@0.1.0"),
        "{import}"
    );
    let socket = refusal(&patched(&wasi, "wasi:cli/environment@", "wasi:sockets/tcp-abc@"))?;
    assert!(socket.to_string().contains("a plugin reaches no network"), "{socket}");
    let function = refusal(&patched(&fine, "describe", "descrabe"))?;
    assert!(matches!(function, LoadError::Interface { .. }), "{function}");
    Ok(())
}

#[test]
fn compiled_plugins_are_kept_privately() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let component = hostile("hostile-normalizer", Target::Bare)?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("compiled");
    Host::new(&path)?.normalizer(&component, Limits::default())?;
    assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o700);
    let artefacts = || -> anyhow::Result<Vec<_>> { Ok(std::fs::read_dir(&path)?.collect::<Result<Vec<_>, _>>()?) };
    let [artefact] = artefacts()?.try_into().map_err(|all| anyhow::anyhow!("{all:?}"))?;

    // Damaged, foreign and readable by others: made anew each time, and never run.
    let whole = std::fs::read(artefact.path())?;
    let mut damaged = whole.clone();
    *damaged.last_mut().ok_or_else(|| anyhow::anyhow!("empty"))? ^= 1;
    for content in [&damaged[..], &whole[..100], b""] {
        std::fs::write(artefact.path(), content)?;
        Host::new(&path)?.normalizer(&component, Limits::default())?;
        assert_eq!(std::fs::read(artefact.path())?.len(), whole.len());
    }
    std::fs::set_permissions(artefact.path(), std::fs::Permissions::from_mode(0o666))?;
    Host::new(&path)?.normalizer(&component, Limits::default())?;
    assert_eq!(std::fs::metadata(artefact.path())?.permissions().mode() & 0o777, 0o600);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    let refused = Host::new(&path).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(refused.contains("its mode is 755"), "{refused}");
    Ok(())
}

/// Fields are checked against what the pipeline declares at the moment.
#[test]
fn fields_can_be_declared_later() -> anyhow::Result<()> {
    let mut n = hostile_normalizer()?;
    n.set_fields(&HashMap::from([("colour".into(), FieldType::Text)]));
    assert!(matches!(alone(&mut n, "set colour text x 1")?, Normalized::Said { .. }));
    assert!(matches!(alone(&mut n, "set price money 1 EUR")?, Normalized::Rejected(_)));
    Ok(())
}
