//! Goes through the markers of a text in order and reads what each announces.

use std::collections::{HashMap, HashSet};

use super::groups::expand;
use super::lists::{self, KeyList, MOST_KEYS, Style, is_bare_key, window};
use super::markers::{Found, Marker, Markers, Order, Side, Where};
use super::shapes::shape_after;
use super::squeezed::{Squeezed, joined};
use super::words::{REACH, announced, find, first_word, is_class, last_word, line_start, rfind, single_key};
use super::{LogReport, Lookup, Said, SizeMismatch, single};
use crate::checkpoint::Shape;
use crate::rules::Saying;

/// The most bytes of keys that are read; groups such as `{0...4000}` are short to write and long to unfold.
const MOST_READ: usize = 96 << 20;

/// Reads everything that `text` says.
pub(super) fn scan(text: &str, sayings: &[Saying]) -> LogReport {
    let squeezed = Squeezed::new(text);
    let mut scan = Scan {
        squeezed: &squeezed,
        sayings,
        out: LogReport::default(),
        seen: HashSet::new(),
        forms: HashMap::new(),
        past: 0,
        read: 0,
        surroundings: HashMap::new(),
    };
    Markers::new(sayings).each(&squeezed.low, |found| scan.visit(found));
    scan.finish()
}

struct Scan<'a> {
    squeezed: &'a Squeezed<'a>,
    sayings: &'a [Saying],
    out: LogReport,
    /// Keys that are listed already, with their side; `None` for shapes.
    seen: HashSet<(Option<Side>, String)>,
    /// How many keys each form of text gave, and its place.
    forms: HashMap<&'static str, (usize, usize)>,
    /// Up to where in `clean` the text is read: markers before it stand within a list.
    past: usize,
    /// Bytes of keys that were read, repetitions and unfolded groups included.
    read: usize,
    /// Whether the words around a saying stand in the text, by its index.
    surroundings: HashMap<usize, bool>,
}

