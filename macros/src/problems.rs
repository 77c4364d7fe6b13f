//! The errors of one expansion.

use syn::Error;

/// The errors found so far, in the order of their finding. All are shown at once.
#[derive(Default)]
pub(crate) struct Problems {
    found: Option<Error>,
}

impl Problems {
    pub(crate) fn add(&mut self, error: Error) {
        match &mut self.found {
            Some(found) => found.combine(error),
            None => self.found = Some(error),
        }
    }

    /// All of them in one, if there are any.
    pub(crate) fn into_error(self) -> Option<Error> {
        self.found
    }
}
