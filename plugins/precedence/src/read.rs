//! From the text of a rule set to rules.
//!
//! Knows the file's tables and keys and checks every name in it. Does not know whether the rules leave
//! something open: that is `check`.

use toml::de::DeTable;

use crate::document::{Named, Shapes, Table};
use crate::rules::{Class, Entry, Freshness, Group, Hold, Kind, NoShow, Rule, RuleSet, Status, Vocabulary, Who};
use crate::words::{Finding, quoted, unknown};

/// Fields of a stay that sources may disagree about, apart from its status.
pub const STAY_FIELDS: [&str; 3] = ["placement", "money", "guests"];

/// What can be read of a rule set, and what is wrong with the rest.
pub fn rule_set(text: &str, vocabulary: &Vocabulary) -> (RuleSet, Vec<Finding>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let finding = |error: toml::de::Error| {
            Finding::new(error.span().map_or(0, |span| span.start), format!("not TOML: {}", error.message()))
        };
        return (RuleSet::default(), errors.into_iter().map(finding).collect());
    }
    let mut reader = Reader { shapes: Shapes::default(), vocabulary, set: RuleSet::default() };
    reader.document(Table { table: document.get_ref(), at: 0 });
    (reader.set, reader.shapes.findings)
}

struct Reader<'v> {
    shapes: Shapes,
    vocabulary: &'v Vocabulary,
    set: RuleSet,
}

