//! The texts of the files that error pages name.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use waypost_plan::Plan;
use waypost_plan::error_pages::ErrorPage;

/// The texts of the files that error pages name. They may change without the plan.
#[derive(Debug, Default)]
pub struct PageFiles(HashMap<Box<str>, ArcSwapOption<FileText>>);

/// The text of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct FileText(Box<[u8]>);

impl FileText {
    /// The text of a file with these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// Returns true if these are its bytes.
    pub fn is(&self, bytes: &[u8]) -> bool {
        *self.0 == *bytes
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PageFiles {
    /// The files that the pages of `plan` name, none of which is read yet.
    pub(crate) fn of(plan: &Plan) -> Self {
        let paths = plan.error_pages().filter_map(ErrorPage::file);
        Self(paths.map(|path| (path.into(), ArcSwapOption::empty())).collect())
    }

    /// Sets the text of a file.
    pub fn set(&self, path: &str, text: Arc<FileText>) {
        if let Some(slot) = self.0.get(path) {
            slot.store(Some(text));
        }
    }

    /// The text of a file; `None` if it was not read.
    pub(crate) fn text(&self, path: &str) -> Option<Arc<FileText>> {
        self.0.get(path)?.load_full()
    }
}
