//! One operation of the document, as the resource that answers it describes it.

use serde_json::json;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, ParameterStyle,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type,
};
use utoipa::openapi::{Content, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

use super::shared::rate_limited;
use super::words::{one_of, pattern, text, whole};

/// Schemas by their names.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// An operation, and the schemas that it refers to.
pub struct Operation {
    pub(super) path: &'static str,
    pub(super) method: HttpMethod,
    pub(super) id: &'static str,
    pub(super) inner: OperationBuilder,
    pub(super) schemas: Schemas,
}

/// The media type of most bodies.
const JSON: &str = "application/json";

impl Operation {
    /// `GET` of this path, by this name, said in a few words.
    pub fn get(path: &'static str, id: &'static str, summary: &str) -> Self {
        Self::new(HttpMethod::Get, path, id, summary)
    }

    /// `POST`.
    pub fn post(path: &'static str, id: &'static str, summary: &str) -> Self {
        Self::new(HttpMethod::Post, path, id, summary)
    }

    /// `PUT`.
    pub fn put(path: &'static str, id: &'static str, summary: &str) -> Self {
        Self::new(HttpMethod::Put, path, id, summary)
    }

    /// `PATCH`.
    pub fn patch(path: &'static str, id: &'static str, summary: &str) -> Self {
        Self::new(HttpMethod::Patch, path, id, summary)
    }

    /// `DELETE`.
    pub fn delete(path: &'static str, id: &'static str, summary: &str) -> Self {
        Self::new(HttpMethod::Delete, path, id, summary)
    }

    fn new(method: HttpMethod, path: &'static str, id: &'static str, summary: &str) -> Self {
        let inner = OperationBuilder::new()
            .operation_id(Some(id))
            .summary(Some(summary));
        let operation = Self {
            path,
            method,
            id,
            inner,
            schemas: Vec::new(),
        };
        // What paths name, they all name alike.
        [
            ("{org}", "org", "An organization"),
            ("{id}", "id", "An API key"),
            ("{role}", "role", "A role"),
            ("{action}", "action", "An action"),
            ("{kid}", "kid", "A signing key"),
        ]
        .into_iter()
        .filter(|(segment, ..)| path.contains(segment))
        .fold(operation, |operation, (_, name, what)| {
            operation.with(|inner| in_path(inner, name, what))
        })
    }

    /// An optional parameter of the query string.
    pub fn query(self, name: &str, what: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.parameter(ParameterIn::Query, name, what, schema)
    }

    /// Any number of parameters `name[…]`.
    pub fn query_map<T: PartialSchema>(self, name: &str, what: &str) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(what))
            .style(Some(ParameterStyle::DeepObject))
            .explode(Some(true))
            .schema(Some(T::schema()));
        self.with(|inner| inner.parameter(parameter))
    }

    /// An optional header.
    pub fn header(self, name: &str, what: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.parameter(ParameterIn::Header, name, what, schema)
    }

    /// `limit` and `cursor`.
    pub fn paged(self) -> Self {
        self.query("limit", "Rows on the page; 20 if not said", whole(1, 100))
            .query(
                "cursor",
                "Where the page begins: the next_cursor of the page before",
                text("Nothing that need be understood").min_length(Some(1)),
            )
    }

    /// `If-Match`.
    pub fn conditional(self) -> Self {
        self.header(
            "If-Match",
            "The entity tag of the revision to build on; 412 if it is another by now",
            text("Entity tags").examples([json!("\"r1\"")]),
        )
    }

    /// `Idempotency-Key`.
    pub fn once(self) -> Self {
        self.header(
            "Idempotency-Key",
            "Under one key a request is done once: sent again, it is answered with 200 and \
             without the secret",
            pattern("Such as a UUID", "^[ -~]*[!-~][ -~]*$")
                .min_length(Some(1))
                .max_length(Some(255)),
        )
    }

    /// A yes or no in the query string.
    pub fn flag(self, name: &str, what: &str) -> Self {
        self.query(name, what, one_of(&["true", "false"]))
    }

    /// A JSON body that must be there.
    pub fn takes<T: ToSchema>(self) -> Self {
        self.body::<T>(JSON, Required::True)
    }

    /// A JSON body that may be left out.
    pub fn may_take<T: ToSchema>(self) -> Self {
        self.body::<T>(JSON, Required::False)
    }

    /// A form.
    pub fn takes_form<T: ToSchema>(self) -> Self {
        self.body::<T>("application/x-www-form-urlencoded", Required::True)
    }

    /// An answer with a JSON body.
    pub fn answers<T: ToSchema>(self, status: u16, what: &str) -> Self {
        let reference = Ref::from_schema_name(T::name());
        self.keep::<T>().answer_with(status, what, |response| {
            response.content(JSON, Content::new(Some(reference)))
        })
    }

    /// The same, with an entity tag.
    pub fn answers_tagged<T: ToSchema>(self, status: u16, what: &str) -> Self {
        let reference = Ref::from_schema_name(T::name());
        let tag = HeaderBuilder::new()
            .description(Some("The revision, for If-Match"))
            .schema(Some(text("A strong entity tag")))
            .build();
        self.keep::<T>().answer_with(status, what, |response| {
            response
                .content(JSON, Content::new(Some(reference)))
                .header("ETag", tag)
        })
    }

    /// An answer with a JSON body of either kind.
    pub fn answers_either<T: ToSchema, U: ToSchema>(self, status: u16, what: &str) -> Self {
        let either = AnyOfBuilder::new()
            .item(Ref::from_schema_name(T::name()))
            .item(Ref::from_schema_name(U::name()));
        self.keep::<T>()
            .keep::<U>()
            .answer_with(status, what, |response| {
                response.content(JSON, Content::new(Some(Schema::from(either.build()))))
            })
    }

    /// A public document that caches may keep.
    pub fn answers_document<T: ToSchema>(self, what: &str) -> Self {
        self.header(
            "If-None-Match",
            "The entity tag of the document held already",
            text("Entity tags").examples([json!("*")]),
        )
        .answers_tagged::<T>(200, what)
        .answers_nothing(304, "The document held already is still the one")
    }

    /// A public JWT that caches may keep for a moment. It has no schema: tools would read it as JSON.
    pub fn answers_jwt(self, what: &str) -> Self {
        let tag = HeaderBuilder::new()
            .description(Some("What is in it, for If-None-Match"))
            .schema(Some(text("A weak entity tag")))
            .build();
        self.header(
            "If-None-Match",
            "The entity tag of the document held already",
            text("Entity tags").examples([json!("*")]),
        )
        .answer_with(200, what, |response| {
            response
                .content("application/jwt", Content::new(None::<Ref>))
                .header("ETag", tag)
        })
        .answers_nothing(304, "The document held already is as good")
    }

    /// An answer with one page of rows.
    pub fn answers_page<T: ToSchema>(self, what: &str) -> Self {
        self.answers_page_or::<T>(what, &[])
    }

    /// The same, or text of other media types.
    pub fn answers_page_or<T: ToSchema>(self, what: &str, others: &[&str]) -> Self {
        let rows = ArrayBuilder::new()
            .items(Ref::from_schema_name(T::name()))
            .max_items(Some(100));
        let next = text("The cursor of the next page; null on the last")
            .schema_type(SchemaType::Array(vec![Type::String, Type::Null]));
        let page = ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("data", rows)
            .required("data")
            .property("next_cursor", next)
            .required("next_cursor");
        self.keep::<T>().answer_with(200, what, |response| {
            others.iter().fold(
                response.content(JSON, Content::new(Some(Schema::from(page)))),
                |response, kind| {
                    let lines = text("A line of JSON for each row");
                    response.content(*kind, Content::new(Some(Schema::from(lines))))
                },
            )
        })
    }

    /// An answer without a body.
    pub fn answers_nothing(self, status: u16, what: &str) -> Self {
        self.answer_with(status, what, |response| response)
    }

    /// The same, with these headers and how the key stands to its limit.
    pub fn answers_nothing_but(self, status: u16, what: &str, headers: &[(&str, &str)]) -> Self {
        self.answer_with(status, what, |response| {
            headers
                .iter()
                .fold(rate_limited(response), |response, (name, what)| {
                    let header = HeaderBuilder::new()
                        .description(Some(*what))
                        .schema(Some(text(what)));
                    response.header(*name, header.build())
                })
        })
    }

    /// An access token, beside how the key stands to its limit.
    pub fn answers_limited<T: ToSchema>(self, status: u16, what: &str) -> Self {
        let reference = Ref::from_schema_name(T::name());
        self.keep::<T>().answer_with(status, what, |response| {
            rate_limited(response.content(JSON, Content::new(Some(reference))))
        })
    }

    /// Any other change.
    pub fn with(mut self, change: impl FnOnce(OperationBuilder) -> OperationBuilder) -> Self {
        self.inner = change(self.inner);
        self
    }

    fn parameter(
        self,
        place: ParameterIn,
        name: &str,
        what: &str,
        schema: impl Into<RefOr<Schema>>,
    ) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(Required::False)
            .description(Some(what))
            .schema(Some(schema));
        self.with(|inner| inner.parameter(parameter))
    }

    fn body<T: ToSchema>(self, kind: &str, required: Required) -> Self {
        let content = Content::new(Some(Ref::from_schema_name(T::name())));
        let body = RequestBodyBuilder::new()
            .content(kind, content)
            .required(Some(required))
            .build();
        self.keep::<T>()
            .with(|inner| inner.request_body(Some(body)))
    }

    fn answer_with(
        self,
        status: u16,
        what: &str,
        more: impl FnOnce(ResponseBuilder) -> ResponseBuilder,
    ) -> Self {
        self.with(|inner| {
            inner.response(
                status.to_string(),
                more(ResponseBuilder::new().description(what)).build(),
            )
        })
    }

    fn keep<T: ToSchema>(mut self) -> Self {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        self
    }
}

/// With a parameter of the path, of whatever form: text that names nothing is answered as what
/// is not there.
pub fn in_path(operation: OperationBuilder, name: &str, what: &str) -> OperationBuilder {
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(what))
        .schema(Some(text(what).min_length(Some(1))));
    operation.parameter(parameter)
}
