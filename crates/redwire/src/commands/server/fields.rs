//! Reads answers made of names and values, flat lists on RESP2 and maps on RESP3, of which newer servers may
//! know more.

use std::collections::BTreeMap;

use redwire_core::{Reader, Reply, Result, Value};

/// Hands each name to `each`, which reads the value and returns true, or leaves it alone to be passed over.
pub(crate) fn fields(
    reader: &mut Reader<'_>,
    mut each: impl FnMut(&str, &mut Reader<'_>) -> Result<bool>,
) -> Result<()> {
    walk(reader, |name, reader| if each(&name, reader)? { Ok(()) } else { reader.skip() })
}

/// As [`fields`], and gives what `each` left alone.
pub(crate) fn fields_and_rest(
    reader: &mut Reader<'_>,
    mut each: impl FnMut(&str, &mut Reader<'_>) -> Result<bool>,
) -> Result<BTreeMap<String, Value>> {
    let mut rest = BTreeMap::new();
    walk(reader, |name, reader| {
        if !each(&name, reader)? {
            rest.insert(name, Value::decode(reader)?);
        }
        Ok(())
    })?;
    Ok(rest)
}

fn walk(reader: &mut Reader<'_>, mut each: impl FnMut(String, &mut Reader<'_>) -> Result<()>) -> Result<()> {
    let mut items = reader.items()?;
    while items.more(reader)? {
        items.take(2, reader)?;
        let name = String::decode(reader)?;
        each(name, reader)?;
    }
    Ok(())
}

/// Reads a value into its place and says that it was read.
pub(crate) fn read<T: Reply>(place: &mut T, reader: &mut Reader<'_>) -> Result<bool> {
    *place = T::decode(reader)?;
    Ok(true)
}
