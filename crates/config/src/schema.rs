//! The JSON Schema of the language, for editors and external checks.

use schemars::generate::SchemaSettings;

use crate::document::Document;

/// Returns the schema of a configuration file, in JSON Schema 2020-12.
///
/// It applies to the text before variables are replaced, so a number may be text with `${`.
pub fn schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Document>();
    schema.insert("title".to_owned(), "Waypost configuration".into());
    schema.to_value()
}
