//! The endpoints that a request was sent to, or was meant to be sent to.

use crate::address::Address;

/// The endpoints that a request has tried. Another attempt goes elsewhere while there is an elsewhere.
#[derive(Debug, Default)]
pub struct Tried {
    /// Endpoints that are not picked while another is left.
    avoided: Vec<Address>,
    /// Endpoints among them that are not picked at all.
    excluded: Vec<Address>,
    /// Failed attempts to connect.
    pub failed: u32,
}

impl Tried {
    /// Notes an endpoint that got the request.
    pub fn note(&mut self, address: &Address) {
        self.avoided.push(address.clone());
    }

    /// Excludes an endpoint, such as one that cannot be reached.
    pub fn exclude(&mut self, address: &Address) {
        self.avoided.push(address.clone());
        self.excluded.push(address.clone());
    }

    /// Endpoints that are not picked while another is left.
    pub fn avoided(&self) -> &[Address] {
        &self.avoided
    }

    /// Permits the endpoints that are not excluded again. Returns false if there is none.
    pub fn relent(&mut self) -> bool {
        let any = self.avoided.len() > self.excluded.len();
        if any {
            self.avoided.clone_from(&self.excluded);
        }
        any
    }

    /// Permits all endpoints again.
    pub fn forget(&mut self) {
        self.avoided.clear();
        self.excluded.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_that_cannot_be_reached_stay_excluded() {
        let [a, b] = [1, 2].map(|port| Address::Tcp(([10, 0, 0, 1], port).into()));
        let mut tried = Tried::default();
        assert!(!tried.relent());
        tried.note(&a);
        tried.exclude(&b);
        assert_eq!(tried.avoided(), [a, b.clone()]);
        assert!(tried.relent());
        assert_eq!(tried.avoided(), std::slice::from_ref(&b));
        assert!(!tried.relent());
        tried.forget();
        assert!(tried.avoided().is_empty());
    }
}
