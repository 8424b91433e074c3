//! The shapes of answers: the envelope exactly, and in it the `data` of each endpoint as the types that write it say.
//!
//! Never here: which endpoint gives what. To add a shape: derive `utoipa::ToSchema` at its type.

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, Components, ComponentsBuilder, ObjectBuilder, OneOfBuilder};
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};

use crate::domain::failure::Failure;
use crate::service::answer::FilterEntry;
use crate::service::request::Fault;

/// Any of the shapes, by name or whole.
pub(super) type Shape = RefOr<Schema>;

/// Makes the shape of an endpoint's `data`, and notes the named ones in it.
pub(super) type Data = fn(&mut Shapes) -> Shape;

/// The component that says what a refusal looks like.
pub(super) const REFUSED: &str = "Refused";

/// The named shapes.
#[derive(Default)]
pub(super) struct Shapes(Vec<(String, Shape)>);

impl Shapes {
    /// Everything that a reference in the document names, the job file's own apart.
    pub(super) fn components(mut self) -> Components {
        one::<Fault>(&mut self);
        let builder = ComponentsBuilder::new().schema(REFUSED, refused(typed(Type::Null)));
        self.0.into_iter().fold(builder, |builder, (name, shape)| builder.schema(name, mended(shape))).build()
    }
}

/// `#[serde(flatten)]` of an `Option` means that its keys may be missing, all together. The derive says instead that the
/// object around it may be null.
fn mended(mut shape: Shape) -> Shape {
    let RefOr::T(Schema::AllOf(all)) = &mut shape else { return shape };
    for item in &mut all.items {
        if let RefOr::T(Schema::OneOf(flattened)) = item {
            let keys = flattened.items.drain(..).find(|item| matches!(item, RefOr::Ref(_)));
            let without = RefOr::T(ObjectBuilder::new().build().into());
            *item = keys.into_iter().chain([without]).fold(AnyOfBuilder::new(), AnyOfBuilder::item).into();
        }
    }
    shape
}

/// A value of that type.
pub(super) fn one<T: ToSchema>(shapes: &mut Shapes) -> Shape {
    // Numbers and texts have no name of their own.
    let shape = T::schema();
    if !matches!(&shape, RefOr::T(Schema::Object(object)) if object.properties.is_empty() && object.enum_values.is_none()) {
        shapes.0.push((T::name().into_owned(), shape));
        T::schemas(&mut shapes.0);
        return Ref::from_schema_name(T::name()).into();
    }
    shape
}

/// A list of them.
pub(super) fn list_of<T: ToSchema>(shapes: &mut Shapes) -> Shape {
    ArrayBuilder::new().items(one::<T>(shapes)).into()
}

/// An object with nothing in it.
pub(super) fn nothing(_: &mut Shapes) -> Shape {
    ObjectBuilder::new().max_properties(Some(0)).into()
}

/// One of two.
pub(super) fn either(shapes: [Shape; 2]) -> Shape {
    shapes.into_iter().fold(AnyOfBuilder::new(), AnyOfBuilder::item).into()
}

/// The envelope of an endpoint whose `data` looks like that.
pub(super) fn envelope(data: Shape) -> Shape {
    OneOfBuilder::new().item(done(data)).item(Ref::from_schema_name(REFUSED)).into()
}

/// The same of a submission: when no host was accepted, `data` says why.
pub(super) fn submission(data: Shape, shapes: &mut Shapes) -> Shape {
    let none = ObjectBuilder::new()
        .property("job_id", only(json!("")))
        .property("ip_filter", list_of::<FilterEntry>(shapes))
        .required("job_id")
        .required("ip_filter");
    let rejected = refused(none);
    OneOfBuilder::new().item(done(data)).item(Ref::from_schema_name(REFUSED)).item(rejected).into()
}

/// The same of what a host is asked for: when it does not give it, `data` says why.
pub(super) fn from_host(data: Shape, shapes: &mut Shapes) -> Shape {
    let why = refused(ObjectBuilder::new().property("failure", one::<Failure>(shapes)).required("failure"));
    OneOfBuilder::new().item(done(data)).item(Ref::from_schema_name(REFUSED)).item(why).into()
}

fn done(data: Shape) -> Shape {
    let errors = typed(Type::Null);
    five(only(json!(true)), only(json!(0)), data, only(json!("")), errors)
}

fn refused(data: impl Into<Shape>) -> Shape {
    let errors = ArrayBuilder::new().schema_type(SchemaType::Array(vec![Type::Array, Type::Null]));
    let errors = errors.items(Ref::from_schema_name(Fault::name()));
    five(only(json!(false)), typed(Type::Integer), data, typed(Type::String), errors)
}

/// The envelope has these keys and no others.
fn five(
    result: impl Into<Shape>,
    code: impl Into<Shape>,
    data: impl Into<Shape>,
    message: impl Into<Shape>,
    errors: impl Into<Shape>,
) -> Shape {
    let keys = ["result", "code", "data", "message", "errors"];
    let shapes = [result.into(), code.into(), data.into(), message.into(), errors.into()];
    let object =
        keys.into_iter().zip(shapes).fold(ObjectBuilder::new(), |object, (key, shape)| object.property(key, shape).required(key));
    object.additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::<Schema>::FreeForm(false))).into()
}

/// That value and no other.
fn only(value: Value) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).enum_values(Some([value]))
}

pub(super) fn typed(kind: impl Into<SchemaType>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}
