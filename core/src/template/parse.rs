//! YAML events to a JSON value, remembering where each key and value stands.
//! A stack instead of recursion, so that no file can exhaust the program's own stack.

use super::{Diagnostic, Position, scalar};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Map, Value};
use std::{borrow::Cow, collections::HashMap};

/// Deeper nesting than any template needs.
const MAX_DEPTH: usize = 64;
/// Values an aliased document may grow to; stops one that doubles itself with every anchor.
const MAX_ALIASED: usize = 10_000;

/// Where the value at a JSON Pointer stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    /// Its key; none for the elements of a sequence and the document.
    pub(super) key: Option<Position>,
    /// Its first character.
    pub(super) value: Position,
    /// A mapping or a sequence.
    pub(super) container: bool,
}

/// A document with the position of every value, by JSON Pointer.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) value: Value,
    pub(super) spots: HashMap<String, Spot>,
}

/// Parses the one document of a file.
///
/// # Errors
/// Every problem found up to the first one that makes the rest unreadable.
pub(super) fn parse(file: &str, text: &str) -> Result<Parsed, Vec<Diagnostic>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::new(file);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let done = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(builder.syntax(&error)),
        };
        if let Err(fatal) = done {
            builder.problems.push(fatal);
            return Err(builder.problems);
        }
    }
    match builder.document {
        Some(value) if builder.problems.is_empty() => Ok(Parsed { value, spots: builder.spots }),
        Some(_) => Err(builder.problems),
        None => {
            let message =
                "the file is empty: a template has at least namespace, name, version, and steps";
            Err(vec![builder.problem("", Position::START, "yaml_empty", message)])
        }
    }
}

enum Container {
    Mapping {
        map: Map<String, Value>,
        keys: HashMap<String, Position>,
        key: Option<(String, Position)>,
    },
    Sequence(Vec<Value>),
}

struct Frame {
    container: Container,
    pointer: String,
    anchor: usize,
    depth: usize,
}

#[derive(Clone)]
struct Anchored {
    value: Value,
    size: usize,
    depth: usize,
}

struct Builder<'a> {
    file: &'a str,
    stack: Vec<Frame>,
    document: Option<Value>,
    documents: usize,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
    spots: HashMap<String, Spot>,
    problems: Vec<Diagnostic>,
}

type Step = Result<(), Diagnostic>;

