//! SIP as bytes, messages, transactions and dialogs.
