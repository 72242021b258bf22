//! Configured texts with the values of a request filled in.

/// The texts of a decision that are filled in, in memory that is reused for the next one. Texts without names of values are
/// written as they are configured, and are not here.
#[derive(Debug, Default)]
pub struct Filled {
    /// The lines of the edits to the request.
    pub(crate) request_lines: Vec<u8>,
    /// The lines of the edits to the response.
    pub(crate) response_lines: Vec<u8>,
    /// The body of a response that a route configures.
    pub(crate) body: Vec<u8>,
    /// The `Host` that a rewrite gives.
    pub(crate) host: Vec<u8>,
    /// The query that a rewrite gives, with its `?`.
    pub(crate) query: Vec<u8>,
    /// The query without credentials, with its `?`, where any may be in it.
    pub(crate) open_query: Vec<u8>,
    /// The lines that authentication writes into the request.
    pub(crate) auth_lines: Vec<u8>,
    /// The challenges of a refused request, as lines.
    pub(crate) challenges: Vec<u8>,
}

impl Filled {
    /// The lines of the edits to the response.
    pub fn response_lines(&self) -> &[u8] {
        &self.response_lines
    }

    /// The body of a response that a route configures.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The challenges of a refused request, as lines.
    pub fn challenges(&self) -> &[u8] {
        &self.challenges
    }

    /// Discards the texts, and memory beyond `keep` bytes each.
    pub(crate) fn tidy(&mut self, keep: usize) {
        for bytes in [
            &mut self.request_lines,
            &mut self.response_lines,
            &mut self.body,
            &mut self.host,
            &mut self.query,
            &mut self.open_query,
            &mut self.auth_lines,
            &mut self.challenges,
        ] {
            bytes.clear();
            bytes.shrink_to(keep);
        }
    }
}
