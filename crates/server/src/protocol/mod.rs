//! One folder per protocol: decode and encode around the one scoring path, in that protocol's own shapes.
//! A protocol has routes, an [`crate::score::Exchange`] and an error form; it never scores.

pub(crate) mod pps;
