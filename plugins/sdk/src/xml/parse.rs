//! Text into elements.
//!
//! Knows what is well-formed and the bounds. quick-xml finds the tags; what it leaves open is checked here: one root,
//! names, unfinished elements, forbidden characters, references. Does not know what the elements mean.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use quick_xml::events::attributes::Attributes;
use quick_xml::reader::Reader;

use super::{
    Attribute, DEEPEST, Document, Element, LONGEST_TEXT, MOST_ATTRIBUTES, MOST_ATTRIBUTES_OF_ONE, MOST_ELEMENTS,
};
use crate::Rejection;

/// A document under construction.
struct Builder<'a> {
    text: &'a str,
    document: Document<'a>,
    /// The elements that are not closed yet, outermost first.
    open: Vec<u32>,
    /// Where the last event began, in bytes.
    at: usize,
}

pub(super) fn document(text: &str) -> Result<Document<'_>, Rejection> {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.check_comments = true;
    config.expand_empty_elements = false;
    let document = Document { elements: Vec::new(), attributes: Vec::new() };
    let mut builder = Builder { text, document, open: Vec::new(), at: 0 };
    loop {
        builder.at = usize::try_from(reader.buffer_position()).unwrap_or(text.len());
        match reader.read_event() {
            Ok(Event::Eof) => return builder.finish(),
            Ok(event) => {
                let end = usize::try_from(reader.buffer_position()).unwrap_or(text.len());
                builder.event(&event, end)?;
            }
            Err(error) => {
                let at = usize::try_from(reader.error_position()).unwrap_or(text.len());
                return Err(refused(text, at, &error.to_string()));
            }
        }
    }
}

