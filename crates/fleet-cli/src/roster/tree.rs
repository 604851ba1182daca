//! A YAML text as a tree of places: which node stands where.

use std::ops::Range;

use granit_parser::{Event, Parser, Span, StructureStyle};

/// How a collection is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// By indentation.
    Block,
    /// In brackets.
    Flow,
}

/// A node and the bytes that it takes up, from its first to its last visible one.
#[derive(Debug)]
pub(super) struct Node {
    /// Its place in the text.
    pub(super) range: Range<usize>,
    /// What it is.
    pub(super) shape: Shape,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Shape {
    /// Text.
    Scalar(String),
    /// A reference to a node elsewhere.
    Alias,
    /// A list.
    Sequence(Style, Vec<Node>),
    /// Keys and values.
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// The value of a key.
    pub(super) fn into_entry(self, key: &str) -> Option<Self> {
        let Shape::Mapping(entries) = self.shape else { return None };
        let found = entries.into_iter().find(|(name, _)| name.text() == Some(key));
        found.map(|(_, value)| value)
    }

    /// The text of a key's value.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        let Shape::Mapping(entries) = &self.shape else { return None };
        entries.iter().find(|(name, _)| name.text() == Some(key))?.1.text()
    }

    fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Scalar(text) => Some(text),
            _ => None,
        }
    }
}

/// The only document of `text`; `None` if it has none, several, or a mistake in it.
pub(super) fn parse(text: &str) -> Option<Node> {
    let options = granit_parser::options! { emit_comments: false };
    let events = Parser::new_from_str_with_options(text, options);
    let mut events = events.collect::<Result<Vec<_>, _>>().ok()?.into_iter();
    let mut next = || events.next();
    let opening = [next()?.0, next()?.0];
    if !matches!(opening, [Event::StreamStart, Event::DocumentStart(..)]) {
        return None;
    }
    let (event, span) = next()?;
    let root = node(&event, span, &mut next)?;
    let closing = [next()?.0, next()?.0];
    matches!(closing, [Event::DocumentEnd, Event::StreamEnd]).then_some(root)
}

/// The node that begins with `event`, and the events that belong to it.
fn node<'t>(
    event: &Event<'t>,
    span: Span,
    next: &mut dyn FnMut() -> Option<(Event<'t>, Span)>,
) -> Option<Node> {
    let mut range = span.byte_range()?;
    let shape = match event {
        Event::Scalar(text, ..) => Shape::Scalar(text.clone().into_owned()),
        Event::Alias(_) => Shape::Alias,
        Event::SequenceStart(style, ..) => {
            let items = children(&mut range, next, |event| *event == Event::SequenceEnd)?;
            Shape::Sequence(Style::from(*style), items)
        }
        Event::MappingStart(..) => {
            let children = children(&mut range, next, |event| *event == Event::MappingEnd)?;
            let mut children = children.into_iter();
            let pairs = std::iter::from_fn(|| Some((children.next()?, children.next()?)));
            Shape::Mapping(pairs.collect())
        }
        _ => return None,
    };
    Some(Node { range, shape })
}

/// The nodes up to the end of a collection. Its end in block style is the end of its last
/// child: the parser puts it where the next thing begins.
fn children<'t>(
    range: &mut Range<usize>,
    next: &mut dyn FnMut() -> Option<(Event<'t>, Span)>,
    is_end: fn(&Event<'t>) -> bool,
) -> Option<Vec<Node>> {
    let mut nodes: Vec<Node> = Vec::new();
    loop {
        let (event, span) = next()?;
        if is_end(&event) {
            let end = span.byte_range()?;
            let last = nodes.last().map_or(range.end, |node| node.range.end);
            range.end = if end.is_empty() { last } else { end.end };
            return Some(nodes);
        }
        nodes.push(node(&event, span, next)?);
    }
}

impl From<StructureStyle> for Style {
    fn from(style: StructureStyle) -> Self {
        match style {
            StructureStyle::Flow => Self::Flow,
            StructureStyle::Block => Self::Block,
        }
    }
}
