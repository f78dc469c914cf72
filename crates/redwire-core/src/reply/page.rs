//! A page of a collection that is read by cursor: one item that cannot be read does not take the others
//! with it.

use bytes::Bytes;

use super::{Reader, Reply};
use crate::error::Result;

/// What `SCAN` and its kin answer: the next cursor, and the items as they came.
#[derive(Clone, Debug)]
pub struct ScanPage {
    cursor: Vec<u8>,
    /// The frame of the list of items.
    items: Bytes,
}

impl Reply for ScanPage {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut list = reader.items()?;
        list.take(2, reader)?;
        let cursor = Vec::decode(reader)?;
        let items = reader.frame()?;
        while list.more(reader)? {
            list.take(1, reader)?;
            reader.skip()?;
        }
        Ok(Self { cursor, items })
    }
}

impl ScanPage {
    /// Where to go on; `0` after the last page.
    #[must_use]
    pub fn cursor(&self) -> &[u8] {
        &self.cursor
    }

    /// The items, each as a `T`, or the error that stands for it.
    ///
    /// # Errors
    /// It is no list, or malformed.
    pub fn items<T: Reply>(&self) -> Result<Vec<Result<T>>> {
        let mut reader = Reader::new(&self.items, 0);
        let mut items = reader.items()?;
        let mut page = Vec::with_capacity(items.reserve(1));
        while items.more(&mut reader)? {
            page.push(Result::decode_item(&mut reader, &mut items)?);
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(items: &str) -> ScanPage {
        Reader::read(format!("*2\r\n$2\r\n17\r\n{items}").as_bytes()).unwrap()
    }

    /// The items, with `None` for one that cannot be read.
    fn read<T: Reply>(items: &str) -> Vec<Option<T>> {
        page(items).items().unwrap().into_iter().map(Result::ok).collect()
    }

    #[test]
    fn an_error_stands_for_its_item_alone() {
        assert_eq!(page("*0\r\n").cursor(), b"17");
        let keys = "*3\r\n$1\r\na\r\n$1\r\n7\r\n$1\r\nc\r\n";
        assert_eq!(read::<u32>(keys), [None, Some(7), None]);
        let fields = "*6\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\nx\r\n$1\r\nc\r\n$1\r\n3\r\n";
        assert_eq!(read::<(String, u32)>(fields), [Some(("a".into(), 1)), None, Some(("c".into(), 3))]);
        assert_eq!(read::<(u32, String)>(fields), [None, None, None]);
        let nested = "*2\r\n*2\r\n$1\r\na\r\n*1\r\n$1\r\nx\r\n*2\r\n$1\r\nb\r\n:2\r\n";
        assert_eq!(read::<(String, u32)>(nested), [None, Some(("b".into(), 2))]);
        assert_eq!(read::<String>("*2\r\n-ERR no\r\n+a\r\n"), [None, Some("a".into())]);
        assert_eq!(read::<String>("*?\r\n*0\r\n+a\r\n.\r\n"), [None, Some("a".into())]);
        let odd = "*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n";
        assert_eq!(read::<(String, u32)>(odd), [Some(("a".into(), 1)), None]);
    }

    #[test]
    fn what_is_no_page_is_an_error_as_a_whole() {
        assert!(page("$1\r\na\r\n").items::<String>().is_err());
        for frame in ["+OK\r\n", "*1\r\n$1\r\n0\r\n", "-WRONGTYPE no\r\n"] {
            Reader::read::<ScanPage>(frame.as_bytes()).unwrap_err();
        }
    }
}
