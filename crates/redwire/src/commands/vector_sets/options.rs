//! Vectors as arguments, and how they are added and searched for.

use redwire_core::{Arg, Args};

/// A vector: made of floats, in as many dimensions as there are.
///
/// Of `f32` it is sent as bytes, four for each; of `f64` in digits.
#[derive(Clone, Debug)]
pub struct Vector(Args);

impl Vector {
    fn binary(floats: &[f32]) -> Self {
        let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
        let mut args = Args::new();
        ("FP32", bytes).write(&mut args);
        Self(args)
    }

    fn decimal(floats: &[f64]) -> Self {
        let mut args = Args::new();
        ("VALUES", floats.len()).write(&mut args);
        floats.write(&mut args);
        Self(args)
    }
}

impl Arg for Vector {
    fn write(&self, args: &mut Args) {
        self.0.write(args);
    }
}

macro_rules! vectors {
    ($($float:ident $make:ident),*) => {$(
        impl From<&[$float]> for Vector {
            fn from(floats: &[$float]) -> Self {
                Self::$make(floats)
            }
        }

        impl From<Vec<$float>> for Vector {
            fn from(floats: Vec<$float>) -> Self {
                Self::$make(&floats)
            }
        }

        impl From<&Vec<$float>> for Vector {
            fn from(floats: &Vec<$float>) -> Self {
                Self::$make(floats)
            }
        }

        impl<const N: usize> From<[$float; N]> for Vector {
            fn from(floats: [$float; N]) -> Self {
                Self::$make(&floats)
            }
        }
    )*};
}
vectors!(f32 binary, f64 decimal);

/// What the elements that are searched for should be alike: a [`Vector`], or one of them.
#[derive(Clone, Debug)]
pub struct SimilarTo(Args);

impl SimilarTo {
    /// The vector of an element of the set.
    #[must_use]
    pub fn element(element: impl Arg) -> Self {
        let mut args = Args::new();
        ("ELE", element).write(&mut args);
        Self(args)
    }
}

impl<V: Into<Vector>> From<V> for SimilarTo {
    fn from(vector: V) -> Self {
        Self(vector.into().0)
    }
}

impl Arg for SimilarTo {
    fn write(&self, args: &mut Args) {
        self.0.write(args);
    }
}

/// How exactly vectors are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quantization {
    /// As they are given, in four bytes for each dimension (`NOQUANT`).
    None,
    /// A byte for each dimension (`Q8`): what servers do by themselves.
    Q8,
    /// A bit for each dimension (`BIN`).
    Bin,
}

impl Arg for Quantization {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::None => b"NOQUANT",
            Self::Q8 => b"Q8",
            Self::Bin => b"BIN",
        });
    }
}

/// How an element is added. Said of the first one, it holds for the set, and must be said alike of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VaddOptions {
    pub(super) reduce: Option<u64>,
    cas: bool,
    quantization: Option<Quantization>,
    ef: Option<u64>,
    attributes: Option<Vec<u8>>,
    m: Option<u64>,
}

impl VaddOptions {
    /// As servers do by themselves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps vectors in so many dimensions, fewer than they are given in (`REDUCE`).
    #[must_use]
    pub fn reduce(mut self, dimensions: u64) -> Self {
        self.reduce = Some(dimensions);
        self
    }

    /// Looks for neighbours in a thread of the server's, beside other commands.
    #[must_use]
    pub fn cas(mut self) -> Self {
        self.cas = true;
        self
    }

    /// Keeps vectors so exactly.
    #[must_use]
    pub fn quantization(mut self, quantization: Quantization) -> Self {
        self.quantization = Some(quantization);
        self
    }

    /// Looks at so many candidates for neighbours (default: 200): more find better ones, in more time.
    #[must_use]
    pub fn ef(mut self, candidates: u64) -> Self {
        self.ef = Some(candidates);
        self
    }

    /// With these attributes, the text of a JSON object.
    #[must_use]
    pub fn setattr(mut self, attributes: impl AsRef<[u8]>) -> Self {
        self.attributes = Some(attributes.as_ref().to_vec());
        self
    }

    /// Links each element to so many neighbours in a layer (default: 16).
    #[must_use]
    pub fn m(mut self, neighbours: u64) -> Self {
        self.m = Some(neighbours);
        self
    }
}

impl Arg for VaddOptions {
    /// The words behind the element; `REDUCE` stands before the vector.
    fn write(&self, args: &mut Args) {
        args.flag(self.cas, "CAS");
        args.optional(self.quantization);
        self.ef.write_named("EF", args);
        self.attributes.write_named("SETATTR", args);
        self.m.write_named("M", args);
    }
}

/// How elements are searched for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VsimOptions {
    count: Option<u64>,
    epsilon: Option<f64>,
    ef: Option<u64>,
    filter: Option<String>,
    filter_ef: Option<u64>,
    truth: bool,
    nothread: bool,
}

impl VsimOptions {
    /// Ten elements, of all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// So many elements at most; default: 10.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// No element that is less alike than 1 less this, which is from 0 to 1 (Redis 8.2).
    #[must_use]
    pub fn epsilon(mut self, distance: f64) -> Self {
        self.epsilon = Some(distance);
        self
    }

    /// Looks at so many candidates: more find better ones, in more time. From 50 to 1000 is usual.
    #[must_use]
    pub fn ef(mut self, candidates: u64) -> Self {
        self.ef = Some(candidates);
        self
    }

    /// Only elements whose attributes this expression holds for, as `.year >= 1980 and .genre == "drama"`.
    #[must_use]
    pub fn filter(mut self, expression: impl Into<String>) -> Self {
        self.filter = Some(expression.into());
        self
    }

    /// Tries the filter on so many candidates at most (default: a hundred for each that is wanted); 0 for
    /// any number.
    #[must_use]
    pub fn filter_ef(mut self, candidates: u64) -> Self {
        self.filter_ef = Some(candidates);
        self
    }

    /// Compares all elements: exact, and slow.
    #[must_use]
    pub fn truth(mut self) -> Self {
        self.truth = true;
        self
    }

    /// In the server's main thread, where all other commands wait for it.
    #[must_use]
    pub fn nothread(mut self) -> Self {
        self.nothread = true;
        self
    }
}

impl Arg for VsimOptions {
    fn write(&self, args: &mut Args) {
        self.count.write_named("COUNT", args);
        self.epsilon.write_named("EPSILON", args);
        self.ef.write_named("EF", args);
        self.filter.write_named("FILTER", args);
        self.filter_ef.write_named("FILTER-EF", args);
        args.flag(self.truth, "TRUTH");
        args.flag(self.nothread, "NOTHREAD");
    }
}
