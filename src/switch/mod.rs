//! Whose packet is this; registrations, trunks, admission.
