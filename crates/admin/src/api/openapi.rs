//! The OpenAPI document and the reference page, generated from the list of operations.

use axum::Json;
use axum::routing::get;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{Content, Operation};
use crate::problem::Problem;

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/openapi.json",
        summary: "The OpenAPI document",
        query: &[],
        body: Vec::new(),
        response: vec![Content {
            kind: "application/json",
            schema: None,
        }],
        problems: &[],
        handler: || get(async || Json(document())),
    }]
}

/// The OpenAPI 3.1 document.
pub fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths = serde_json::Map::new();
    for operation in super::operations() {
        let mut content = |forms: &[Content]| {
            let forms = forms.iter().map(|form| {
                let schema = match form.schema {
                    Some(schema) => schema(&mut generator).to_value(),
                    None if form.kind == "application/json" => json!({ "type": "object" }),
                    None => json!({ "type": "string" }),
                };
                (form.kind.to_owned(), json!({ "schema": schema }))
            });
            Value::Object(forms.collect())
        };
        let mut responses = serde_json::Map::new();
        responses.insert(
            "200".to_owned(),
            json!({ "description": "Success.", "content": content(&operation.response) }),
        );
        // All other errors have the same form: 404, 405, 413, 504.
        responses.insert(
            "default".to_owned(),
            json!({
                "description": "An error.",
                "content": { "application/problem+json": { "schema": problem } },
            }),
        );
        let mut problems = operation.problems.to_vec();
        if !super::OPEN.contains(&operation.path) {
            problems.extend([401, 403]);
        }
        problems.sort_unstable();
        for status in problems {
            let reason = axum::http::StatusCode::from_u16(status).ok();
            let reason = reason
                .and_then(|status| status.canonical_reason())
                .unwrap_or_default();
            responses.insert(
                status.to_string(),
                json!({
                    "description": reason,
                    "content": { "application/problem+json": { "schema": problem } },
                }),
            );
        }
        let in_path = operation
            .path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| {
                json!({
                    "name": name,
                    "in": "path",
                    "required": true,
                    "description": "`~.` and `~..` stand for `.` and `..`, which browsers take out of paths.",
                    "schema": { "type": "string" },
                })
            });
        let in_query = operation.query.iter().map(|(name, kind, description)| {
            json!({ "name": name, "in": "query", "description": description, "schema": { "type": kind } })
        });
        let words = operation
            .path
            .split(['/', '.', '{', '}'])
            .filter(|word| !word.is_empty());
        let id: Vec<&str> = std::iter::once(operation.method).chain(words).collect();
        let mut described = json!({
            "operationId": id.join("_"),
            "summary": operation.summary,
            "parameters": in_path.chain(in_query).collect::<Vec<Value>>(),
            "responses": responses,
        });
        if !operation.body.is_empty() {
            described["requestBody"] = json!({ "required": true, "content": content(&operation.body) });
        }
        if super::OPEN.contains(&operation.path) {
            described["security"] = json!([]);
        }
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Waypost admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Errors are problem documents (RFC 9457).",
        },
        "security": [{ "token": [] }, {}],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": generator.take_definitions(true),
        },
    })
}

/// The reference page.
pub fn reference() -> String {
    let mut page = String::from(
        "# Admin API\n\nThis page is generated from the code. The API listens on `admin.bind`, by default \
         `http://127.0.0.1:9900`. `GET /api/v1/openapi.json` returns its OpenAPI 3.1 document, with the schemas of all \
         bodies. Errors are problem documents (RFC 9457) with `status`, `title`, `detail` and, for an invalid config, \
         `diagnostics`. A name in a path that is `.` or `..`, which browsers take out, may be written as `~.` or `~..`. \
         See [operations.md](operations.md#the-admin-api) for usage and access control.\n\n",
    );
    for operation in super::operations() {
        let method = operation.method.to_uppercase();
        page.push_str(&format!(
            "## `{method} {}`\n\n{}.\n\n",
            operation.path, operation.summary
        ));
        for (name, _, meaning) in operation.query {
            page.push_str(&format!("- `?{name}=`: {meaning}.\n"));
        }
        let kinds = |forms: &[Content]| {
            let kinds: Vec<String> = forms.iter().map(|form| format!("`{}`", form.kind)).collect();
            kinds.join(" or ")
        };
        if !operation.body.is_empty() {
            page.push_str(&format!("- body: {}\n", kinds(&operation.body)));
        }
        page.push_str(&format!("- response: {}\n", kinds(&operation.response)));
        if !operation.problems.is_empty() {
            let problems: Vec<String> = operation.problems.iter().map(u16::to_string).collect();
            page.push_str(&format!("- problems: {}\n", problems.join(", ")));
        }
        page.push('\n');
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages;

    #[test]
    fn reference_page_is_up_to_date() {
        pages::check("admin-api.md", &reference());
    }

    /// Collects every `$ref` of a document.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn operations_are_described_and_references_resolve() {
        let document = document();
        for operation in super::super::operations() {
            let described = &document["paths"][operation.path][operation.method];
            assert_eq!(described["summary"], operation.summary, "{}", operation.path);
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