/// What XML 1.0 leaves out of its characters, as far as a `char` can be it.
fn forbidden(character: char) -> bool {
    matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether a text that counts holds such a character; what comments hold does not matter.
fn holds_forbidden(text: &str) -> bool {
    // U+FFFE and U+FFFF begin with EF.
    text.bytes().any(|byte| byte < 0x20 || byte == 0xEF) && text.chars().any(forbidden)
}

#[cold]
fn refused(text: &str, at: usize, words: &str) -> Rejection {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count() + 1;
    Rejection(format!("the XML document, line {line}, column {column}: {words}"))
}

impl<'a> Builder<'a> {
    #[cold]
    fn refuse(&self, words: &str) -> Rejection {
        refused(self.text, self.at, words)
    }

    fn event(&mut self, event: &Event<'a>, end: usize) -> Result<(), Rejection> {
        match event {
            Event::Start(_) => self.start(end, 1),
            Event::Empty(_) => {
                self.start(end, 2)?;
                self.close();
                Ok(())
            }
            Event::End(_) => {
                self.close();
                Ok(())
            }
            // Between elements stand blanks mostly.
            Event::Text(text) if text.bytes().all(|byte| byte.is_ascii_whitespace()) => self.blanks(text),
            Event::Text(text) => self.characters(text.xml10_content()),
            Event::CData(text) => self.characters(text.xml10_content()),
            Event::GeneralRef(name) => {
                let character = name.resolve_char_ref().map_err(|error| self.refuse(&error.to_string()))?;
                match character {
                    Some(character) if forbidden(character) => Err(self.refuse("a control character is no text")),
                    Some(character) => self.characters(Cow::Owned(character.to_string())),
                    None => match resolve_predefined_entity(name) {
                        Some(text) => self.characters(Cow::Borrowed(text)),
                        None => Err(self.refuse("an entity other than &amp; &lt; &gt; &quot; &apos; is not read")),
                    },
                }
            }
            Event::DocType(_) => Err(self.refuse("a document type declaration is not read: leave it out")),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    /// A start tag, which ends at `end` with as many characters as `closing`.
    fn start(&mut self, end: usize, closing: usize) -> Result<(), Rejection> {
        // The tag as it stands in the text, so that names and values can be borrowed from there.
        let whole = end.checked_sub(closing).and_then(|end| self.text.get(self.at + 1..end)).unwrap_or_default();
        let name_end = whole.bytes().position(|byte| byte.is_ascii_whitespace()).unwrap_or(whole.len());
        let name = local(&whole[..name_end]).ok_or_else(|| self.refuse("the element's name is no XML name"))?;
        if self.open.is_empty() && !self.document.elements.is_empty() {
            return Err(self.refuse("a second outermost element: a document has one"));
        }
        if self.open.len() >= DEEPEST {
            return Err(self.refuse(&format!("more than {DEEPEST} elements inside each other")));
        }
        if self.document.elements.len() >= MOST_ELEMENTS {
            return Err(self.refuse(&format!("more than {MOST_ELEMENTS} elements: send the document in parts")));
        }
        let first = self.document.attributes.len();
        let mut attributes = Attributes::new(whole, name_end);
        // Names count without their prefix, so they are compared below.
        for attribute in attributes.with_checks(false) {
            let attribute = attribute.map_err(|error| self.refuse(&error.to_string()))?;
            // Declarations of namespaces and of schemas say nothing about hotels.
            if matches!(attribute.key.prefix().map(|prefix| prefix.into_inner()), Some("xmlns" | "xsi" | "xml"))
                || attribute.key.0 == "xmlns"
            {
                continue;
            }
            self.attribute(first, attribute.key.0, &attribute)?;
        }
        let (attributes, index) = (index(first), index(self.document.elements.len()));
        self.document.elements.push(Element { name, behind: index + 1, attributes, text: Cow::Borrowed("") });
        self.open.push(index);
        Ok(())
    }

    fn attribute(
        &mut self,
        first: usize,
        name: &'a str,
        attribute: &quick_xml::events::attributes::Attribute<'a>,
    ) -> Result<(), Rejection> {
        let name = local(name).ok_or_else(|| self.refuse("the attribute's name is no XML name"))?;
        if attribute.value.len() > LONGEST_TEXT {
            let words = format!("the attribute {name} has {} bytes; {LONGEST_TEXT} are read", attribute.value.len());
            return Err(self.refuse(&words));
        }
        if self.document.attributes.len() >= MOST_ATTRIBUTES {
            return Err(self.refuse(&format!("more than {MOST_ATTRIBUTES} attributes: send the document in parts")));
        }
        if self.document.attributes.len() - first >= MOST_ATTRIBUTES_OF_ONE {
            return Err(self.refuse(&format!("more than {MOST_ATTRIBUTES_OF_ONE} attributes in one element")));
        }
        if self.document.attributes[first..].iter().any(|known| known.name == name) {
            return Err(self.refuse(&format!("the attribute {name} stands twice in one element")));
        }
        let plain = |byte: u8| byte >= 0x20 && !matches!(byte, b'<' | b'&' | 0xEF);
        let value = match &attribute.value {
            Cow::Borrowed(value) if value.bytes().all(plain) => Cow::Borrowed(*value),
            value if value.contains('<') => {
                return Err(self.refuse(&format!("the attribute {name} holds a \"<\", which has to be written &lt;")));
            }
            _ => self.resolved(name, attribute)?,
        };
        self.document.attributes.push(Attribute { name, value });
        Ok(())
    }

    /// An attribute's value with its references and line ends resolved.
    fn resolved(
        &self,
        name: &str,
        attribute: &quick_xml::events::attributes::Attribute<'a>,
    ) -> Result<Cow<'a, str>, Rejection> {
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|error| {
            self.refuse(&format!("the attribute {name}: {error}; only the five predefined entities are read"))
        })?;
        if holds_forbidden(&value) {
            return Err(self.refuse("a control character is no text"));
        }
        Ok(value)
    }

    /// Blanks: they count only behind a text that goes on.
    fn blanks(&mut self, blanks: &str) -> Result<(), Rejection> {
        match self.open.last().and_then(|index| self.document.elements.get(*index as usize)) {
            Some(open) if !open.text.is_empty() => self.characters(Cow::Owned(blanks.to_owned())),
            _ => Ok(()),
        }
    }

    fn characters(&mut self, text: Cow<'a, str>) -> Result<(), Rejection> {
        let Some(open) = self.open.last().and_then(|index| self.document.elements.get_mut(*index as usize)) else {
            let blank = text.chars().all(|character| character.is_ascii_whitespace());
            return if blank { Ok(()) } else { Err(self.refuse("text outside of the outermost element")) };
        };
        if holds_forbidden(&text) {
            return Err(self.refuse("a control character is no text"));
        }
        if open.text.is_empty() {
            // Blanks before the text: they would only keep it from being borrowed.
            if text.trim().is_empty() {
                return Ok(());
            }
            open.text = text;
        } else {
            open.text.to_mut().push_str(&text);
        }
        if open.text.len() > LONGEST_TEXT {
            let words = format!("the text of {} has more than the {LONGEST_TEXT} bytes that are read", open.name);
            return Err(self.refuse(&words));
        }
        Ok(())
    }

    fn close(&mut self) {
        let Some(index) = self.open.pop() else { return };
        let behind = self::index(self.document.elements.len());
        if let Some(element) = self.document.elements.get_mut(index as usize) {
            element.behind = behind;
            element.text = trimmed(std::mem::take(&mut element.text));
        }
    }

    fn finish(self) -> Result<Document<'a>, Rejection> {
        if let Some(element) = self.open.last().and_then(|index| self.document.elements.get(*index as usize)) {
            return Err(self.refuse(&format!("the document ends inside of {}", element.name)));
        }
        if self.document.elements.is_empty() {
            return Err(Rejection::new("the document holds no XML element"));
        }
        Ok(self.document)
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// The name without its prefix, if it is a name.
fn local(name: &str) -> Option<&str> {
    let start = name.bytes().rposition(|byte| byte == b':').map_or(0, |at| at + 1);
    let local = name.get(start..)?;
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80;
    let later = |byte: u8| letter(byte) || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    (local.bytes().next().is_some_and(letter) && local.bytes().all(later) && local.len() <= 256).then_some(local)
}

fn index(length: usize) -> u32 {
    // The bounds keep it far below.
    u32::try_from(length).unwrap_or(u32::MAX)
}
