//! What the reader takes and what it refuses, with the words.

use super::*;

const CLEANER: Cleaner =
    Cleaner { without_elements: &["PaymentCard"], without_attributes: &["seriesCode"], identities: &["ID"] };

fn refused(input: &[u8]) -> String {
    let refused = match decode(input) {
        Ok(text) => parse(&text).map(|_| ()),
        Err(rejection) => Err(rejection),
    };
    refused.expect_err(&String::from_utf8_lossy(input)).0
}

/// The text of the element `t`.
fn text_of(input: &[u8]) -> String {
    let text = decode(input).expect("an encoding that is read");
    let document = parse(&text).expect("a document");
    let at = document.root().first("t").expect("an element t");
    at.text().map(|text| text.as_str().to_owned()).unwrap_or_default()
}

#[test]
fn names_count_without_their_prefix() {
    let text = r#"<?xml version="1.0"?>
        <s:Envelope xmlns:s="urn:soap"><s:Header/><s:Body>
          <o:Message xmlns:o="urn:o" Version="1"><o:Part o:ID="7" xsi:type="x"/></o:Message>
        </s:Body></s:Envelope>"#;
    let document = parse(text).unwrap();
    let message = document.message().unwrap();
    assert_eq!((message.name(), message.needs("Version").unwrap().count()), ("Message", Ok(1)));
    let part = message.first("Part").unwrap();
    assert_eq!(part.attributes().collect::<Vec<_>>(), [("ID", "7")]);
    assert_eq!(part.needs("ID").unwrap().path(), "Body/Message/Part/@ID");
}

#[test]
fn an_envelope_holds_a_message() {
    for (text, words) in [
        ("<Envelope/>", "Envelope: Body is missing"),
        ("<Envelope><Body/></Envelope>", "Body: the SOAP body is empty"),
        ("<Envelope><Body><s:Fault/></Body></Envelope>", "Body/Fault: a SOAP fault is no message"),
    ] {
        assert_eq!(parse(text).unwrap().message().unwrap_err().0, words);
    }
}

