//! Parser events into a value.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

use super::{MAX_COPIES, MAX_DEPTH, scalar};

/// Why a document cannot be read.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Line of the document, from 1.
    pub(super) line: usize,
    pub(super) message: String,
}

/// Reads the only document of `text`.
pub(super) fn build(text: &str) -> Result<Value, Refusal> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Refusal {
            line: error.marker().line(),
            message: format!("not valid YAML: {}", error.info()),
        })?;
        builder.take(event).map_err(|message| Refusal {
            line: span.start.line(),
            message,
        })?;
    }
    Ok(builder.root.unwrap_or(Value::Null))
}

#[derive(Default)]
struct Builder {
    open: Vec<Frame>,
    root: Option<Value>,
    /// Finished anchored nodes with their sizes in nodes.
    anchors: BTreeMap<usize, (Value, usize)>,
    copies: usize,
}

struct Frame {
    anchor: usize,
    /// Nodes in it so far, itself included.
    size: usize,
    node: Node,
}

enum Node {
    Sequence(Vec<Value>),
    Mapping {
        map: Map<String, Value>,
        key: Option<Key>,
        merged: Vec<Value>,
    },
}

enum Key {
    Name(String),
    Merge,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if self.wants_key() {
                    return self.key(text.into_owned(), style, anchor);
                }
                let value = scalar::resolve(text, style, tag.as_deref())?;
                self.place(value, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, Node::Sequence(Vec::new())),
            Event::MappingStart(anchor, _) => self.open(
                anchor,
                Node::Mapping {
                    map: Map::new(),
                    key: None,
                    merged: Vec::new(),
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor),
            Event::DocumentStart(_) if self.root.is_some() => {
                Err("a second document starts here; separate documents with ---".into())
            }
            _ => Ok(()),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Frame {
                node: Node::Mapping { key: None, .. },
                ..
            })
        )
    }

    fn key(&mut self, text: String, style: ScalarStyle, anchor: usize) -> Result<(), String> {
        if anchor != 0 {
            self.copy(1)?;
            self.anchors
                .insert(anchor, (Value::String(text.clone()), 1));
        }
        let Some(Frame {
            node: Node::Mapping { key, .. },
            ..
        }) = self.open.last_mut()
        else {
            return Ok(());
        };
        *key = Some(if text == "<<" && style == ScalarStyle::Plain {
            Key::Merge
        } else {
            Key::Name(text)
        });
        Ok(())
    }

    fn open(&mut self, anchor: usize, node: Node) -> Result<(), String> {
        if self.wants_key() {
            return Err("a key must be a plain name, not a list or a mapping".into());
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.open.push(Frame {
            anchor,
            size: 1,
            node,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(Frame { anchor, size, node }) = self.open.pop() else {
            return Ok(());
        };
        let value = match node {
            Node::Sequence(items) => Value::Array(items),
            Node::Mapping {
                mut map, merged, ..
            } => {
                // What is written wins over what is merged, and earlier merges over later ones.
                for merged in merged {
                    merge(&mut map, merged)?;
                }
                Value::Object(map)
            }
        };
        self.place(value, anchor, size)
    }

    fn alias(&mut self, anchor: usize) -> Result<(), String> {
        let Some((value, size)) = self.anchors.get(&anchor) else {
            return Err("an alias stands inside the node it names".into());
        };
        let (size, wants_key) = (*size, self.wants_key());
        if wants_key {
            let Value::String(text) = value else {
                return Err("a key must be a plain name, not a list or a mapping".into());
            };
            let text = text.clone();
            return self.key(text, ScalarStyle::DoubleQuoted, 0);
        }
        if depth(value) + self.open.len() > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        let value = if self.copies + size > MAX_COPIES {
            Value::Null
        } else {
            value.clone()
        };
        self.copy(size)?;
        self.place(value, 0, size)
    }

    fn copy(&mut self, size: usize) -> Result<(), String> {
        self.copies += size;
        if self.copies > MAX_COPIES {
            return Err(format!(
                "anchors and aliases copy more than {MAX_COPIES} nodes"
            ));
        }
        Ok(())
    }

    fn place(&mut self, value: Value, anchor: usize, size: usize) -> Result<(), String> {
        if anchor != 0 {
            self.copy(size)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        frame.size += size;
        match &mut frame.node {
            Node::Sequence(items) => items.push(value),
            Node::Mapping { map, key, merged } => match key.take() {
                Some(Key::Merge) => merged.push(value),
                Some(Key::Name(name)) => {
                    if map.contains_key(&name) {
                        return Err(format!("key {name:?} is written twice"));
                    }
                    map.insert(name, value);
                }
                None => {}
            },
        }
        Ok(())
    }
}

fn merge(map: &mut Map<String, Value>, merged: Value) -> Result<(), String> {
    match merged {
        Value::Object(merged) => {
            for (key, value) in merged {
                map.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(items) => items.into_iter().try_for_each(|item| match item {
            Value::Object(_) => merge(map, item),
            _ => Err("<< merges mappings only".into()),
        }),
        _ => Err("<< merges mappings only".into()),
    }
}

/// Levels of nesting; bounded by `MAX_DEPTH` by construction.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
