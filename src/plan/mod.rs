//! The dialplan: source, validation, model, routing.
