//! What a type or a schema knows.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess,
        Visitor,
        value::{Error, StrDeserializer},
    },
    forward_to_deserialize_any,
};

use crate::schema::{Schema, Shape};

/// A field as the reader has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) path: String,
    pub(crate) shape: String,
    pub(crate) default: Option<String>,
}

/// Fields of a schema, those inside others behind them.
pub(crate) fn of_schema(schema: &Schema, path: &str, found: &mut Vec<Found>) {
    let shape = match schema.shape {
        Shape::Object(_) => "object".to_owned(),
        Shape::Map { .. } => "map".to_owned(),
        Shape::List { .. } => "list".to_owned(),
        Shape::Text { one_of: [], .. } => "string".to_owned(),
        Shape::Text { one_of, .. } => format!("one of {}", one_of.join(", ")),
        Shape::Integer { one_of: [], .. } => "integer".to_owned(),
        Shape::Integer { one_of, .. } => {
            let numbers: Vec<String> = one_of.iter().map(ToString::to_string).collect();
            format!("one of {}", numbers.join(", "))
        }
        Shape::Boolean => "boolean".to_owned(),
    };
    found.push(Found {
        path: path.to_owned(),
        shape,
        default: schema.default.map(str::to_owned),
    });
    match schema.shape {
        Shape::Object(fields) => {
            for field in fields {
                of_schema(&field.schema, &format!("{path}.{}", field.name), found);
            }
        }
        Shape::Map { value, .. } => of_schema(value, &format!("{path}.*"), found),
        Shape::List { item, .. } => of_schema(item, &format!("{path}[]"), found),
        _ => {}
    }
}

/// Fields of a type: it is read from a source that offers every field the type asks for.
pub(crate) fn of_type<T: DeserializeOwned>(base: &str) -> Vec<Found> {
    let walk = Walk::default();
    // A value that does not please a field's own reader is left out the next time; the field has
    // been seen by then.
    loop {
        walk.failed.take();
        let place = Place {
            walk: &walk,
            path: base.to_owned(),
        };
        let done = T::deserialize(place).is_ok();
        match walk.failed.take() {
            Some(path) if !done => walk.left_out.borrow_mut().insert(path),
            _ => break,
        };
    }
    let shapes = walk.shapes.into_inner();
    let order = walk.order.into_inner().into_iter();
    let mut found: Vec<Found> = order
        .map(|path| Found {
            shape: shapes[&path].clone(),
            path,
            default: None,
        })
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// What was seen so far.
#[derive(Default)]
struct Walk {
    order: RefCell<Vec<String>>,
    shapes: RefCell<BTreeMap<String, String>>,
    left_out: RefCell<BTreeSet<String>>,
    /// The innermost field that failed.
    failed: RefCell<Option<String>>,
}

/// A place in a type.
struct Place<'w> {
    walk: &'w Walk,
    path: String,
}

impl Place<'_> {
    fn see(&self, shape: &str) {
        let mut shapes = self.walk.shapes.borrow_mut();
        if !shapes.contains_key(&self.path) {
            self.walk.order.borrow_mut().push(self.path.clone());
        }
        shapes.insert(self.path.clone(), shape.to_owned());
    }
}

macro_rules! leaves {
    ($($method:ident $visit:ident $value:expr, $shape:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.see($shape);
            visitor.$visit($value)
        })*
    };
}

impl<'de, 'w> Deserializer<'de> for Place<'w> {
    type Error = Error;

    leaves! {
        deserialize_bool visit_bool true, "boolean";
        deserialize_i8 visit_i8 1, "integer";
        deserialize_i16 visit_i16 1, "integer";
        deserialize_i32 visit_i32 1, "integer";
        deserialize_i64 visit_i64 1, "integer";
        deserialize_u8 visit_u8 1, "integer";
        deserialize_u16 visit_u16 1, "integer";
        deserialize_u32 visit_u32 1, "integer";
        deserialize_u64 visit_u64 1, "integer";
        deserialize_f32 visit_f32 1.0, "number";
        deserialize_f64 visit_f64 1.0, "number";
        deserialize_str visit_borrowed_str "1s", "string";
        deserialize_string visit_borrowed_str "1s", "string";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.see("any");
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.see("list");
        visitor.visit_seq(Inside::new(self, &["[]"]))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.see("map");
        visitor.visit_map(Inside::new(self, &["8080"]).with_any_key())
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.see("object");
        visitor.visit_map(Inside::new(self, fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.see(&format!("one of {}", variants.join(", ")));
        let first = variants
            .first()
            .ok_or_else(|| Error::custom("no variant"))?;
        let first: StrDeserializer<'_, Error> = first.into_deserializer();
        visitor.visit_enum(first)
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// What is inside a list, a map or an object.
struct Inside<'w> {
    place: Place<'w>,
    names: &'static [&'static str],
    next: usize,
    has_any_key: bool,
}

impl<'w> Inside<'w> {
    fn new(place: Place<'w>, names: &'static [&'static str]) -> Self {
        Self {
            place,
            names,
            next: 0,
            has_any_key: false,
        }
    }

    fn with_any_key(mut self) -> Self {
        self.has_any_key = true;
        self
    }

    fn path(&self, name: &str) -> String {
        let path = &self.place.path;
        match name {
            "[]" => format!("{path}[]"),
            _ if self.has_any_key => format!("{path}.*"),
            _ if path.is_empty() => name.to_owned(),
            _ => format!("{path}.{name}"),
        }
    }

    /// The next name that is not left out.
    fn advance(&mut self) -> Option<&'static str> {
        while let Some(name) = self.names.get(self.next) {
            self.next += 1;
            // The names of JSON have no underscores: those are second names for the same fields.
            let is_alias = !self.has_any_key && name.contains('_');
            let is_out = self.place.walk.left_out.borrow().contains(&self.path(name));
            if !is_alias && !is_out {
                return Some(name);
            }
        }
        None
    }

    fn descend<'de, S: DeserializeSeed<'de>>(
        &self,
        name: &str,
        seed: S,
    ) -> Result<S::Value, Error> {
        let path = self.path(name);
        // A type that holds itself in a list is shown once, not for ever.
        let step = path.rsplit('.').next().unwrap_or_default();
        let is_inside_itself =
            name == "[]" && path.split('.').filter(|other| *other == step).count() > 1;
        if is_inside_itself {
            self.place.walk.failed.borrow_mut().get_or_insert(path);
            return Err(Error::custom("too deep"));
        }
        let place = Place {
            walk: self.place.walk,
            path: path.clone(),
        };
        seed.deserialize(place).inspect_err(|_| {
            self.place.walk.failed.borrow_mut().get_or_insert(path);
        })
    }
}

impl<'de> SeqAccess<'de> for Inside<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        self.advance()
            .map(|name| self.descend(name, seed))
            .transpose()
    }
}

impl<'de> MapAccess<'de> for Inside<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some(name) = self.advance() else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, Error> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let name = self.names[self.next - 1];
        self.descend(name, seed)
    }
}
