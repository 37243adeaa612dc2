//! Structural schemas as CustomResourceDefinitions have them, in one table that checks, fills in
//! defaults and says what it knows.
//!
//! A value is treated as the API server treats it: unknown fields and nulls are dropped, defaults
//! filled in, limits checked, then the rules of each part that has the right structure.

mod check;

use serde_json::Value;

/// What a value may be.
#[derive(Clone, Copy)]
pub(crate) struct Schema {
    pub(crate) shape: Shape,
    /// JSON that stands in when the field is absent.
    pub(crate) default: Option<&'static str>,
    /// What else must hold.
    pub(crate) rules: &'static [Rule],
}

/// The structure of a value.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Object(&'static [Field]),
    /// Any keys.
    Map {
        max: Option<usize>,
        value: &'static Schema,
    },
    List {
        min: usize,
        max: Option<usize>,
        unique: Unique,
        item: &'static Schema,
    },
    Text {
        min: usize,
        max: Option<usize>,
        pattern: Option<Pattern>,
        one_of: &'static [&'static str],
    },
    Integer {
        min: Option<i64>,
        max: Option<i64>,
        one_of: &'static [i64],
    },
    Boolean,
}

/// A field of an object.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) is_required: bool,
    pub(crate) schema: Schema,
}

/// What may not be twice in a list.
#[derive(Clone, Copy)]
pub(crate) enum Unique {
    Nothing,
    Items,
    /// Items with the same value in this field.
    By(&'static str),
}

/// A regular expression and its test.
#[derive(Clone, Copy)]
pub(crate) struct Pattern {
    pub(crate) text: &'static str,
    pub(crate) fits: fn(&str) -> bool,
}

/// Defines a [`Pattern`]; it is compiled at first use.
macro_rules! pattern {
    ($(#[$attribute:meta])* $visibility:vis $name:ident = $text:expr) => {
        $(#[$attribute])*
        $visibility const $name: $crate::schema::Pattern = {
            fn fits(text: &str) -> bool {
                static REGEX: std::sync::LazyLock<regex::Regex> = std::sync::LazyLock::new(|| {
                    regex::Regex::new($text).expect("a literal; a test uses every schema")
                });
                REGEX.is_match(text)
            }
            $crate::schema::Pattern { text: $text, fits }
        };
    };
}
pub(crate) use pattern;

/// What must hold of a value that has the right structure, defaults filled in.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) message: &'static str,
    pub(crate) holds: fn(&Value) -> bool,
}

pub(crate) const fn rule(message: &'static str, holds: fn(&Value) -> bool) -> Rule {
    Rule { message, holds }
}

pub(crate) const fn object(fields: &'static [Field]) -> Schema {
    of(Shape::Object(fields))
}

pub(crate) const fn map(max: Option<usize>, value: &'static Schema) -> Schema {
    of(Shape::Map { max, value })
}

/// At least `min` and at most `max` items.
pub(crate) const fn list(min: usize, max: usize, item: &'static Schema) -> Schema {
    of(Shape::List {
        min,
        max: Some(max),
        unique: Unique::Nothing,
        item,
    })
}

pub(crate) const fn unbounded_list(item: &'static Schema) -> Schema {
    of(Shape::List {
        min: 0,
        max: None,
        unique: Unique::Nothing,
        item,
    })
}

/// At least `min` and at most `max` characters.
pub(crate) const fn text(min: usize, max: usize) -> Schema {
    of(Shape::Text {
        min,
        max: Some(max),
        pattern: None,
        one_of: &[],
    })
}

pub(crate) const fn any_text() -> Schema {
    of(Shape::Text {
        min: 0,
        max: None,
        pattern: None,
        one_of: &[],
    })
}

pub(crate) const fn one_of(one_of: &'static [&'static str]) -> Schema {
    of(Shape::Text {
        min: 0,
        max: None,
        pattern: None,
        one_of,
    })
}

pub(crate) const fn integer(min: i64, max: Option<i64>) -> Schema {
    of(Shape::Integer {
        min: Some(min),
        max,
        one_of: &[],
    })
}

pub(crate) const fn one_number_of(one_of: &'static [i64]) -> Schema {
    of(Shape::Integer {
        min: None,
        max: None,
        one_of,
    })
}

pub(crate) const fn boolean() -> Schema {
    of(Shape::Boolean)
}

const fn of(shape: Shape) -> Schema {
    Schema {
        shape,
        default: None,
        rules: &[],
    }
}

impl Schema {
    pub(crate) const fn or(mut self, json: &'static str) -> Self {
        self.default = Some(json);
        self
    }

    pub(crate) const fn with(mut self, rules: &'static [Rule]) -> Self {
        self.rules = rules;
        self
    }

    /// A text that fits.
    pub(crate) const fn like(mut self, fitting: Pattern) -> Self {
        if let Shape::Text { pattern, .. } = &mut self.shape {
            *pattern = Some(fitting);
        }
        self
    }

    /// A list without two equal items.
    pub(crate) const fn set(mut self) -> Self {
        if let Shape::List { unique, .. } = &mut self.shape {
            *unique = Unique::Items;
        }
        self
    }

    /// A list without two items of one `key`.
    pub(crate) const fn keyed(mut self, key: &'static str) -> Self {
        if let Shape::List { unique, .. } = &mut self.shape {
            *unique = Unique::By(key);
        }
        self
    }
}

pub(crate) const fn must(name: &'static str, schema: Schema) -> Field {
    Field {
        name,
        is_required: true,
        schema,
    }
}

pub(crate) const fn may(name: &'static str, schema: Schema) -> Field {
    Field {
        name,
        is_required: false,
        schema,
    }
}