impl<'a> Builder<'a> {
    fn new(file: &'a str) -> Self {
        Self {
            file,
            stack: Vec::new(),
            document: None,
            documents: 0,
            anchors: HashMap::new(),
            aliased: 0,
            spots: HashMap::new(),
            problems: Vec::new(),
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Step {
        let at = Position::from(span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => self.document_start(at),
            Event::MappingStart(anchor, tag) => {
                let container =
                    Container::Mapping { map: Map::new(), keys: HashMap::new(), key: None };
                self.open(container, anchor, tag, at)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(Container::Sequence(Vec::new()), anchor, tag, at)
            }
            Event::MappingEnd | Event::SequenceEnd => {
                self.close();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag, at),
            Event::Alias(anchor) => self.alias(anchor, at),
        }
    }

    fn document_start(&mut self, at: Position) -> Step {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let message = "a second document starts here: a file holds one template, put the other in \
            its own file";
        Err(self.problem("", at, "yaml_documents", message))
    }

    fn open(
        &mut self,
        container: Container,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        at: Position,
    ) -> Step {
        self.refuse_tag(tag, at);
        if self.expects_key() {
            return Err(self.problem("", at, "yaml_key", "a key must be a string"));
        }
        if self.stack.len() >= MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            return Err(self.problem("", at, "yaml_depth", &message));
        }
        let pointer = self.here();
        self.place(&pointer, at, true);
        self.stack.push(Frame { container, pointer, anchor, depth: 0 });
        Ok(())
    }

    fn close(&mut self) {
        // The parser pairs starts with ends.
        let Some(frame) = self.stack.pop() else { return };
        let value = match frame.container {
            Container::Mapping { map, .. } => Value::Object(map),
            Container::Sequence(items) => Value::Array(items),
        };
        let depth = frame.depth + 1;
        if frame.anchor > 0 {
            let anchored = Anchored { size: size(&value), value: value.clone(), depth };
            self.anchors.insert(frame.anchor, anchored);
        }
        self.attach(value, depth);
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        at: Position,
    ) -> Step {
        self.refuse_tag(tag, at);
        let value = match style {
            ScalarStyle::Plain => scalar::resolve(text).unwrap_or_else(|message| {
                let problem = self.problem(&self.here(), at, "yaml_number", &message);
                self.problems.push(problem);
                Value::Null
            }),
            _ => Value::String(text.to_owned()),
        };
        if self.expects_key() {
            self.key(text, &value, at);
            return Ok(());
        }
        if anchor > 0 {
            self.anchors.insert(anchor, Anchored { value: value.clone(), size: 1, depth: 0 });
        }
        // Nothing after the colon has no place of its own: the scanner is already at the next
        // token.
        let at =
            if text.is_empty() && style == ScalarStyle::Plain { self.key_position(at) } else { at };
        let pointer = self.here();
        self.place(&pointer, at, false);
        self.attach(value, 0);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Step {
        if self.expects_key() {
            return Err(self.problem("", at, "yaml_key", "a key must be a string, not an alias"));
        }
        let Some(Anchored { value, size, depth }) = self.anchors.get(&anchor).cloned() else {
            return Err(self.problem(
                &self.here(),
                at,
                "yaml_alias",
                "an alias inside its own anchor",
            ));
        };
        self.aliased += size;
        if self.aliased > MAX_ALIASED || self.stack.len() + depth > MAX_DEPTH {
            return Err(self.problem(&self.here(), at, "yaml_alias", "the aliases grow too large"));
        }
        let pointer = self.here();
        self.place(&pointer, at, value.is_object() || value.is_array());
        self.attach(value, depth);
        Ok(())
    }

    fn key(&mut self, text: &str, value: &Value, at: Position) {
        if text == "<<" {
            let message = "merge keys (<<) are not supported: repeat the keys, or give a whole \
                value an alias";
            self.note(at, "yaml_merge_key", message);
        } else if !value.is_string() {
            self.note(
                at,
                "yaml_key",
                &format!("a key must be a string: write \"{text}\" in quotes"),
            );
        }
        let mut twice = None;
        if let Some(Frame { container: Container::Mapping { keys, key, .. }, .. }) =
            self.stack.last_mut()
        {
            twice = keys.insert(text.to_owned(), at);
            *key = Some((text.to_owned(), at));
        }
        if let Some(first) = twice {
            let message =
                format!("the key \"{text}\" is there twice, first in line {}", first.line);
            let problem = self.problem(&self.here(), at, "yaml_duplicate_key", &message);
            self.problems.push(problem);
        }
    }

    /// Gives a finished value to its container, or makes it the document.
    fn attach(&mut self, value: Value, depth: usize) {
        match self.stack.last_mut() {
            Some(frame) => {
                frame.depth = frame.depth.max(depth);
                match &mut frame.container {
                    Container::Sequence(items) => items.push(value),
                    Container::Mapping { map, key, .. } => {
                        if let Some((key, _)) = key.take() {
                            map.insert(key, value);
                        }
                    }
                }
            }
            None => self.document = Some(value),
        }
    }

    fn expects_key(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Frame { container: Container::Mapping { key: None, .. }, .. })
        )
    }

    fn key_position(&self, otherwise: Position) -> Position {
        match self.stack.last() {
            Some(Frame { container: Container::Mapping { key: Some((_, at)), .. }, .. }) => *at,
            _ => otherwise,
        }
    }

    /// The JSON Pointer of the value that comes next.
    fn here(&self) -> String {
        match self.stack.last() {
            None => String::new(),
            Some(Frame { container: Container::Sequence(items), pointer, .. }) => {
                format!("{pointer}/{}", items.len())
            }
            Some(Frame {
                container: Container::Mapping { key: Some((key, _)), .. },
                pointer,
                ..
            }) => {
                format!("{pointer}/{}", super::escape(key))
            }
            Some(frame) => frame.pointer.clone(),
        }
    }

    fn place(&mut self, pointer: &str, value: Position, container: bool) {
        let key = match self.stack.last() {
            Some(Frame { container: Container::Mapping { key: Some((_, at)), .. }, .. }) => {
                Some(*at)
            }
            _ => None,
        };
        self.spots.insert(pointer.to_owned(), Spot { key, value, container });
    }

    fn refuse_tag(&mut self, tag: Option<Cow<'_, Tag>>, at: Position) {
        if tag.is_some() {
            self.note(
                at,
                "yaml_tag",
                "tags (!…) are not supported: quote a value to make it a string",
            );
        }
    }

    fn note(&mut self, at: Position, code: &str, message: &str) {
        let problem = self.problem(&self.here(), at, code, message);
        self.problems.push(problem);
    }

    fn syntax(&self, error: &ScanError) -> Diagnostic {
        let at = Position::from(*error.marker());
        // JSON writes characters beyond the basic plane as two escapes; YAML does not know that
        // form.
        let hint = match error.info().contains("Unicode character escape") {
            true => ": write the character itself instead of an escape",
            false => "",
        };
        self.problem("", at, "yaml_syntax", &format!("not valid YAML: {}{hint}", error.info()))
    }

    fn problem(&self, path: &str, position: Position, code: &str, message: &str) -> Diagnostic {
        Diagnostic {
            file: self.file.to_owned(),
            position,
            path: path.to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }
}

/// Values in `value`, itself included. Its depth is bounded by [`MAX_DEPTH`].
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.values().map(size).sum(),
        _ => 0,
    }
}
