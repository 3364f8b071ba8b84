//! Spans, and the trees that they are handed over in.

use std::borrow::Cow;
use std::time::SystemTime;

use super::TraceContext;
use crate::time::Timestamp;

/// What a span is to the spans of other processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it happened within one process.
    Internal,
    /// It answered somebody's request.
    Server,
    /// It sent a message.
    Producer,
    /// It took a message.
    Consumer,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

/// Something that took time, while it is being described.
#[derive(Debug, Clone)]
pub struct Span {
    context: TraceContext,
    parent: Option<TraceContext>,
    is_parent_remote: bool,
    name: Cow<'static, str>,
    kind: Kind,
    began: SystemTime,
    attributes: Vec<(&'static str, Value)>,
    failure: Option<String>,
}

/// A span that has ended.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(feature = "otlp"),
    expect(dead_code, reason = "nobody takes it where nothing is exported")
)]
pub struct Ended {
    pub(crate) context: TraceContext,
    pub(crate) parent: Option<TraceContext>,
    pub(crate) is_parent_remote: bool,
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: Kind,
    pub(crate) began: SystemTime,
    pub(crate) ended: SystemTime,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    pub(crate) failure: Option<String>,
}

impl Span {
    /// The first span of a trace. It begins now.
    pub fn first(context: TraceContext, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            context,
            parent: None,
            is_parent_remote: false,
            name: name.into(),
            kind: Kind::Internal,
            began: SystemTime::now(),
            attributes: Vec::new(),
            failure: None,
        }
    }

    /// A child of a span of this process. It begins now.
    pub fn of(parent: TraceContext, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            parent: Some(parent),
            ..Self::first(parent.next(), name)
        }
    }

    /// A child of a span of another process, or of another life of this one. It begins now.
    pub fn of_remote(parent: TraceContext, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            is_parent_remote: true,
            ..Self::of(parent, name)
        }
    }

    /// The same of that kind.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The same, begun then.
    #[must_use]
    pub fn since(mut self, began: SystemTime) -> Self {
        self.began = began;
        self
    }

    /// The same, begun then.
    #[must_use]
    pub fn since_timestamp(self, began: Timestamp) -> Self {
        self.since(began.into())
    }

    /// The same with an attribute.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((key, value.into()));
        self
    }

    /// Adds an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.attributes.push((key, value.into()));
    }

    /// It failed, for that reason.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.failure = Some(why.into());
    }

    /// What its children are children of. It may leave the process once the span has ended.
    pub const fn context(&self) -> TraceContext {
        self.context
    }

    /// It ends then, and waits for whatever it is handed over with. No span ends before it began: clocks of two machines differ.
    pub fn ended_at(self, ended: SystemTime) -> Ended {
        Ended {
            began: self.began.min(ended),
            ended,
            context: self.context,
            parent: self.parent,
            is_parent_remote: self.is_parent_remote,
            name: self.name,
            kind: self.kind,
            attributes: self.attributes,
            failure: self.failure,
        }
    }

    /// It ends now, and is handed over.
    pub fn end(self) -> TraceContext {
        let ended = self.ended_at(SystemTime::now());
        let context = ended.context;
        send(vec![ended]);
        context
    }
}

/// A span with its children, which are handed over together when it ends.
#[derive(Debug)]
pub struct Tree {
    root: Span,
    children: Vec<Ended>,
}

impl Tree {
    /// The tree of that span.
    pub const fn new(root: Span) -> Self {
        Self {
            root,
            children: Vec::new(),
        }
    }

    /// The span that all hangs on.
    pub const fn root(&mut self) -> &mut Span {
        &mut self.root
    }

    /// Its context. It may leave the process once the tree has ended.
    pub const fn context(&self) -> TraceContext {
        self.root.context()
    }

    /// A child of it, which is to be [added](Self::add). It begins now.
    pub fn child(&self, name: impl Into<Cow<'static, str>>) -> Span {
        Span::of(self.root.context, name)
    }

    /// Adds a span of it that has ended.
    pub fn add(&mut self, child: Ended) {
        self.children.push(child);
    }

    /// It ends now, and is handed over with its children.
    pub fn end(self) -> TraceContext {
        let context = self.root.context;
        let mut spans = vec![self.root.ended_at(SystemTime::now())];
        spans.extend(self.children);
        send(spans);
        context
    }
}

/// Hands over what belongs together: all of it, or nothing.
fn send(spans: Vec<Ended>) {
    // Whoever began the trace decides whether it is wanted.
    if spans.first().is_some_and(|span| span.context.is_sampled()) {
        super::hand_over(spans);
    }
}

impl Ended {
    /// Hands it over by itself.
    pub fn send(self) {
        send(vec![self]);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn children_hang_on_their_parent_and_end_no_sooner_than_they_begin() {
        let first = Span::first(TraceContext::first(9), "first");
        let mut tree = Tree::new(Span::of_remote(first.context(), "root"));
        let begins = SystemTime::now();
        let child = tree.child("child").since(begins).with("n", 3_u32);
        let early = begins.checked_sub(Duration::from_secs(5)).unwrap();
        let ended = child.ended_at(early);
        assert_eq!(ended.began, early);
        assert_eq!(ended.parent, Some(tree.context()));
        assert!(!ended.is_parent_remote && tree.root.is_parent_remote);
        assert_eq!(tree.root.parent, Some(first.context()));
        assert_eq!(ended.attributes, [("n", Value::Number(3))]);
        tree.add(ended);
        assert_eq!(tree.children.len(), 1);
        assert_eq!(tree.context().trace_id(), first.context().trace_id());
    }
}
