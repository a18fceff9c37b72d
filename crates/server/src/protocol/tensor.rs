//! What the protocols with tensors share: lists that are bounded while they are read, and what a shape means.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// A list that is refused while it is read when it has more than `N` items.
#[derive(Debug)]
pub(super) struct AtMost<T, const N: usize>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for AtMost<T, N> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_seq(AtMostVisitor(PhantomData))
    }
}

struct AtMostVisitor<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for AtMostVisitor<T, N> {
    type Value = AtMost<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {N} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == N {
                return Err(A::Error::custom(format!("a list has more than {N} items")));
            }
            items.push(item);
        }
        Ok(AtMost(items))
    }
}

/// Rows, and values in each of them; None without a dimension, or when there are more than can be.
pub(super) fn dimensions(shape: &[u64]) -> Option<(usize, usize)> {
    let (rows, others) = shape.split_first()?;
    let width = others.iter().try_fold(1_u64, |product, size| product.checked_mul(*size))?;
    rows.checked_mul(width)?;
    Some((usize::try_from(*rows).ok()?, usize::try_from(width).ok()?))
}