impl Reader<'_> {
    fn document(&mut self, root: Table<'_>) {
        let known = ["ruleset", "groups", "classes", "field", "stay", "capacity", "hold", "freshness"];
        self.shapes.only(root, "a rule set", &known);
        self.header(root);
        self.groups(root);
        self.classes(root);
        self.rules(root, "field", Kind::Field);
        if let Some(stay) = self.shapes.table(root, "stay") {
            self.shapes.only(stay, "[stay]", &["status", "field", "no_show"]);
            self.rules(stay, "status", Kind::StayStatus);
            self.rules(stay, "field", Kind::StayField);
            self.no_show(stay);
        }
        self.rules(root, "capacity", Kind::Capacity);
        self.set.rules.sort_by_key(|rule| rule.at);
        self.unique_ids();
        self.hold(root);
        self.freshness(root);
    }

    fn header(&mut self, root: Table<'_>) {
        let Some(header) = self.shapes.table(root, "ruleset") else {
            if !root.table.contains_key("ruleset") {
                let finding = Finding::new(0, "the rule set has no [ruleset] with its name and version");
                self.shapes.report(finding.propose("add: [ruleset]\nname = \"hotels\"\nversion = \"1\""));
            }
            return;
        };
        self.shapes.only(header, "[ruleset]", &["name", "version"]);
        if let Some(name) = self.shapes.text(header, "[ruleset]", "name", "\"hotels\"") {
            self.set.name = name.text;
        }
        if let Some(version) = self.shapes.text(header, "[ruleset]", "version", "\"1\"") {
            self.set.version = version.text;
        }
    }

    fn groups(&mut self, root: Table<'_>) {
        let Some(groups) = self.shapes.table(root, "groups") else { return };
        for (name, value) in groups.table.iter() {
            let (at, name) = (name.span().start, name.get_ref().to_string());
            if self.vocabulary.sources.contains(&name) {
                let finding = Finding::new(at, format!("the group {name:?} has the name of a source"));
                self.shapes.report(finding.propose("give the group another name"));
            }
            if !is_name(&name) {
                self.shapes.report(Finding::new(
                    at,
                    format!("a group cannot be called {name:?}: it holds `*`, `@` or nothing"),
                ));
            }
            let mut sources = Vec::new();
            for source in self.shapes.texts(value, &format!("the group {name:?}")) {
                if self.is_source(&source) {
                    sources.push(source.text);
                }
            }
            self.set.groups.push(Group { name, sources });
        }
    }

    fn is_source(&mut self, name: &Named) -> bool {
        let known = self.vocabulary.sources.contains(&name.text);
        if !known {
            let sources = self.vocabulary.sources.iter().map(String::as_str);
            self.shapes.report(unknown(name.at, "source", &name.text, sources));
        }
        known
    }

    fn classes(&mut self, root: Table<'_>) {
        let Some(classes) = self.shapes.table(root, "classes") else { return };
        let mut found = Vec::new();
        for (name, value) in classes.table.iter() {
            let patterns = self.shapes.texts(value, &format!("the class {:?}", name.get_ref()));
            let patterns = patterns.into_iter().map(|pattern| (pattern.text, pattern.at)).collect();
            found.push((name.span().start, Class { name: name.get_ref().to_string(), patterns }));
        }
        // Of several classes the first in the file counts; the parser sorts them by name.
        found.sort_by_key(|(at, _)| *at);
        self.set.classes = found.into_iter().map(|(_, class)| class).collect();
    }

    fn rules(&mut self, parent: Table<'_>, key: &str, kind: Kind) {
        for table in self.shapes.tables(parent, key, kind.table()) {
            if let Some(rule) = self.rule(table, kind) {
                self.set.rules.push(rule);
            }
        }
    }

    fn rule(&mut self, table: Table<'_>, kind: Kind) -> Option<Rule> {
        let place = format!("[[{}]]", kind.table());
        let keys: &[&str] = match kind {
            Kind::Field | Kind::StayField => &["id", "fields", "class", "order", "equal_within"],
            Kind::StayStatus => &["id", "class", "order"],
            Kind::Capacity => &["id", "class", "order", "overbook"],
        };
        self.shapes.only(table, &place, keys);
        let id = self.shapes.text(table, &place, "id", "\"a-name-for-this-rule\"");
        let fields = if kind.by_status() { Some(Vec::new()) } else { self.fields(table, &place, kind) };
        let class = self.class(table);
        let order = self.order(table, &place, kind);
        let equal_within = self.equal_within(table, kind);
        let overbook = self.shapes.count(table, "overbook");
        let (order, order_at) = order?;
        let rule = Rule {
            kind,
            id: id?.text,
            fields: fields?,
            class: class?,
            order,
            equal_within,
            overbook: overbook.unwrap_or(0),
            at: table.at,
            order_at,
        };
        if rule.id.starts_with('!') {
            self.shapes.report(Finding::new(
                rule.at,
                format!("the rule id {:?} begins with `!`, which is the host's", rule.id),
            ));
        }
        Some(rule)
    }

    fn fields(&mut self, table: Table<'_>, place: &str, kind: Kind) -> Option<Vec<(String, usize)>> {
        let Some(value) = table.table.get("fields") else {
            let finding = Finding::new(table.at, format!("{place} has no `fields`"));
            self.shapes.report(finding.propose("add: fields = [\"*\"]"));
            return None;
        };
        let names = self.shapes.texts(value, "fields");
        let mut fields = Vec::new();
        for name in names {
            let of_vocabulary = self.vocabulary.fields.iter().map(String::as_str);
            let known: Vec<&str> = if kind == Kind::Field { of_vocabulary.collect() } else { STAY_FIELDS.to_vec() };
            if name.text != "*" && !known.contains(&name.text.as_str()) {
                let what = if kind == Kind::Field { "field" } else { "field of a stay" };
                self.shapes.report(unknown(name.at, what, &name.text, known.iter().copied()));
            }
            fields.push((name.text, name.at));
        }
        Some(fields)
    }

    /// `Some(None)` is "all classes"; `None` is an unknown one.
    fn class(&mut self, table: Table<'_>) -> Option<Option<usize>> {
        if !table.table.contains_key("class") {
            return Some(None);
        }
        let named = self.shapes.optional_text(table, "class")?;
        let index = self.set.classes.iter().position(|class| class.name == named.text);
        if index.is_none() {
            let names = self.set.classes.iter().map(|class| class.name.as_str());
            self.shapes.report(unknown(named.at, "class", &named.text, names));
        }
        index.map(Some)
    }

    fn order(&mut self, table: Table<'_>, place: &str, kind: Kind) -> Option<(Vec<Entry>, usize)> {
        let Some(value) = table.table.get("order") else {
            let example = if kind.by_status() {
                "\"*@*\"".to_owned()
            } else {
                quoted(&self.vocabulary.sources.iter().map(String::as_str).collect::<Vec<_>>())
            };
            let finding = Finding::new(table.at, format!("{place} has no `order`"));
            self.shapes.report(finding.propose(format!("add: order = [{example}]")));
            return None;
        };
        let names = self.shapes.texts(value, "order");
        let entries = names.into_iter().filter_map(|name| self.entry(name, kind)).collect();
        Some((entries, value.span().start))
    }

    fn entry(&mut self, name: Named, kind: Kind) -> Option<Entry> {
        let Named { text, at } = name;
        if !kind.by_status() {
            if let Some((_, who)) = text.split_once('@') {
                let finding = Finding::new(at, format!("{text:?} names a status, and [[{}]] has none", kind.table()));
                self.shapes.report(finding.propose(format!("write: \"{who}\"")));
                return None;
            }
            let who = self.who(&text, at)?;
            return Some(Entry { text, status: None, who, at });
        }
        let Some((status, who)) = text.split_once('@') else {
            let finding = Finding::new(at, format!("{text:?} is no `status@source`"));
            let meant = if Status::parse(&text).is_some() { format!("{text}@*") } else { format!("*@{text}") };
            self.shapes.report(finding.propose(format!("write: \"{meant}\"")));
            return None;
        };
        let parsed = Status::parse(status);
        if parsed.is_none() && status != "*" {
            let known = Status::ALL.into_iter().map(Status::as_str);
            self.shapes.report(unknown(at, "status", status, known));
        }
        let who = self.who(who, at)?;
        (parsed.is_some() || status == "*").then_some(Entry { text, status: parsed, who, at })
    }

    fn who(&mut self, name: &str, at: usize) -> Option<Who> {
        if name == "*" {
            return Some(Who::Any);
        }
        if self.vocabulary.sources.iter().any(|source| source == name) {
            return Some(Who::Source(name.to_owned()));
        }
        if let Some(index) = self.set.groups.iter().position(|group| group.name == name) {
            return Some(Who::Group(index));
        }
        let groups = self.set.groups.iter().map(|group| group.name.as_str());
        let known = self.vocabulary.sources.iter().map(String::as_str).chain(groups);
        self.shapes.report(unknown(at, "source or group", name, known));
        None
    }

    fn equal_within(&mut self, table: Table<'_>, kind: Kind) -> Option<i64> {
        // The keys of the other kinds do not hold it; it is reported as unknown there.
        if kind.by_status() { None } else { self.shapes.tolerance(table, "equal_within") }
    }

    fn unique_ids(&mut self) {
        let rules = &self.set.rules;
        for (index, rule) in rules.iter().enumerate() {
            if rules.iter().take(index).any(|earlier| earlier.id == rule.id) {
                let finding = Finding::new(rule.at, format!("the id {:?} is taken by an earlier rule", rule.id));
                self.shapes.report(finding.propose("give this rule another id"));
            }
        }
    }

    fn no_show(&mut self, stay: Table<'_>) {
        let Some(named) = self.shapes.optional_text(stay, "no_show") else { return };
        match named.text.as_str() {
            "release" => self.set.no_show = NoShow::Release,
            "first-night" => self.set.no_show = NoShow::FirstNight,
            other => self.shapes.report(unknown(named.at, "no_show", other, ["release", "first-night"].into_iter())),
        }
    }

    fn hold(&mut self, root: Table<'_>) {
        let Some(hold) = self.shapes.table(root, "hold") else { return };
        self.shapes.only(hold, "[hold]", &["when_stale", "keep_free", "release"]);
        let when_stale = match hold.table.get("when_stale") {
            Some(value) if value.get_ref().is_array() => self.shapes.texts(value, "when_stale"),
            _ => self.shapes.text(hold, "[hold]", "when_stale", "\"pms\"").into_iter().collect(),
        };
        let mut sources = Vec::new();
        for name in when_stale {
            sources.extend(self.sources_of(&name));
        }
        let keep_free = self.shapes.count(hold, "keep_free").unwrap_or(1);
        let release = self.shapes.duration(hold, "release");
        if !hold.table.contains_key("release") {
            let finding = Finding::new(hold.at, "[hold] has no `release`: a stay would be held for ever");
            self.shapes.report(finding.propose("add: release = \"30m\""));
        }
        self.set.hold = release.map(|release| Hold { when_stale: sources, keep_free, release });
    }

    fn freshness(&mut self, root: Table<'_>) {
        let Some(tables) = self.shapes.table(root, "freshness") else { return };
        for (name, value) in tables.table.iter() {
            let place = format!("freshness.{}", name.get_ref());
            let named = Named { text: name.get_ref().to_string(), at: name.span().start };
            let sources = self.sources_of(&named);
            let Some(table) = self.shapes.as_table(value, &place) else { continue };
            self.shapes.only(table, &format!("[{place}]"), &["stale_after", "page_after"]);
            let Some(stale_after) = self.shapes.duration(table, "stale_after") else {
                if !table.table.contains_key("stale_after") {
                    let finding = Finding::new(table.at, format!("[{place}] has no `stale_after`"));
                    self.shapes.report(finding.propose("add: stale_after = \"5m\""));
                }
                continue;
            };
            let page_after = self.shapes.duration(table, "page_after");
            if let Some(value) = table.table.get("page_after")
                && page_after.is_some_and(|page_after| page_after < stale_after)
            {
                self.shapes.report(Finding::new(value.span().start, "page_after is shorter than stale_after"));
            }
            let of = |source: String| Freshness { source, stale_after, page_after };
            self.set.freshness.extend(sources.into_iter().map(of));
        }
        self.set.freshness.sort_by(|a, b| a.source.cmp(&b.source));
    }

    /// The sources that a name of a source or of a group stands for.
    fn sources_of(&mut self, name: &Named) -> Vec<String> {
        match self.who(&name.text, name.at) {
            Some(Who::Source(source)) => vec![source],
            Some(Who::Group(index)) => self.set.groups.get(index).map_or_else(Vec::new, |group| group.sources.clone()),
            Some(Who::Any) => self.vocabulary.sources.clone(),
            None => Vec::new(),
        }
    }
}

/// Group names stand next to `@` and `*` in orders.
fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && !name.contains(['*', '@'])
}
