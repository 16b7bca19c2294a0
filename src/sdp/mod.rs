//! Session descriptions: parsing and offer/answer.