#[test]
fn texts_come_in_any_spelling() {
    for (input, expected) in [
        (&b"<a><t> two  words\n</t></a>"[..], "two  words"),
        (b"<a><t>a&amp;b&lt;&#233;&#x20AC;</t></a>", "a&b<\u{e9}\u{20ac}"),
        (b"<a><t>a<![CDATA[<&>]]>b<!-- no --></t></a>", "a<&>b"),
        (b"<a><t>a<u>inner</u>b</t></a>", "ab"),
        (b"<a><t/></a>", ""),
        ("\u{feff}<a><t>予約 забронировано حجز</t></a>".as_bytes(), "予約 забронировано حجز"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><a><t>M\xfcnchen</t></a>", "München"),
        (b"<?xml version=\"1.0\" encoding = \"utf-8\"?><a><t>M\xc3\xbcnchen</t></a>", "München"),
    ] {
        assert_eq!(text_of(input), expected, "{}", String::from_utf8_lossy(input));
    }
}

#[test]
fn utf_16_is_read_with_and_without_a_mark() {
    let text = "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a><t>Zürich 予約</t></a>";
    let units: Vec<u16> = text.encode_utf16().collect();
    let big = |mark: &[u8]| [mark, &units.iter().flat_map(|unit| unit.to_be_bytes()).collect::<Vec<_>>()].concat();
    let little = |mark: &[u8]| [mark, &units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>()].concat();
    for input in [big(&[0xFE, 0xFF]), big(&[]), little(&[0xFF, 0xFE]), little(&[])] {
        assert_eq!(text_of(&input), "Zürich 予約");
    }
    let mut half = big(&[0xFE, 0xFF]);
    half.pop();
    assert!(refused(&half).contains("half a character"));
    assert!(refused(&[0xFE, 0xFF, 0xD8, 0x00, 0x00, b'<']).contains("unpaired surrogate"));
}

#[test]
fn what_is_no_text_in_its_encoding() {
    for (input, words) in [
        (&b"<a><t>M\xfcnchen</t></a>"[..], "byte 7 is not UTF-8"),
        (b"<?xml version='1.0' encoding='windows-1252'?><a/>", "encoding \"windows-1252\" is not read"),
        (b"\x00\x00\x00<\x00\x00\x00a", "UTF-32"),
        (b"", "holds no XML element"),
        (b"   ", "holds no XML element"),
        (b"{\"json\": true}", "text outside of the outermost element"),
    ] {
        let reason = refused(input);
        assert!(reason.contains(words), "{reason}");
    }
    assert!(refused(&vec![b' '; LARGEST + 1]).contains("at most"));
}

#[test]
fn documents_that_are_not_well_formed_or_want_more_than_a_message_may() {
    for (text, words) in [
        ("<a>", "line 1, column 4: the document ends inside of a"),
        ("<a>\n <b></a>", "line 2, column 5"),
        ("<a/><b/>", "a second outermost element"),
        ("<a/>tail", "text outside"),
        ("</a>", "line 1, column 1"),
        ("<a b='1' b='2'/>", "the attribute b stands twice"),
        ("<a b='1' x:b='2'/>", "the attribute b stands twice"),
        ("<a b=1/>", "line 1, column 1"),
        ("<a b='<'/>", "which has to be written &lt;"),
        ("<a b='&lol;'/>", "only the five predefined entities"),
        ("<a>&lol;</a>", "an entity other than"),
        ("<a>&#0;</a>", "line 1"),
        ("<a>&#1;</a>", "a control character"),
        ("<a b='&#8;'/>", "a control character"),
        ("<a>\u{1}</a>", "a control character"),
        ("<1/>", "no XML name"),
        ("<a><!-- -- --></a>", "line 1"),
        ("<a", "line 1"),
        ("<a>& b</a>", "line 1"),
        ("<!DOCTYPE a><a/>", "a document type declaration is not read"),
        ("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "a document type declaration is not read"),
        ("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", "a document type declaration is not read"),
        (
            "<!DOCTYPE l [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;&b;'>]><l>&c;</l>",
            "a document type declaration is not read",
        ),
    ] {
        let reason = refused(text.as_bytes());
        assert!(reason.contains(words), "{text}: {reason}");
    }
}

#[test]
fn bounds_hold() {
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(parse(&nested(DEEPEST)).is_ok());
    assert!(refused(nested(DEEPEST + 1).as_bytes()).contains("inside each other"));
    let many = format!("<a>{}</a>", "<b/>".repeat(MOST_ELEMENTS));
    assert!(refused(many.as_bytes()).contains("more than 100000 elements"));
    let attributes: String = (0..MOST_ATTRIBUTES / 100 + 1)
        .map(|_| format!("<b {}/>", (0..100).map(|n| format!("a{n}='' ")).collect::<String>()))
        .collect();
    assert!(refused(format!("<a>{attributes}</a>").as_bytes()).contains("more than 200000 attributes"));
    let one: String = (0..=MOST_ATTRIBUTES_OF_ONE).map(|n| format!(" a{n}=''")).collect();
    assert!(refused(format!("<a{one}/>").as_bytes()).contains("more than 256 attributes in one element"));
    let long = "x".repeat(LONGEST_TEXT + 1);
    assert!(refused(format!("<a b='{long}'/>").as_bytes()).contains("the attribute b has 65537 bytes"));
    assert!(refused(format!("<a>{long}</a>").as_bytes()).contains("the text of a has more than"));
    assert!(parse(&format!("<a b='{}'/>", &long[1..])).is_ok());
}

#[test]
fn places_are_named() {
    let document = parse("<m><Rs><R/><R><S><T Start=' soon ' End=''/></S><S/></R></Rs></m>").unwrap();
    let root = document.root();
    let span = root.first("Rs/R/S/T").unwrap();
    assert_eq!(span.path(), "Rs/R[2]/S[1]/T");
    assert_eq!(root.all("Rs/R/S").len(), 2);
    assert_eq!(root.anywhere("T"), Some(span));
    assert!(span.attribute("End").is_none(), "an empty attribute is none");
    assert_eq!(
        span.needs("Start").unwrap().day().unwrap_err().0,
        "Rs/R[2]/S[1]/T/@Start: \"soon\" is not a date from 1900-01-01 to 2299-12-31 (YYYY-MM-DD)"
    );
    assert_eq!(span.needs("End").unwrap_err().0, "Rs/R[2]/S[1]/T: the attribute End is missing");
    assert_eq!(root.required("Rs/X").unwrap_err().0, "m: Rs/X is missing");
    assert_eq!(root.needs_value("Rs").unwrap_err().0, "Rs: is empty");
}

#[test]
fn values_are_read_or_refused() {
    let document =
        parse("<m a='7' b='-7' c='12.50' d='true' e='In-House' f='EUR' g='1e400' h='4444333322221111'/>").unwrap();
    let root = document.root();
    let at = |name: &str| root.needs(name).unwrap();
    assert_eq!((at("a").count(), at("d").boolean()), (Ok(7), Ok(true)));
    assert!(at("b").count().is_err() && at("c").count().is_err() && at("a").boolean().is_err());
    assert_eq!(at("c").decimal(), Ok(Decimal { units: 1250, scale: 2 }));
    assert_eq!(at("a").placed(2), Ok(Decimal { units: 7, scale: 2 }));
    assert!(at("g").decimal().is_err());
    assert_eq!(at("e").one_of(&[("inhouse", 1)]), Ok(1));
    assert_eq!(at("e").one_of(&[("x", 1), ("y", 2)]).unwrap_err().0, "m/@e: \"In-House\" is not one of x, y");
    assert!(at("f").currency_of(Decimal { units: 1, scale: 0 }).is_ok());
    assert!(at("e").currency_of(Decimal { units: 1, scale: 0 }).is_err());
    assert!(at("h").day().unwrap_err().0.contains("************1111"), "no card number in a reason");
    let long = format!("<m a='{}'/>", "x".repeat(300));
    assert!(parse(&long).unwrap().root().needs("a").unwrap().code().is_err());
}

#[test]
fn parts_are_cut_out_and_cleaned() {
    let text = "<m v='1'><pos/><rs n='2'><r ID='4444333322221111'><note>4444 3333 2222 1111 &amp;&#10;&lt;</note>\
        <PaymentCard number='4'/></r><r ID='2' seriesCode='123'/></rs><end/></m>";
    let document = parse(text).unwrap();
    let root = document.root();
    let units = root.all("rs/r");
    let frame = CLEANER.around(root, units[0], |at| at.is("r"));
    assert_eq!(
        frame.with(&CLEANER.written(units[0])),
        "<m v=\"1\"><pos/><rs n=\"2\"><r ID=\"4444333322221111\"><note>**** **** **** 1111 &amp;&#10;&lt;</note></r></rs>\
         <end/></m>"
    );
    assert_eq!(frame.with(&CLEANER.written(units[1])), "<m v=\"1\"><pos/><rs n=\"2\"><r ID=\"2\"/></rs><end/></m>");
    let again = CLEANER.written(root);
    assert_eq!(CLEANER.written(parse(&again).unwrap().root()), again, "cleaning twice changes nothing");
}

#[test]
fn a_part_without_a_hotel_is_refused_or_cleaned() {
    let found = || Err(Rejection::new("no hotel"));
    let document =
        parse("<m><r/><r><PaymentCard/></r><r seriesCode='1'/><r><note>4444333322221111</note></r></m>").unwrap();
    let parts = document.root().all("r");
    assert_eq!(CLEANER.placed(found(), parts[0], 1), found());
    assert_eq!(CLEANER.placed(found(), parts[0], 2).as_deref(), Ok(UNPLACED));
    for secret in &parts[1..] {
        assert_eq!(CLEANER.placed(found(), *secret, 1).as_deref(), Ok(UNPLACED), "{secret:?}");
    }
    assert_eq!(CLEANER.placed(Ok("H1".into()), parts[1], 1).as_deref(), Ok("H1"));
}