impl Scan<'_> {
    fn visit(&mut self, found: Found) {
        let behind = self.squeezed.origin_end(found.end);
        if behind <= self.past {
            return;
        }
        if self.read > MOST_READ {
            self.out.truncated = true;
            return;
        }
        let used = match found.marker {
            Marker::Class => self.class(behind),
            Marker::ClassBefore => self.class_before(found),
            Marker::SomeWeightsOf => self.some_weights_of(found),
            Marker::Keys(side) => self.keys(side, found, behind),
            Marker::List(side) => self.list(side, behind, found.form),
            Marker::ListOfClass(side) => self.list_of_class(side, behind, found.form),
            Marker::Key(side, place) => self.key(side, place, found, behind),
            Marker::Shapes(order, place) => self.shapes(order, place, found, behind),
            Marker::ShapeTable => self.shape_table(behind, found.form),
            Marker::Row(side) => self.row(side, found),
            Marker::KeyError => self.key_error(found, behind),
            Marker::NoModule => self.no_module(behind),
            Marker::Saying(rule, text) => self.saying(rule as usize, text as usize, found),
        };
        if used {
            self.out.places += 1;
        }
    }

    fn clean(&self) -> &str {
        self.squeezed.clean
    }

    /// Counts keys for a form of text.
    fn note(&mut self, form: &'static str, keys: usize) {
        let order = self.forms.len();
        self.forms.entry(form).or_insert((0, order)).0 += keys;
    }

    fn add(&mut self, side: Side, key: String) {
        let list = match side {
            Side::Missing => &mut self.out.missing_keys,
            Side::Unexpected => &mut self.out.unexpected_keys,
        };
        self.read += key.len();
        if list.len() < MOST_KEYS && self.seen.insert((Some(side), key.clone())) {
            list.push(key);
        }
    }

    fn add_list(&mut self, side: Side, list: KeyList, form: &'static str) -> bool {
        self.note(form, list.keys.len());
        self.out.truncated |= list.truncated;
        self.past = self.past.max(list.end);
        list.keys.into_iter().for_each(|key| self.add(side, key));
        true
    }

    fn add_shapes(&mut self, key: String, first: Shape, second: Shape, order: Order) {
        self.read += key.len();
        if self.out.size_mismatches.len() < MOST_KEYS && self.seen.insert((None, key.clone())) {
            let (source, target) = match order {
                Order::FileFirst => (first, second),
                Order::ModelFirst => (second, first),
            };
            self.out.size_mismatches.push(SizeMismatch { key, source, target });
        }
    }

    /// `Error(s) in loading state_dict for ResNet:`
    fn class(&mut self, behind: usize) -> bool {
        let ahead = window(self.clean(), behind, 200);
        let name = joined(ahead.split(':').next().unwrap_or(""));
        if !is_class(&name) {
            return false;
        }
        self.out.model_class.get_or_insert(name);
        self.note("load-state-dict", 0);
        true
    }

    /// `BertModel LOAD REPORT from: …`
    fn class_before(&mut self, found: Found) -> bool {
        let name = last_word(self.clean(), self.squeezed.origin(found.start)).unwrap_or_default();
        if is_class(&name) {
            self.out.model_class.get_or_insert(name);
        }
        false
    }

    /// `Some weights of BertModel were not …`, and not `Some weights of the model checkpoint at …`.
    fn some_weights_of(&mut self, found: Found) -> bool {
        let ahead = self.squeezed.low.get(found.end..(found.end + 120).min(self.squeezed.low.len())).unwrap_or(b"");
        let Some(end) = find(ahead, b"were") else { return false };
        let from = self.squeezed.origin(found.end);
        let to = self.squeezed.origin_end(found.end + end);
        let name = joined(self.clean().get(from..to).unwrap_or(""));
        if is_class(&name) {
            self.out.model_class.get_or_insert(name);
        }
        false
    }

    /// `missing key`, `unexpected_keys`, … and within some words the list.
    fn keys(&mut self, side: Side, found: Found, behind: usize) -> bool {
        if let Some(key) = single_key(window(self.clean(), behind, REACH)) {
            self.note(found.form, 1);
            self.add(side, key);
            return true;
        }
        let Some((from, style, form)) = announced(self.clean(), behind) else { return false };
        let Some(list) = lists::read(self.clean(), from, style) else { return false };
        let incompatible = find(
            self.squeezed.low.get(found.start.saturating_sub(40)..found.start).unwrap_or(b""),
            b"incompatiblekeys(",
        )
        .is_some();
        let form = match form {
            "key-lists" if incompatible => "incompatible-keys",
            "key-lists" if found.form != "key-lists" => found.form,
            form => form,
        };
        self.add_list(side, list, form)
    }

    fn list(&mut self, side: Side, behind: usize, form: &'static str) -> bool {
        match lists::read(self.clean(), behind, Style::Bare) {
            Some(list) => self.add_list(side, list, form),
            None => false,
        }
    }

    /// `… were not used when initializing BertModel: ['…']`
    fn list_of_class(&mut self, side: Side, behind: usize, form: &'static str) -> bool {
        let ahead = window(self.clean(), behind, 200);
        let Some(colon) = ahead.find(':') else { return false };
        // `the TF 2.0 model TFBertModel`: the class is the last word.
        let name = joined(ahead.get(..colon).unwrap_or(""));
        let name = name.rsplit(' ').next().unwrap_or("").to_owned();
        if !is_class(&name) {
            return false;
        }
        let used = self.list(side, behind + colon + 1, form);
        if used {
            self.out.model_class.get_or_insert(name);
        }
        used
    }

    fn key(&mut self, side: Side, place: Where, found: Found, behind: usize) -> bool {
        let Some(key) = self.key_at(place, found, behind, behind) else { return false };
        self.note(found.form, 1);
        self.add(side, key);
        true
    }

    /// `size mismatch for KEY: … [..] … [..]`, in many wordings.
    fn shapes(&mut self, order: Order, place: Where, found: Found, behind: usize) -> bool {
        // The next message of the same kind must not lend its shapes.
        let marker = self.squeezed.low.get(found.start..found.end).unwrap_or(b"");
        let far = self.squeezed.low.get(found.end..(found.end + REACH).min(self.squeezed.low.len())).unwrap_or(b"");
        let next = find(far, marker).map_or(far.len(), |n| n);
        let limit = self.squeezed.origin_end(found.end + next).min(behind + 2 * REACH);
        let Some((first, after)) = shape_after(self.clean(), behind, limit) else { return false };
        let Some((second, end)) = shape_after(self.clean(), after, limit) else { return false };
        let between = self.clean().get(after..end).unwrap_or("");
        if between.len() > REACH {
            return false;
        }
        let key_from = if matches!(place, Where::After("in")) { after } else { end };
        let Some(key) = self.key_at(place, found, behind, key_from) else { return false };
        self.note(found.form, 1);
        self.add_shapes(key, first, second, order);
        self.past = self.past.max(behind);
        true
    }

    /// The key of a message. `from` is where words behind it are looked for.
    fn key_at(&self, place: Where, found: Found, behind: usize, from: usize) -> Option<String> {
        let text = self.clean();
        let key = match place {
            Where::Behind => {
                let ahead = window(text, behind, REACH);
                let quoted = ahead.trim_start_matches([' ', ':']).starts_with(['"', '\'', '`']);
                first_word(ahead, behind - line_start(text, behind))
                    .filter(|word| quoted || word.contains(['.', '_', '/']) || found.form == "load-state-dict")
            }
            Where::Before => last_word(text, self.squeezed.origin(found.start)),
            Where::After(words) => {
                let ahead = window(text, from, REACH);
                let at = ahead.find(words.strip_prefix("forkey").map_or(words, |_| "for key"))?;
                let length = if words == "forkey" { "for key".len() } else { words.len() };
                first_word(ahead.get(at + length..)?, 0)
            }
            Where::Since(words) => {
                let start = found.start.saturating_sub(REACH);
                let back = self.squeezed.low.get(start..found.start)?;
                let at = start + rfind(back, words.as_bytes())? + words.len();
                let piece = text.get(self.squeezed.origin(at)..self.squeezed.origin_end(found.start))?;
                let piece = joined(piece);
                // `'conv2d/kernel:0' shape=(3, 3)`: what stands in quotes, without what follows them.
                let word = piece.trim_matches(['"', '\'', '.', '`', ']', ' ']);
                Some(word.split(['"', '\'']).next().unwrap_or(word).to_owned())
            }
        }?;
        let key = key.trim_end_matches('.');
        (is_bare_key(key) && key.len() > 1).then(|| key.to_owned())
    }

    /// Rows `| KEY | [..] | [..] |` below, the model's shape first.
    fn shape_table(&mut self, behind: usize, form: &'static str) -> bool {
        let mut used = false;
        let clean = self.squeezed.clean;
        let mut at = behind;
        let mut strange = 0;
        for line in clean.get(behind..).unwrap_or("").split_inclusive('\n').take(MOST_KEYS) {
            at += line.len();
            let line = window(line, 0, 4096);
            let cells: Vec<&str> = line.split('|').map(str::trim).filter(|c| !c.is_empty()).collect();
            if let [key, first, second, ..] = cells.as_slice() {
                let shapes = shape_after(first, 0, first.len()).zip(shape_after(second, 0, second.len()));
                if let Some(((first, _), (second, _))) = shapes.filter(|_| is_bare_key(key)) {
                    self.add_shapes((*key).to_owned(), first, second, Order::ModelFirst);
                    self.note(form, 1);
                    self.past = self.past.max(at);
                    used = true;
                }
            } else if !line.trim().is_empty() && !line.contains("--") {
                strange += 1;
                if strange > 2 {
                    break;
                }
            }
        }
        used
    }

    /// `KEY | STATUS | details` of a load report.
    fn row(&mut self, side: Option<Side>, found: Found) -> bool {
        let clean = self.squeezed.clean;
        let bar = self.squeezed.origin(found.start);
        let start = line_start(clean, bar);
        let line = window(clean, start, 4096).split('\n').next().unwrap_or("");
        let pattern = clean.get(start..bar).unwrap_or("").trim().trim_start_matches('|').trim();
        let status = line.get(bar - start..).unwrap_or("").trim_start_matches('|').trim_start();
        let status = status.trim_start_matches(|c: char| c.is_ascii_alphabetic()).trim_start();
        if !(status.is_empty() || status.starts_with('|')) {
            return false;
        }
        if pattern.is_empty() || pattern.contains('|') || !pattern.contains(|c: char| c.is_alphabetic()) {
            return false;
        }
        let keys = expand(pattern);
        self.out.folded |= keys.len() > 1;
        self.note(found.form, keys.len());
        match side {
            Some(side) => keys.into_iter().for_each(|key| self.add(side, key)),
            None => {
                let details = bar.saturating_sub(start);
                let Some((first, after)) = shape_after(line, details, line.len()) else { return false };
                let Some((second, _)) = shape_after(line, after, line.len()) else { return false };
                for key in keys {
                    self.add_shapes(key, first.clone(), second.clone(), Order::FileFirst);
                }
            }
        }
        true
    }

    fn key_error(&mut self, found: Found, behind: usize) -> bool {
        let Some(error) = single::read(self.clean(), self.squeezed.origin(found.start), behind) else { return false };
        if let Some(known) = self.out.key_errors.iter_mut().find(|e| e.key == error.key) {
            // Registries raise it again, with their names before it: the longest way is the best known.
            if error.through.len() > known.through.len() {
                known.through = error.through;
            }
            if known.looked_up_in == Lookup::Unknown {
                known.shown |= error.shown;
                known.looked_up_in = error.looked_up_in;
            }
            return true;
        }
        if self.out.key_errors.len() < 1000 {
            self.note("key-error", 0);
            self.out.key_errors.push(error);
        }
        true
    }

    /// `There is no module or parameter named 'model' in Mamba2ForCausalLM`: the checkpoint has it, the model does not.
    fn no_module(&mut self, behind: usize) -> bool {
        let ahead = window(self.clean(), behind, REACH);
        let Some(key) = first_word(ahead, 0).filter(|k| is_bare_key(k)) else { return false };
        let class = ahead.split_once(" in ").and_then(|(_, rest)| rest.split([' ', '\n', '"', '\'']).next());
        if let Some(class) = class.map(|c| c.trim_end_matches('.')).filter(|c| is_class(c)) {
            self.out.model_class.get_or_insert(class.to_owned());
        }
        self.note("vllm", 0);
        let error = single::KeyError { key, through: Vec::new(), looked_up_in: Lookup::Model, shown: true };
        if self.out.key_errors.len() < 1000 && !self.out.key_errors.contains(&error) {
            self.out.key_errors.push(error);
        }
        true
    }

    fn saying(&mut self, rule: usize, text: usize, found: Found) -> bool {
        let Some(saying) = self.sayings.get(rule) else { return false };
        let (Some(pieces), Some(names)) = (saying.texts.get(text), saying.names.get(text)) else { return false };
        let low = &self.squeezed.low;
        let mut at = found.end;
        let mut words = Vec::new();
        for (piece, name) in pieces.iter().skip(1).zip(names) {
            let ahead = low.get(at..(at + REACH).min(low.len())).unwrap_or(b"");
            let from = self.squeezed.origin(at);
            let word = if piece.is_empty() {
                // The last words of the text: what was read ends at a blank or a quote.
                let rest = window(self.clean(), from, 300);
                let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | ')' | ']'));
                rest.get(..end.unwrap_or(rest.len())).unwrap_or("").to_owned()
            } else {
                let Some(next) = find(ahead, piece.as_bytes()) else { return false };
                let to = self.squeezed.origin_end(at + next);
                at += next + piece.len();
                joined(self.clean().get(from..to).unwrap_or(""))
            };
            if word.is_empty() || word.contains("{}") || word.len() > 120 {
                return false;
            }
            words.push((name.clone(), word));
        }
        let stands = |t: &String| find(low, t.as_bytes()).is_some();
        let said = Said { saying: rule, words };
        if self.out.said.contains(&said) {
            return true;
        }
        let fits = self.surroundings.entry(rule);
        let fits = *fits.or_insert_with(|| saying.also.iter().all(stands) && !saying.unless.iter().any(stands));
        if !fits || self.out.said.len() >= 64 {
            return false;
        }
        self.out.said.push(said);
        true
    }

    /// Decides what the lone keys are, and what form the text has.
    fn finish(mut self) -> LogReport {
        for error in std::mem::take(&mut self.out.key_errors) {
            // A name without a dot is an entry of the file or has nothing to do with it.
            let side = match error.looked_up_in {
                Lookup::Model => Some(Side::Unexpected),
                Lookup::File => Some(Side::Missing),
                Lookup::Unknown => None,
            };
            if let Some(side) = side.filter(|_| error.key.contains('.')) {
                self.add(side, error.key.clone());
            }
            self.out.key_errors.push(error);
        }
        let most = self.forms.iter().max_by_key(|(_, (keys, place))| (*keys, std::cmp::Reverse(*place)));
        let listed = most.filter(|(form, (keys, _))| {
            *keys > 0 || self.out.said.is_empty() || **form == "load-state-dict" && self.out.said.is_empty()
        });
        self.out.kind = match (listed, self.out.said.first()) {
            (Some((&form, _)), _) => {
                // The same words stand in the exception of PyTorch, which names the class.
                let strict = form == "key-lists" && self.forms.contains_key("load-state-dict");
                if strict { "load-state-dict".into() } else { form.into() }
            }
            (None, Some(said)) => {
                let rule = self.sayings.get(said.saying).map_or("", |s| s.rule.as_str());
                rule.rsplit('/').next().unwrap_or(rule).to_owned()
            }
            (None, None) => "unknown".into(),
        };
        self.out
    }
}
